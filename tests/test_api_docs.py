"""Every example of docs/api-reference.md runs as it stands there, against a server with a toy avatar."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.container import Services
from services.http.routes import ROUTERS
from tests.conftest import REPOSITORY
from tests.photo_material import written
from tests.service_material import app_for, served, settings_for
from tests.test_api_errors import wav
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811

DOCUMENT = (REPOSITORY / "docs" / "api-reference.md").read_text(encoding="utf-8")
SERVER = "http://localhost:8000"  # what stands elsewhere belongs to another program: tests/test_demo_gradio.py
EXAMPLES = [
    (language, text)
    for language, text in re.findall(r"```(bash|python|javascript)\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    if SERVER in text
]
PROGRAMS = {
    "bash": ("curl", lambda text: ["bash", "-euo", "pipefail", "-c", text]),
    "python": (sys.executable, lambda text: [sys.executable, "-c", text]),
    "javascript": ("node", lambda text: ["node", "--input-type=module", "-e", text]),
}


@pytest.fixture(scope="module")
def address(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    work = tmp_path_factory.mktemp("work")
    with served(app_for(settings_for(toy_avatars, work), toy_services)) as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray) -> Path:
    (tmp_path / "speech.wav").write_bytes(wav(0.4, 16_000))
    written(tmp_path / "photo.jpg", picture, quality=92)
    return tmp_path


@pytest.mark.parametrize(("language", "text"), EXAMPLES, ids=[f"{i}-{kind}" for i, (kind, _) in enumerate(EXAMPLES)])
def test_example(address: str, folder: Path, language: str, text: str) -> None:
    program, command = PROGRAMS[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    ran = subprocess.run(
        command(text.replace(SERVER, address)),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    made = [path for path in folder.iterdir() if path.name not in ("speech.wav", "photo.jpg")]
    assert ran.stdout or made
    expected = {".mp4": b"ftyp", ".wav": b"RIFF", ".jpg": b"\xff\xd8\xff"}
    for path in made:
        assert expected[path.suffix] in path.read_bytes()[:16], path.name
    if "nobody" in text:
        assert "/problems/avatar-not-found" in ran.stdout
    else:
        assert not re.search(r"""["']type["']: ?["']/problems""", ran.stdout)


def test_every_route_has_an_example_in_every_language() -> None:
    for language in PROGRAMS:
        texts = [text for kind, text in EXAMPLES if kind == language]
        for route in (route for router in ROUTERS for route in router.routes):
            if not route.include_in_schema:  # type: ignore[attr-defined]
                continue  # for the page alone
            path = re.sub(r"\\{\w+\\}", r"\\S+", re.escape(route.path))  # type: ignore[attr-defined]
            assert any(re.search(rf"{path}(?![\w/-])", text) for text in texts), f"{language}: {path}"
