"""The file writer by itself: what it writes, what runs beside it, and what is left when it fails.

Axes: H W C picture, S audio samples.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from recipe.colour import encode_rgb
from recipe.sound import SoundTrack, load_audio, original_sound
from services.errors import VideoWriteError
from services.streaming.events import mark_of
from services.streaming.video_writer import write_video
from services.types import VideoFrame
from tests.conftest import REPOSITORY
from tests.media import decoded

SIZE = 256


def noise_frames(count: int, pause_s: float = 0.0) -> Iterator[VideoFrame]:
    random = np.random.default_rng(0)
    for i in range(count):
        time.sleep(pause_s)
        sound_S = random.normal(0, 0.1, 640).astype(np.float32)
        yield VideoFrame(i, random.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8), sound_S, 0, 0.0)


def coding_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("video writer")]


class HeldCoder:
    """Stands where pictures become YUV: each waits until it is let go, or fails when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int | None = None) -> None:
        self.let_go = threading.Event()
        self.waited: list[bool] = []
        self.fail_at = fail_at
        monkeypatch.setattr("services.streaming.video_writer.encode_rgb", self._encode)

    def _encode(self, frame_rgb_HWC: np.ndarray) -> Any:
        self.waited.append(self.let_go.wait(10))
        if len(self.waited) - 1 == self.fail_at:
            raise LookupError("a fault of the coder")
        return encode_rgb(frame_rgb_HWC)


def test_frames_are_made_while_earlier_ones_are_coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coder = HeldCoder(monkeypatch)

    def frames() -> Iterator[VideoFrame]:
        for frame in noise_frames(4):
            if frame.index == 3:
                coder.let_go.set()  # three frames were written, and the first is not coded yet
            yield frame

    assert write_video(tmp_path / "out.mp4", frames(), SIZE, SIZE, None) == 4
    assert coder.waited == [True] * 4
    assert coding_threads() == []


def test_only_a_few_frames_wait_to_be_coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coder, made, fifth = HeldCoder(monkeypatch), [], threading.Event()

    def frames() -> Iterator[VideoFrame]:
        for frame in noise_frames(20):
            made.append(frame.index)
            if len(made) == 5:
                fifth.set()
            yield frame

    writing = threading.Thread(target=write_video, args=(tmp_path / "out.mp4", frames(), SIZE, SIZE, None))
    writing.start()
    assert fifth.wait(10)
    time.sleep(0.1)
    assert made == [0, 1, 2, 3, 4]  # four wait, one is in hand
    coder.let_go.set()
    writing.join(20)
    assert made == list(range(20))


def test_the_bytes_do_not_depend_on_who_waits_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "frames late.mp4", noise_frames(12, pause_s=0.02), SIZE, SIZE, None)
    coder = HeldCoder(monkeypatch)
    threading.Timer(0.2, coder.let_go.set).start()
    write_video(tmp_path / "coder late.mp4", noise_frames(12), SIZE, SIZE, None)
    assert (tmp_path / "frames late.mp4").read_bytes() == (tmp_path / "coder late.mp4").read_bytes()


@pytest.mark.parametrize("count", [3, 60], ids=["when the file is ended", "while frames are made"])
def test_a_fault_of_the_coder_comes_out_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    HeldCoder(monkeypatch, fail_at=2).let_go.set()
    taken = 0

    def frames() -> Iterator[VideoFrame]:
        nonlocal taken
        for frame in noise_frames(count):
            taken += 1
            yield frame

    with pytest.raises(LookupError, match="a fault of the coder"):
        write_video(tmp_path / "out.mp4", frames(), SIZE, SIZE, None)
    assert taken <= 8  # not to the end in vain
    assert list(tmp_path.iterdir()) == []
    assert coding_threads() == []


def test_an_interruption_drops_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coder = HeldCoder(monkeypatch)

    def frames() -> Iterator[VideoFrame]:
        yield from noise_frames(4)
        threading.Timer(0.5, coder.let_go.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "out.mp4", frames(), SIZE, SIZE, None)
    assert coder.waited == [True]  # the one in hand
    assert coding_threads() == []
    assert list(tmp_path.iterdir()) == []


def frames_until(error: BaseException | None, count: int) -> Iterator[VideoFrame]:
    for i in range(count):
        yield VideoFrame(i, np.full((SIZE, SIZE, 3), i, np.uint8), np.zeros(640, np.float32), 0, 0.0)
    if error is not None:
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a fault")])
def test_an_interrupted_result_is_removed_and_the_old_one_stays(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")
    with pytest.raises(type(error)):
        write_video(path, frames_until(error, 60), SIZE, SIZE, None)
    assert coding_threads() == []
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"the old one"


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VideoWriteError, match="cannot be written"):
        write_video(tmp_path / "file" / "out.mp4", frames_until(None, 2), SIZE, SIZE, None)


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process that may write 200 kB: for the writer the same as a disk with so much room."""
    program = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from services.errors import VideoWriteError
from services.types import VideoFrame
from services.streaming.video_writer import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
noise = np.random.default_rng(0).integers(0, 255, (60, 256, 256, 3), dtype=np.uint8)
frames = (VideoFrame(i, noise[i], np.zeros(640, np.float32), 0, 0.0) for i in range(60))
try:
    write_video(Path(sys.argv[1]), frames, 256, 256, None)
except VideoWriteError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out.mp4")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "out.mp4 cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_the_frames_own_sound_is_written(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 400 * np.arange(25 * 640) / 16_000).astype(np.float32)
    frames = (
        VideoFrame(i, np.full((SIZE, SIZE, 3), 9 * i, np.uint8), tone[640 * i : 640 * (i + 1)], 0, 1.0)
        for i in range(25)
    )
    assert write_video(tmp_path / "out.mp4", frames, SIZE, SIZE, None) == 25
    pictures, sound, facts = decoded(tmp_path / "out.mp4")
    assert (facts["rate_hz"], facts["video_s"], facts["audio_s"]) == (16_000, 1, 1)
    assert [round(float(picture.mean()) / 9) for picture in pictures] == list(range(25))
    assert np.abs(sound[0, 2000:14_000] - tone[2000:14_000]).max() < 0.05  # in phase: not shifted by a single sample


def test_sound_is_read_piece_by_piece(tmp_path: Path) -> None:
    """However long the recording: the writer takes 40 ms at a time, the source gives blocks when asked."""
    taken = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1024
            yield np.zeros((1, 1024), np.float32)

    def frames() -> Iterator[VideoFrame]:
        for frame in frames_until(None, 40):
            assert taken < 1920 * frame.index + 1024
            yield frame

    write_video(tmp_path / "out.mp4", frames(), SIZE, SIZE, SoundTrack(48_000, 1, None, blocks()))
    assert taken >= 40 * 1920


def test_original_sound_starts_where_the_networks_sound_starts(presenter_video: Path) -> None:
    track = original_sound(presenter_video)
    sound = np.concatenate(list(track.blocks), axis=1)
    assert (track.rate_hz, track.channels) == (16_000, 1)
    np.testing.assert_allclose(sound[0], load_audio(presenter_video), atol=1e-6)


@pytest.mark.parametrize("consent", ["recorded", "none"])
def test_a_file_says_that_it_is_generated(tmp_path: Path, consent: Any) -> None:
    write_video(tmp_path / "out.mp4", noise_frames(2), SIZE, SIZE, None, mark_of(consent))
    with av.open(str(tmp_path / "out.mp4")) as container:
        said = container.metadata["comment"]
    assert said == ("AI-generated; no consent recorded" if consent == "none" else "AI-generated")
