"""Any recording becomes 25 upright frames per second, by the clock that also cuts its sound."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from data_prep.errors import TooShortError, TruncatedError
from data_prep.recorded_sound import recorded_sound
from data_prep.recording import Recording, probe
from data_prep.video import FrameWriter, at_25_fps, iter_rgb, normalise
from recipe.colour import decode_rgb, encode_rgb
from recipe.errors import NoAudioError, NotAVideoError
from recipe.recipe_328 import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from tests.media import beep, write_recording

FLASHES_S = (1.0, 3.52, 6.04, 9.2)
DURATION_S = 11.0
FLASH_S = 0.2


def flashing(
    times_s: NDArray[np.float64], shape: tuple[int, int] = (64, 96)
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Dark pictures that are bright for 200 ms from each of FLASHES_S on."""
    for time_s in times_s:
        bright = any(flash <= time_s + 1e-6 < flash + FLASH_S for flash in FLASHES_S)
        yield float(time_s), np.full((*shape, 3), 220 if bright else 20, np.uint8)


def irregular_times() -> NDArray[np.float64]:
    """A phone's variable rate: about 30 per second, a third of the pictures missing, stamps uneven."""
    random = np.random.default_rng(3)
    times = np.arange(0, DURATION_S, 1 / 30)
    times = (times + random.uniform(0, 0.008, len(times)))[random.random(len(times)) > 0.3]
    return np.unique(np.concatenate([[0.0], times, FLASHES_S, np.array(FLASHES_S) + FLASH_S]))


def normalised(path: Path, folder: Path) -> tuple[Recording, list[float], NDArray[np.float32]]:
    """The recording's brightness per output frame, and its sound by the same clock."""
    recording = probe(path)
    out = folder / "frames.mp4"
    normalise(recording, out, range(recording.frames))
    brightness = [float(picture.mean()) for picture in iter_rgb(out)]
    sound_S = recorded_sound(path, recording.start_s, recording.frames * SAMPLES_PER_FRAME)
    assert len(brightness) == recording.frames
    return recording, brightness, sound_S


