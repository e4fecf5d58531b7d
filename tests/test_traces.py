"""Traces of requests and utterances reach a collector, hold no text, and cost nothing where there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.container import Services
from tests.service_material import app_for, client_of, settings_for
from tests.toy_avatar import NAME, toy_avatars, toy_facts, toy_services  # noqa: F401

# ruff: noqa: F811

SECRET = "a word that nobody may collect"


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []

    def spans(self) -> list[Any]:
        found: list[Any] = []
        for body in self.bodies:
            request = ExportTraceServiceRequest.FromString(body)
            found += [span for of in request.resource_spans for scope in of.scope_spans for span in scope.spans]
        return found


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector) and self.path == "/v1/traces"
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_utterance_is_a_span_below_its_request(
    collector: Collector, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    settings = settings_for(
        toy_avatars, tmp_path, server={"cache_dir": tmp_path / "cache", "traces_endpoint": endpoint}
    )
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with client_of(app_for(settings, toy_services)) as client:
        answer = client.post("/generate", json={"text": SECRET}, headers={"traceparent": caller})
        assert answer.status_code == 200
        assert client.get("/livez").status_code == 200
    spans = {span.name: span for span in collector.spans()}
    assert set(spans) == {"POST /generate", "utterance"}, "signs of life are not traced"
    request, utterance = spans["POST /generate"], spans["utterance"]
    assert request.trace_id.hex() == caller.split("-")[1] and request.parent_span_id.hex() == caller.split("-")[2]
    assert (utterance.trace_id, utterance.parent_span_id) == (request.trace_id, request.span_id)
    assert [event.name for event in utterance.events] == ["first sound", "first frame"]
    facts = {fact.key: fact.value for fact in utterance.attributes}
    assert facts["avatar"].string_value == NAME
    assert facts["utterance"].string_value == answer.headers["X-Utterance-Id"]
    assert facts["frames"].int_value == answer.text.count('"type":"frame"') > 0
    assert not any(word.encode() in body for body in collector.bodies for word in (SECRET, SECRET.split()[-1]))


def test_a_collector_that_is_not_there_stops_nobody(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    nowhere = {"cache_dir": tmp_path / "cache", "traces_endpoint": "http://127.0.0.1:9/v1/traces"}
    with client_of(app_for(settings_for(toy_avatars, tmp_path, server=nowhere), toy_services)) as client:
        assert client.post("/generate", json={"text": "one two"}).status_code == 200
