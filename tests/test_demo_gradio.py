"""The page on Gradio, used by gradio's own client: every way in, and what is refused. Needs the extra `gradio`."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import demo_gradio
from config import Models
from services.container import build_services
from tests.bad_requests import wav
from tests.conftest import REPOSITORY
from tests.media import decoded
from tests.service_material import Humming, settings_for

pytestmark = pytest.mark.filterwarnings("ignore")  # gradio's own
WORD_FRAMES = 6


@pytest.fixture(scope="module")
def address(photo_avatars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gradio", reason="gradio is not installed: it is an extra of its own")
    work = tmp_path_factory.mktemp("work")
    settings = settings_for(
        photo_avatars, work, models={"default_avatar": "eve"}, compat={"results_dir": work / "outputs"}
    )
    services = build_services(Models(avatars_dir=photo_avatars, runtime="onnxruntime", device="cpu", threads=1))
    parts = demo_gradio.build_parts(settings, replace(services, tts=Humming()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(work / "gradio"))
        page = demo_gradio.build_page(parts, settings)
        yield demo_gradio.launch(page, parts, settings, None)
        page.close(verbose=False)
        parts.animations.work.close(5)
    gc.collect()  # an event loop left open is told of here


@pytest.fixture(scope="module")
def speak(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Calls the page's endpoint; what is not given is left as the page has it."""
    gradio_client = pytest.importorskip("gradio_client")
    got = tmp_path_factory.mktemp("got")
    client = gradio_client.Client(address, verbose=False, download_files=str(got))

    def call(**given: Any) -> Path:
        form = {
            "avatar": "eve", "photo": None, "consent": "", "synthetic": False,
            "text": "", "sound": None, "voice": "", "speed": 1.0,
        }  # fmt: skip
        files = {key: gradio_client.handle_file(str(path)) for key, path in given.items() if isinstance(path, Path)}
        answer = client.predict(*(form | given | files).values(), api_name="/speak")
        return Path(answer["video"] if isinstance(answer, dict) else answer)

    yield call
    client.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "speech.wav").write_bytes(wav(0.4))
    return tmp_path / "speech.wav"


def frames_of(path: Path) -> int:
    return len(decoded(path)[0])


def test_an_avatar_says_a_text_as_fast_as_it_was_told(speak: Callable[..., Path]) -> None:
    assert frames_of(speak(text="one two three four")) == 4 * WORD_FRAMES
    assert frames_of(speak(text="one two three four", voice="hum:high", speed=2.0)) == 2 * WORD_FRAMES


def test_the_example_of_the_documentation_runs(address: str, tmp_path: Path) -> None:
    document = (REPOSITORY / "docs" / "api-reference.md").read_text(encoding="utf-8")
    (text,) = [
        text for text in re.findall(r"```python\n(.*?)```", document, flags=re.DOTALL) if "gradio_client" in text
    ]
    text = text.replace("http://127.0.0.1:7860", address).replace('"demo"', '"eve"')
    ran = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ".mp4" in ran.stdout


def test_an_avatar_says_a_recording(speak: Callable[..., Path], recording: Path) -> None:
    assert frames_of(speak(sound=recording)) == 10


def test_a_photo_takes_the_place_of_the_avatar(speak: Callable[..., Path], photo_file: Path) -> None:
    assert frames_of(speak(avatar=None, photo=photo_file, synthetic=True, text="one two")) == 2 * WORD_FRAMES


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "write a text, or send a recording"),
        ({"text": "one", "avatar": None}, "choose an avatar, or send a photo"),
        ({"text": "..."}, "nothing to say"),
    ],
)
def test_what_is_missing_is_said(speak: Callable[..., Path], given: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        speak(**given)


def test_text_and_recording_at_once_are_refused(speak: Callable[..., Path], recording: Path) -> None:
    with pytest.raises(Exception, match="one of them"):
        speak(text="one", sound=recording)


def test_without_gradio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_gradio, "build_parts", lambda settings: None)
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert demo_gradio.main([]) == 2
    assert ".[gradio]" in capsys.readouterr().err


def test_a_port_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo_gradio.main(["--port", "70000"]) == 2
    assert "SERVER__PORT" in capsys.readouterr().err