def onsets(active: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.flatnonzero(np.diff(active.astype(np.int8)) == 1) + 1


@pytest.mark.parametrize("rate", [24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60])
def test_flash_and_beep_stay_together_at_every_rate(rate: float, tmp_path: Path) -> None:
    times = np.arange(0, DURATION_S, 1 / rate)
    path = write_recording(tmp_path / "a.mp4", flashing(times), beep(FLASHES_S, DURATION_S))
    recording, brightness, sound_S = normalised(path, tmp_path)
    assert recording.fps == pytest.approx(rate, rel=1e-3)
    seen_s = onsets(np.array(brightness) > 120) / 25
    filmed_s = np.array([times[times >= flash - 1e-6][0] for flash in FLASHES_S])
    # Nearest picture: half a step of the recording early at most, and then up to a frame until 25 fps can show it.
    assert np.all(seen_s >= filmed_s - 0.5 / rate - 1e-3) and np.all(seen_s <= filmed_s - 0.5 / rate + 0.041)
    heard_s = onsets(_envelope(sound_S) > 0.05) / SAMPLE_RATE_HZ
    assert heard_s == pytest.approx(np.array(FLASHES_S), abs=0.002)


def test_variable_rate_follows_the_time_stamps(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "v.mkv", flashing(irregular_times()), beep(FLASHES_S, DURATION_S))
    recording, brightness, sound_S = normalised(path, tmp_path)
    seen_s = onsets(np.array(brightness) > 120) / 25
    heard_s = onsets(_envelope(sound_S) > 0.05) / SAMPLE_RATE_HZ
    assert seen_s == pytest.approx(np.array(FLASHES_S) - recording.start_s, abs=0.021)
    assert heard_s == pytest.approx(np.array(FLASHES_S) - recording.start_s, abs=0.002)


@pytest.mark.parametrize(("picture_start_s", "sound_start_s"), [(0.48, 0.0), (0.0, 0.32), (0.333, 0.1)])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_late_track_stays_late(picture_start_s: float, sound_start_s: float, container: str, tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / f"late.{container}",
        flashing(np.arange(picture_start_s, DURATION_S, 0.04)),
        beep(FLASHES_S, DURATION_S - sound_start_s, sound_start_s),
        sound_start_s=sound_start_s,
    )
    recording, brightness, sound_S = normalised(path, tmp_path)
    seen_s = onsets(np.array(brightness) > 120) / 25
    heard_s = onsets(_envelope(sound_S) > 0.05) / SAMPLE_RATE_HZ
    assert recording.duration_s == pytest.approx(DURATION_S - max(picture_start_s, sound_start_s), abs=0.08)
    assert seen_s == pytest.approx(heard_s, abs=0.041)
    assert len(seen_s) == len(FLASHES_S)


def _envelope(sound_S: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest magnitude within the next millisecond, so that a sine does not seem to pause at its zeros."""
    return np.lib.stride_tricks.sliding_window_view(np.abs(sound_S), 16).max(axis=1)


def test_nearest_picture_is_shown_but_never_long_before_its_time() -> None:
    def labelled(times: list[float]) -> list[tuple[float, av.VideoFrame]]:
        return [(time, av.VideoFrame(16, 16)) for time in times]

    steady = labelled([k / 50 for k in range(20)])
    assert list(at_25_fps(steady, 0.0, 10)) == [frame for _, frame in steady[::2]]
    gap = labelled([0.0, 0.04, 0.4])  # nothing was filmed in between: the second picture is held
    shown = list(at_25_fps(gap, 0.0, 12))
    assert [gap[2][1] is frame for frame in shown] == [False] * 10 + [True] * 2
    backwards = labelled([0.0, 0.04, 0.02, 0.08])
    assert list(at_25_fps(backwards, 0.0, 3)) == [backwards[0][1], backwards[1][1], backwards[3][1]]


def test_frozen_picture_is_marked_and_a_low_rate_is_not(tmp_path: Path) -> None:
    """A camera that hangs for a second keeps recording sound: nothing may be learnt from those frames."""
    times = np.arange(0, DURATION_S, 1 / 12)
    times = times[(times < 4.01) | (times > 5.01)]
    path = write_recording(tmp_path / "hang.mp4", flashing(times), beep([1.0], DURATION_S))
    recording = probe(path)
    pictures = normalise(recording, tmp_path / "frames.mp4", range(recording.frames))
    frozen = np.flatnonzero(pictures.frozen_T)
    assert (frozen[0], frozen[-1]) == (pytest.approx(100, abs=2), pytest.approx(125, abs=2))
    assert len(frozen) == frozen[-1] - frozen[0] + 1
    assert pictures.repeated_frames > 130 and not pictures.damaged_T.any()


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotated_recording_is_turned_upright(rotation: int, tmp_path: Path) -> None:
    picture = np.full((48, 80, 3), 128, np.uint8)
    picture[:16, :16] = (250, 20, 20)
    path = write_recording(
        tmp_path / "r.mp4",
        ((k / 25, picture) for k in range(270)),
        beep([1.0], DURATION_S),
        rotation=rotation,
    )
    recording = probe(path)
    out = tmp_path / "frames.mp4"
    normalise(recording, out, range(recording.frames))
    ours = next(iter_rgb(out))
    player = cv2.VideoCapture(str(path))  # an independent reader that turns pictures by itself
    expected = cv2.cvtColor(player.read()[1], cv2.COLOR_BGR2RGB)
    assert (recording.height, recording.width) == ours.shape[:2] == expected.shape[:2]
    assert np.abs(ours.astype(int) - expected).mean() < 4


def test_odd_size_becomes_even_and_large_becomes_1920(tmp_path: Path) -> None:
    odd = write_recording(
        tmp_path / "odd.avi",
        ((k / 30, np.full((51, 77, 3), 90, np.uint8)) for k in range(330)),
        beep([1.0], DURATION_S),
        video_codec="ffv1",
        audio_codec="pcm_s16le",
        pixel_format="bgr0",
    )
    recording = probe(odd)
    pictures = normalise(recording, tmp_path / "frames.mp4", range(recording.frames))
    assert (pictures.width, pictures.height) == (76, 50)
    large = write_recording(
        tmp_path / "large.mp4",
        ((k / 2, np.full((2160, 1216, 3), 90, np.uint8)) for k in range(22)),
        beep([1.0], DURATION_S),
    )
    recording = dataclasses.replace(probe(large), frames=5)
    pictures = normalise(recording, tmp_path / "frames.mp4", range(5))
    assert (pictures.width, pictures.height) == (1080, 1920)
    assert pictures.repeated_frames == 4


@pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601])
@pytest.mark.parametrize("full", [False, True])
def test_colours_survive_every_matrix_and_range(matrix: Colorspace, full: bool) -> None:
    kr, kb = (0.2126, 0.0722) if matrix == Colorspace.ITU709 else (0.299, 0.114)
    for rgb in ((200, 30, 40), (20, 180, 60), (30, 40, 220), (220, 180, 150), (255, 255, 255), (0, 0, 0)):
        r, g, b = (value / 255 for value in rgb)
        y = kr * r + (1 - kr - kb) * g + kb * b
        u, v = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
        planes = (255 * y, 128 + 255 * u, 128 + 255 * v) if full else (16 + 219 * y, 128 + 224 * u, 128 + 224 * v)
        levels = [round(min(max(value, 0), 255)) for value in planes]
        coded = np.concatenate([np.full(64 * 64, levels[0]), np.full(1024, levels[1]), np.full(1024, levels[2])])
        frame = av.VideoFrame.from_ndarray(coded.astype(np.uint8).reshape(96, 64), format="yuv420p")
        frame.colorspace = 1 if matrix == Colorspace.ITU709 else 6
        frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
        assert decode_rgb(frame)[32, 32] == pytest.approx(np.array(rgb), abs=3), rgb


def test_coded_colours_come_back_and_carry_their_tags(tmp_path: Path) -> None:
    picture = np.full((64, 64, 3), (220, 180, 150), np.uint8)
    back = encode_rgb(picture)
    assert (back.format.name, int(back.colorspace), int(back.color_range)) == ("yuv420p", 1, 1)
    with FrameWriter(tmp_path / "a.mp4", 64, 64) as writer:
        for _ in range(60):
            writer.write(picture)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = list(container.decode(video=0))
    keys = [k for k, frame in enumerate(frames) if frame.key_frame]
    assert keys == [0, 25, 50]
    assert {frame.pict_type for frame in frames} == {1, 2}  # no B-frames
    assert (int(frames[30].colorspace), int(frames[30].color_range)) == (1, 1)
    assert decode_rgb(frames[30])[32, 32] == pytest.approx([220, 180, 150], abs=3)


def test_bad_files_are_named(tmp_path: Path, presenter_video: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    (tmp_path / "empty.mp4").touch()
    for path in (text, tmp_path / "empty.mp4", tmp_path / "absent.mp4"):
        with pytest.raises(NotAVideoError, match=path.name):
            probe(path)
    data = presenter_video.read_bytes()
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(data[: len(data) // 2])
    with pytest.raises((NotAVideoError, TruncatedError), match=r"end is missing|cut off"):
        probe(headless)


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_truncated_recording_is_refused(container: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    whole = write_recording(
        tmp_path / f"whole.{container}", ((k / 25, np.roll(noise, k, 1)) for k in range(500)), beep([1.0], 20.0)
    )
    if container == "mp4":  # header in front, as phones' sharing functions write it
        front = tmp_path / "front.mp4"
        with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
            streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)
        whole = front
    cut = tmp_path / f"cut.{container}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(TruncatedError, match="cut off"):
        probe(cut)


def test_no_sound_and_too_short_are_refused(tmp_path: Path) -> None:
    pictures = list(flashing(np.arange(0, DURATION_S, 0.04)))
    with pytest.raises(NoAudioError, match="no sound track"):
        probe(write_recording(tmp_path / "mute.mp4", pictures, None))
    with pytest.raises(TooShortError, match=r"9\.0 s"):
        probe(write_recording(tmp_path / "short.mp4", pictures, beep([1.0], 9.0)))
    sound_only = tmp_path / "sound.wav"
    with av.open(str(sound_only), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    with pytest.raises(NotAVideoError, match="no moving picture"):
        probe(sound_only)
