"""An avatar on a streaming site: what arrives there, at a file and at an RTMP server that listens."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from recipe.recipe_328 import FPS
from services.errors import PublishError
from services.frame_generation_service import FrameGenerationService
from services.live.pictures import WholePictures
from services.live.programme import Programme
from services.live.publish.outlet import RATE_HZ, Outlet, form_of
from services.live.publish.run import Lines, broadcast
from services.live.session import LiveSession
from tests.conftest import REPOSITORY
from tests.service_material import Humming
from tests.toy_avatar import SIZE, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


def publish(model: Any, target: str, lines: Iterator[str]) -> int:
    session = LiveSession(FrameGenerationService(), model, Humming(), idle="bare")
    try:
        programme = Programme(session, WholePictures(model), RATE_HZ)
        with Outlet(target, SIZE, SIZE, 500, "AI-generated") as outlet:
            reader = Lines(session, lines, None, 1.0)
            return broadcast(programme, outlet, lambda: not reader.over)
    finally:
        session.close(5.0)


def typed() -> Iterator[str]:
    time.sleep(0.5)
    yield "Never a dull word\n"
    time.sleep(1.5)
    yield "one two three four five six seven eight nine ten\n"
    time.sleep(0.5)
    yield "\n"  # interrupts
    yield "...\n"  # cannot be said
    time.sleep(0.7)


class Received:
    """What a file or a stream holds."""

    def __init__(self, source: str, **chosen: Any) -> None:
        pictures, sounds = [], []
        with av.open(source, **chosen) as container:
            self.comment = {name.lower(): value for name, value in container.metadata.items()}.get("comment")
            for packet in container.demux():
                for frame in packet.decode():
                    (pictures if isinstance(frame, av.VideoFrame) else sounds).append(frame)
        self.picture_s = [float(picture.time) for picture in pictures]
        self.size = (pictures[0].width, pictures[0].height)
        self.loud_s = [float(sound.time) for sound in sounds if np.abs(sound.to_ndarray()).max() > 0.05]
        self.sound_s = [float(sound.time) for sound in sounds]


def check(received: Received, frames: int, line_s: float = 0.5) -> None:
    steps = np.diff(received.picture_s)
    assert len(received.picture_s) == frames
    assert np.allclose(steps, 1 / FPS, atol=0.002)  # it never stands still
    assert received.size == (SIZE, SIZE)
    assert received.sound_s[-1] == pytest.approx(received.picture_s[-1], abs=0.1)
    loud = np.array(received.loud_s) - received.picture_s[0]
    assert line_s - 0.1 < loud[0] < line_s + 1.5
    pauses = np.flatnonzero(np.diff(loud) > 0.5)
    assert len(pauses) == 1
    assert 0.7 < loud[pauses[0]] - loud[0] < 1.2  # four words, whole
    assert loud[-1] - loud[pauses[0] + 1] < 1.5  # of ten words that take 2.4 s: it was interrupted


def test_a_file_holds_silence_speech_and_an_interruption(
    toy_model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "talk.ts"
    frames = publish(toy_model, str(path), typed())
    assert 60 < frames < 200
    check(Received(str(path)), frames)
    assert "not said: there is nothing to say" in capsys.readouterr().err


_SERVER = """
import contextlib, sys, av
with av.open(sys.argv[1], options={"listen": "1"}, timeout=30) as heard, av.open(sys.argv[2], "w") as kept:
    streams = {stream.index: kept.add_stream_from_template(stream) for stream in heard.streams}
    with contextlib.suppress(OSError):  # that is how FFmpeg's listener sees the end
        for packet in heard.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                kept.mux(packet)
"""


def test_a_listening_rtmp_server_gets_it(toy_model: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, path = f"rtmp://127.0.0.1:{port}/live/secret-key", tmp_path / "received.flv"
    server = subprocess.Popen([sys.executable, "-c", _SERVER, url, str(path)])  # PyAV would hold this process's lock
    try:
        time.sleep(1.5)
        frames = publish(toy_model, url, typed())
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()
    received = Received(str(path))
    assert len(received.picture_s) >= frames - 1  # FFmpeg's listener may leave the last one in its buffer
    check(received, len(received.picture_s))


def test_where_nobody_listens_is_said_without_the_key() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(PublishError) as told:
            Outlet(f"rtmp://127.0.0.1:{port}/live/secret-key", SIZE, SIZE, 500, "AI-generated")
    assert f"rtmp://127.0.0.1:{port} takes nothing" in str(told.value)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("target", ["http://localhost/x", "talk.wav", "talk", "file:///etc/x.mp4"])
def test_other_targets_are_refused(target: str) -> None:
    with pytest.raises(PublishError, match="nothing that can be published to"):
        form_of(target)


@pytest.mark.slow
def test_the_command_speaks_its_lines_and_ends(toy_avatars: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.mkv"
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "services.live.publish", "--name", "toy", "--publish", str(path)),
            *("--avatars_dir", str(toy_avatars), "--threads", "1", "--device", "cpu"),
        ],
        input="Hello there.\n",
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    received = Received(str(path))
    assert f"{len(received.picture_s)} frames" in ran.stdout
    assert received.comment == "AI-generated"
    assert received.loud_s[-1] - received.loud_s[0] > 0.3
