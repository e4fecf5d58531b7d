"""The description of the API is true: what it allows never breaks the server, and answers are as described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from services.container import Services
from services.http.problems import KINDS
from tests.conftest import REPOSITORY
from tests.service_material import Humming, app_for, client_of, served, settings_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = 8  # per operation and mode
OPERATIONS = {
    ("/generate", "get"),
    ("/generate", "post"),
    ("/generate-from-audio", "post"),
    ("/takes/mp4", "post"),
    ("/animate", "post"),
    ("/preload", "post"),
    ("/preload/{token}", "delete"),
    ("/preload/clear", "post"),
    ("/get-tts-audio", "get"),
    ("/avatars", "get"),
    ("/avatars", "post"),
    ("/avatars/{name}", "delete"),
    ("/avatars/{name}/job", "get"),
    ("/avatars/{name}/job", "delete"),
    ("/avatars/{name}/job/report", "get"),
    ("/avatars/{name}/job/preview", "get"),
    ("/avatar", "get"),
    ("/avatar/frames", "get"),
    ("/voices", "get"),
    ("/livez", "get"),
    ("/readyz", "get"),
    ("/health", "get"),
    ("/metrics", "get"),
    ("/debug/status", "get"),
    ("/debug/config", "post"),
}


@pytest.fixture(scope="module")
def address(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    work = tmp_path_factory.mktemp("work")
    speech = Humming(most_characters=40)
    settings = settings_for(toy_avatars, work, create={"enabled": False})  # nothing made up is to be trained
    with served(app_for(settings, toy_services, tts=speech)) as address:
        yield address


@pytest.fixture(scope="module")
def document(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict:
    settings = settings_for(toy_avatars, tmp_path_factory.mktemp("document"))
    with client_of(app_for(settings, toy_services)) as client:
        return client.get("/openapi.json").json()


@pytest.mark.filterwarnings("ignore")  # schemathesis' own
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_the_description_allows_or_forbids_is_answered_as_described(
    address: str, mode: GenerationMode
) -> None:
    """Requests made from the description: no server error, no status or type that it does not name."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    tried = []
    for found in schema.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not (list(operation.iter_parameters()) or operation.body):
            continue  # nothing that could be wrong

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        answers()
        tried.append(operation.label)
    assert len(tried) == (len(OPERATIONS) if mode is GenerationMode.POSITIVE else 17)


def test_every_operation_is_described(document: dict) -> None:
    described = {(path, method): what for path, entry in document["paths"].items() for method, what in entry.items()}
    assert set(described) == OPERATIONS
    for what in described.values():
        assert what["description"]
        assert what["tags"]
        for parameter in what.get("parameters", []):
            assert parameter.get("description") or parameter["schema"].get("description"), parameter
        for status, response in what["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
                assert "/problems/" in response["description"]
    assert len({what["operationId"] for what in described.values()}) == len(described)
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])
    assert "Problem" in references
    animation = described["/generate", "post"]["responses"]["200"]["content"]
    assert list(animation) == ["application/x-ndjson", "video/mp4", "multipart/x-mixed-replace"]


def test_every_problem_is_documented() -> None:
    text = (REPOSITORY / "docs" / "api-reference.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`/problems/([a-z-]+)`", text))
    assert {kind.slug for kind in KINDS.values()} <= known
