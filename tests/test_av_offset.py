"""A/V offset: known shifts are found, and nothing is claimed without evidence."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.av_offset import MAX_LAG, AvOffset, estimate_av_offset
from data_prep.landmarks import follow_face
from data_prep.video import iter_rgb
from recipe.mouth import mouth_opening
from recipe.recipe_328 import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from recipe.sound import load_audio
from tests.odd import odd

Scene = tuple[NDArray[np.float32], NDArray[np.float32]]  # opening per frame, sound


def _late(audio_S: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    samples = frames * SAMPLES_PER_FRAME
    silence = np.zeros(abs(samples), np.float32)
    return np.concatenate([silence, audio_S[:-samples]] if samples > 0 else [audio_S[-samples:], silence])


def _estimate(opening_T: NDArray[np.float32], audio_S: NDArray[np.float32]) -> AvOffset:
    return estimate_av_offset(opening_T, np.ones(len(opening_T), bool), audio_S, [(0, len(opening_T))])


def _noise(frames: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, frames * SAMPLES_PER_FRAME).astype(np.float32)


@pytest.fixture(scope="module")
def talker() -> Scene:
    """Half a minute of made-up speech: a buzz whose loudness and first resonance follow the mouth."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(5)
    frames = 750
    slow = np.convolve(rng.normal(0, 1, frames + 40), np.hanning(7), "same")[20:-20]
    opening = np.maximum(0, 0.06 + 0.05 * slow).astype(np.float32)
    wide = np.repeat(opening / opening.max(), SAMPLES_PER_FRAME)
    buzz = np.sign(np.sin(2 * np.pi * 120 * np.arange(len(wide)) / SAMPLE_RATE_HZ)) + rng.normal(0, 0.3, len(wide))
    dull = lfilter([1], [1, -0.95], buzz) * 0.05
    audio = (wide * buzz + (1 - wide) * dull) * (0.02 + wide) * 0.2 + rng.normal(0, 0.002, len(wide))
    return opening, audio.astype(np.float32)


@pytest.fixture(scope="module")
def presenter(presenter_video: Path) -> Scene:
    """The synthetic presenter's true mouth and her sound."""
    opening = np.load(presenter_video.with_name("presenter_ground_truth.npz"))["mouth_open_mm"]
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    with av.open(str(presenter_video)) as container:
        parts = [block.to_ndarray()[0] for frame in container.decode(audio=0) for block in resampler.resample(frame)]
    audio = np.zeros(len(opening) * SAMPLES_PER_FRAME, np.float32)
    heard = np.concatenate(parts)[: len(audio)]
    audio[: len(heard)] = heard
    return opening, audio


@pytest.mark.parametrize("shift", [-10, -6, -3, 3, 6, 10])
@pytest.mark.parametrize("scene", ["talker", "presenter"])
def test_known_shift_is_found(scene: str, shift: int, request: pytest.FixtureRequest) -> None:
    opening, audio = request.getfixturevalue(scene)
    found = _estimate(opening, _late(audio, shift))
    assert abs(found.frames - shift) <= 1
    assert found.clear
    assert ("late" if shift > 0 else "early") in found.evidence
    assert abs(int(np.argmax(found.correlation)) - MAX_LAG - shift) <= 1


@pytest.mark.parametrize("scene", ["talker", "presenter"])
def test_in_sync_is_left_alone(scene: str, request: pytest.FixtureRequest) -> None:
    opening, audio = request.getfixturevalue(scene)
    found = _estimate(opening, audio)
    assert abs(found.frames) <= 1
    assert not found.clear
    assert found.confidence > 4
    assert found.evidence.endswith("in sync")


def test_jump_cuts_do_not_blur_the_estimate(talker: Scene) -> None:
    opening, audio = talker
    late = _late(audio, 5)
    keep = np.r_[0:200, 260:480, 500:750]
    sound = late.reshape(-1, SAMPLES_PER_FRAME)[keep].ravel()
    clips = [(0, 200), (200, 420), (420, 670)]
    valid = np.ones(670, bool)
    valid[300:330] = False
    found = estimate_av_offset(np.where(valid, opening[keep], 9).astype(np.float32), valid, sound, clips)
    assert found.frames == 5
    assert found.clear


def test_halves_that_differ_are_not_clear(talker: Scene) -> None:
    opening, audio = talker
    half = len(audio) // 2
    torn = np.concatenate([_late(audio, 8)[:half], _late(audio, -8)[half:]])
    assert not _estimate(opening, torn).clear


def test_unrelated_sound_is_not_clear(talker: Scene, presenter: Scene) -> None:
    time_s = np.arange(len(talker[1])) / SAMPLE_RATE_HZ
    music = sum(np.sin(2 * np.pi * hz * time_s) * (1 + np.sin(2 * np.pi * beat * time_s)) for hz, beat in
                ((220, 2.0), (330, 1.0), (440, 0.5), (660, 4.0)))  # fmt: skip
    other = [np.asarray(0.1 * music, np.float32), np.resize(presenter[1], len(talker[1])), talker[1][::-1].copy()]
    for audio in [*other, *(_noise(750, seed) for seed in range(12))]:
        found = _estimate(talker[0], audio)
        assert not found.clear
        assert found.confidence < 4


def test_too_little_to_say(talker: Scene) -> None:
    opening, audio = talker
    cases = {
        "the sound is constant": (opening, np.zeros_like(audio)),
        "the mouth never moves": (np.full_like(opening, 0.1), audio),
        "fewer than 125 frames": (opening[:100], audio[: 100 * SAMPLES_PER_FRAME]),
    }
    for evidence, (mouth, sound) in cases.items():
        found = _estimate(mouth, sound)
        assert (found.frames, found.clear, found.confidence) == (0, False, 0.0)
        assert found.evidence.startswith(evidence)
        assert found.correlation == [0.0] * (2 * MAX_LAG + 1)


def test_sound_that_ends_early_is_silence_not_an_error(talker: Scene) -> None:
    opening, audio = talker
    assert _estimate(opening, _late(audio, 4)[: 500 * SAMPLES_PER_FRAME]).frames == 4


def test_late_sound_in_twelve_seconds_is_found_by_tracked_lips() -> None:
    """Once its halves of six seconds, too short to be sure of, kept it from being corrected."""
    path = odd("late_sound.mp4")
    tracked = follow_face(iter_rgb(path))
    found = _estimate(mouth_opening(tracked.landmarks_TK2), load_audio(path))
    assert abs(found.frames - 14) <= 1  # 560 ms
    assert found.clear, found.evidence
