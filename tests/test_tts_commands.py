"""The commands of `python -m services.speech`, with a server in the place of the voices' home."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.speech.__main__ import main
from services.speech.commands import write_speech
from services.types import AudioChunk
from tests.piper_voice import write_piper_voice

VOICE = "en_US-toy-low"
FOLDER = "en/en_US/toy/low"


class _Quiet(SimpleHTTPRequestHandler):
    cut_off = False

    def log_message(self, format: str, *_: object) -> None:
        pass

    def copyfile(self, source, outputfile) -> None:  # type: ignore[no-untyped-def]
        if self.cut_off and self.path.endswith(".onnx"):
            outputfile.write(source.read(100))
            self.close_connection = True
            return
        super().copyfile(source, outputfile)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder laid out as rhasspy/piper-voices, and its address."""
    root = tmp_path / "home"
    model = write_piper_voice(root / FOLDER, VOICE)
    card = root / FOLDER / "MODEL_CARD"
    card.write_text("Licence: CC0")
    files = {
        f"{FOLDER}/{path.name}": {
            "size_bytes": path.stat().st_size,
            "md5_digest": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
        }
        for path in (model, Path(f"{model}.json"), card)
    }
    (root / "voices.json").write_text(json.dumps({VOICE: {"key": VOICE, "files": files}}))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield root, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def download(voices: Path, url: str, voice: str = VOICE) -> int:
    return main(["--voices_dir", str(voices), "download", voice, "--base_url", url])


def test_a_voice_is_fetched_and_speaks(
    home: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, url = home
    voices = tmp_path / "voices"
    assert download(voices, url) == 0
    names = {f"{VOICE}.onnx", f"{VOICE}.onnx.json", f"{VOICE}.MODEL_CARD"}
    assert {path.name for path in voices.iterdir()} == names
    assert (voices / f"{VOICE}.onnx").read_bytes() == (root / FOLDER / f"{VOICE}.onnx").read_bytes()
    captured = capsys.readouterr()
    assert set(captured.out.split()) == {str(voices / name) for name in names}
    assert f"{VOICE}.onnx" in captured.err  # the progress bar
    assert main(["--voices_dir", str(voices), "voices"]) == 0
    assert capsys.readouterr().out.startswith(f"piper:{VOICE} ")
    assert main(["--voices_dir", str(voices), "say", "Good morning.", str(tmp_path / "out" / "a.wav")]) == 0
    assert f"spoken by piper:{VOICE}" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.wav"]
    pcm_S, rate_hz = soundfile.read(tmp_path / "out" / "a.wav")
    assert rate_hz == 22_050
    assert np.abs(pcm_S).max() > 0.9
    assert download(voices, url) == 0  # again


def _changed(root: Path) -> None:
    path = root / FOLDER / f"{VOICE}.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])


def _longer(root: Path) -> None:
    with (root / FOLDER / f"{VOICE}.onnx.json").open("ab") as file:
        file.write(b" " * 10)


def _gone(root: Path) -> None:
    (root / FOLDER / f"{VOICE}.onnx").unlink()


def _no_list(root: Path) -> None:
    (root / "voices.json").write_text("<html>")


def _other_list(root: Path) -> None:
    (root / "voices.json").write_text(json.dumps({VOICE: {"files": {"x": 3}}}))


def _no_files(root: Path) -> None:
    (root / "voices.json").write_text(json.dumps({VOICE: {"files": {}}}))


def _cut_off(root: Path) -> None:
    _Quiet.cut_off = True


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_changed, "is not what voices.json promises"),
        (_longer, "is not what voices.json promises"),
        (_gone, "the server answers 404"),
        (_no_list, "is no list of Piper voices"),
        (_other_list, "is no list of Piper voices"),
        (_no_files, "does not name the files"),
        (_cut_off, "voices.json promises|broke off"),
    ],
)
def test_a_download_that_fails_leaves_nothing(
    home: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], damage, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    root, url = home
    monkeypatch.setattr(_Quiet, "cut_off", False)
    damage(root)
    voices = tmp_path / "voices"
    voices.mkdir()
    assert download(voices, url) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert any(part in last for part in message.split("|"))
    assert list(voices.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(
    home: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("services.speech.download._block", interrupted)
    assert download(tmp_path / "voices", home[1]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list((tmp_path / "voices").iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nobody.invalid", "file:///etc", "nonsense"])
def test_offline_is_one_line(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert download(tmp_path / "voices", url) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {url}/voices.json cannot be fetched")
    assert err.count("\n") == 1
    assert not (tmp_path / "voices").exists()


@pytest.mark.parametrize("voice", ["en_US-other-low", "../../evil", "", "x"])
def test_an_unknown_voice_is_refused(
    home: tuple[Path, str], tmp_path: Path, voice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert download(tmp_path / "voices", home[1], voice) == 2
    err = capsys.readouterr().err
    assert f"has no voice {voice!r}" in err
    assert (VOICE in err) == voice.startswith("en")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["say", "...", "a.wav"], "nothing that can be spoken"),
        (["say", "Hi.", "a.mp3"], "WAV is the only format"),
        (["say", "Hi.", "a.wav", "--voice", "nobody"], "no voice 'nobody'"),
        (["say", "Hi.", "a.wav", "--speed", "9"], "choose 0.5 to 2"),
    ],
)
def test_what_cannot_be_said_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_half_an_utterance_is_not_written(tmp_path: Path) -> None:
    def chunks() -> Iterator[AudioChunk]:
        yield AudioChunk(np.zeros(1600, np.float32), 16_000, "x", True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_speech(tmp_path / "a.wav", chunks())
    assert list(tmp_path.iterdir()) == []


def test_full_scale_is_written_as_full_scale(tmp_path: Path) -> None:
    chunk = AudioChunk(np.array([0, 1, -1], np.float32), 16_000, "Ah.", True)
    write_speech(tmp_path / "a.wav", [chunk])
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], [0, 32767, -32768])
