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
from recipe.articulation.coarticulation import segments_of
from recipe.articulation.mouth_units import opening_mm, spoken_units
from recipe.articulation.speakers import speaker
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
    """A German voice for half a minute, and the mouth that belongs to it."""
    text = (
        "Guten Abend. Am Montag beginnt wieder das Programm der Volkshochschule, mit mehr Kursen als je zuvor. "
        "Besonders beliebt sind Abende, an denen man gemeinsam kocht, malt oder Musik macht. Wer mitmachen möchte, "
        "meldet sich bis Mittwoch im Büro am Markt. Bringen Sie bitte Papier, Pinsel und bequeme Kleidung mit. "
        "Alles Übrige bekommen Sie von uns, auch einen Imbiss in der Pause. Wir freuen uns auf Ihren Besuch, "
        "und vor allem auf Ihre Ideen, denn ohne sie wäre das Haus nur halb so bunt."
    )
    speech = speaker("espeak:de+m5")(text)
    frames = len(speech.pcm_S) // SAMPLES_PER_FRAME
    units_TU = spoken_units(segments_of(list(speech.phones), speech.alphabet), frames)
    return opening_mm(units_TU).astype(np.float32), speech.pcm_S[: frames * SAMPLES_PER_FRAME]


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


# Its frames show the mouth half a frame after the middle of their sound: older than the rule that they show the middle.
_OF_ITSELF = {"talker": 0.0, "presenter": -0.6}


@pytest.mark.parametrize("shift", [-10, -1, 6])
@pytest.mark.parametrize("scene", ["talker", "presenter"])
def test_known_shift_is_found(scene: str, shift: int, request: pytest.FixtureRequest) -> None:
    opening, audio = request.getfixturevalue(scene)
    found = _estimate(opening, _late(audio, shift))
    assert abs(found.frames - _OF_ITSELF[scene] - shift) < 0.15
    assert found.clear
    assert ("late" if found.frames > 0 else "early") in found.evidence
    assert abs(int(np.argmax(found.correlation)) - MAX_LAG - found.frames) <= 0.6


def test_in_sync_is_left_alone(talker: Scene) -> None:
    found = _estimate(*talker)
    assert abs(found.frames) < 0.1
    assert not found.clear
    assert found.confidence > 8
    assert found.evidence.endswith("in sync")


def test_a_part_of_a_frame_is_told(talker: Scene) -> None:
    opening, audio = talker
    late = np.concatenate([np.zeros(SAMPLES_PER_FRAME // 2, np.float32), audio[: -SAMPLES_PER_FRAME // 2]])
    found = _estimate(opening, late)
    assert found.frames == pytest.approx(0.5, abs=0.1)
    assert found.clear
    assert f"{40 * found.frames:.0f} ms late" in found.evidence


def test_jump_cuts_do_not_blur_the_estimate(talker: Scene) -> None:
    opening, audio = talker
    late = _late(audio, 5)
    keep = np.r_[0:200, 260:480, 500:730]
    sound = late.reshape(-1, SAMPLES_PER_FRAME)[keep].ravel()
    clips = [(0, 200), (200, 420), (420, 650)]
    valid = np.ones(650, bool)
    valid[300:330] = False
    found = estimate_av_offset(np.where(valid, opening[keep], 9).astype(np.float32), valid, sound, clips)
    assert found.frames == pytest.approx(5, abs=0.15)
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
    found = _estimate(opening, _late(audio, 4)[: 500 * SAMPLES_PER_FRAME])
    assert found.frames == pytest.approx(4, abs=0.15)


def test_late_sound_in_twelve_seconds_is_found_by_tracked_lips() -> None:
    """Once its halves of six seconds, too short to be sure of, kept it from being corrected."""
    path = odd("late_sound.mp4")
    tracked = follow_face(iter_rgb(path))
    found = _estimate(mouth_opening(tracked.landmarks_TK2), load_audio(path))
    assert abs(found.frames - 14) <= 1  # 560 ms
    assert found.clear, found.evidence
