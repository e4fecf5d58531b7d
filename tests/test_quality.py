"""The judgement of a recording: each fault is named, with the right severity and something to do about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.av_offset import AvOffset
from data_prep.quality import Finding, QualityInputs, QualityReport, judge
from data_prep.spectrum import mel_db, reverberation_s
from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from recipe.sound import load_audio

IN_SYNC = AvOffset(0, 8.0, False, [0.0] * 31, "in sync")


def _speech(frames: int, seed: int = 0) -> NDArray[np.float32]:
    """Something that starts and stops like speech: buzzes of a quarter of a second with short gaps."""
    time_s = np.arange(frames * SAMPLES_PER_FRAME) / SAMPLE_RATE_HZ
    syllables = np.clip(4 * np.sin(2 * np.pi * 3 * time_s) + 2.5, 0, 1)
    buzz = sum(np.sin(2 * np.pi * 140 * k * time_s) / k for k in range(1, 20))
    hiss = np.random.default_rng(seed).normal(0, 1, len(time_s))
    return (0.1 * syllables * (buzz + 0.2 * hiss)).astype(np.float32)


def _recording(seconds: int, silence_s: int = 8) -> QualityInputs:
    """A recording without a fault, but for its length."""
    frames = seconds * FPS
    rng = np.random.default_rng(1)
    quiet = silence_s * FPS
    speaking = np.zeros(frames, bool)
    speaking[quiet : frames - quiet] = True
    pause = speaking & (np.arange(frames) % 150 < 25)
    opening = np.where(speaking & ~pause, 0.08 + 0.06 * np.sin(np.arange(frames) / 2), 0.004)
    audio = _speech(frames) * np.repeat(speaking & ~pause, SAMPLES_PER_FRAME)
    audio += rng.normal(0, 3e-4, len(audio)).astype(np.float32)
    affine = np.tile(np.array([[1, 0, -400], [0, 1, -200]], np.float32), (frames, 1, 1))
    affine[:, :, 2] += np.stack([12 * np.sin(np.arange(frames) / 40), 5 * np.cos(np.arange(frames) / 30)], 1)
    return QualityInputs(
        duration_s=float(seconds),
        source_fps=25.0,
        source_width=1920,
        source_height=1080,
        face_width_T=np.full(frames, 300, np.float32),
        pose_T3=rng.normal(0, 3, (frames, 3)).astype(np.float32),
        affine_T23=affine,
        blur_T=np.full(frames, 60, np.float32),
        exposure_T=np.full(frames, 125, np.float32),
        clipped_T=np.full(frames, 0.01, np.float32),
        valid_T=np.ones(frames, bool),
        excluded={},
        second_face_frames=0,
        audio_S=audio,
        opening_T=opening.astype(np.float32),
        clips=[(0, frames)],
        av_offset=IN_SYNC,
    )


@pytest.fixture(scope="module")
def minute() -> QualityInputs:
    return _recording(62)


def _finding(report: QualityReport, what: str) -> Finding:
    (found,) = [finding for finding in report.findings if finding.what == what]
    return found


def _only_fault(inputs: QualityInputs, what: str, level: str, *words: str) -> None:
    """Besides the length, exactly this fault is found, and says these words."""
    report = judge(inputs)
    found = _finding(report, what)
    assert found.level == level, found
    assert [f.what for f in report.findings if f.level != "ok"] == (
        [what, "Length"] if level == "bad" else ["Length", what]
    )
    for word in words:
        assert word in f"{found.value} {found.advice}"


def test_five_good_minutes_are_good() -> None:
    report = judge(_recording(300))
    assert [finding for finding in report.findings if finding.level != "ok"] == []
    assert report.verdict == "good"
    assert report.summary == "This recording will make a good avatar."
    assert all(not finding.advice for finding in report.findings)


def test_length_decides(minute: QualityInputs) -> None:
    report = judge(minute)
    assert report.verdict == "usable"
    assert _finding(report, "Length").level == "warn"
    assert report.summary == "This recording will do. What could be better: length."
    short = judge(_recording(30))
    assert short.verdict == "poor"
    assert short.findings[0].what == "Length"
    assert "toy" in short.findings[0].advice
    assert short.summary.endswith("What fails: length.")


def test_only_frames_with_a_face_count_as_length(minute: QualityInputs) -> None:
    valid = minute.valid_T.copy()
    valid[700:900] = False
    report = judge(replace(minute, valid_T=valid, excluded={"no face": 200}))
    assert _finding(report, "Length").level == "bad"
    assert _finding(report, "Length").value == "54 s with a good face, of 62 s"
    assert _finding(report, "Face in every frame").level == "warn"
    assert "no face: 200" in _finding(report, "Face in every frame").value


@pytest.mark.parametrize(("width", "level"), [(180, "warn"), (140, "bad")])
def test_small_face(minute: QualityInputs, width: int, level: str) -> None:
    faces = np.full_like(minute.face_width_T, width)
    affine = minute.affine_T23 * np.float32(280 / width)
    smaller = replace(minute, face_width_T=faces, affine_T23=affine)
    _only_fault(smaller, "Face size", level, f"{width} px wide", f"enlarged {280 / width:.2f} times", "nearer")


@pytest.mark.parametrize(("reach", "level"), [(12, "warn"), (45, "bad")])
def test_head_motion(minute: QualityInputs, reach: float, level: str) -> None:
    affine = minute.affine_T23.copy()
    affine[:, 0, 2] += (reach * np.sin(np.arange(len(affine)))).astype(np.float32)
    _only_fault(replace(minute, affine_T23=affine), "Head motion", level, "calmer")


def test_a_cut_is_no_head_motion_but_reported(minute: QualityInputs) -> None:
    affine = minute.affine_T23.copy()
    affine[800:, :, 2] += 500
    cut = replace(minute, affine_T23=affine, clips=[(0, 800), (800, len(affine))])
    _only_fault(cut, "One take", "warn", "1 jump cut, so 2 clips")


def test_turned_head(minute: QualityInputs) -> None:
    pose = minute.pose_T3.copy()
    pose[:, 1] += 20
    _only_fault(replace(minute, pose_T3=pose), "Facing the camera", "warn", "Look at the camera")
    tilted = minute.pose_T3.copy()
    tilted[:, 0] -= 15  # a camera above or below is no fault: the person looks into it all the time
    assert _finding(judge(replace(minute, pose_T3=tilted)), "Facing the camera").level == "ok"


def test_blur(minute: QualityInputs) -> None:
    soft = replace(minute, blur_T=np.full_like(minute.blur_T, 9))
    _only_fault(soft, "Sharpness", "warn", "focus")
    smeared = minute.blur_T.copy()
    smeared[::6] = 10
    _only_fault(replace(minute, blur_T=smeared), "Sharpness", "warn", "17% of the frames smeared", "light")


def test_exposure(minute: QualityInputs) -> None:
    dark = replace(minute, exposure_T=np.full_like(minute.exposure_T, 45))
    _only_fault(dark, "Exposure", "warn", "too dark")
    burnt = replace(minute, exposure_T=np.full_like(minute.exposure_T, 230))
    _only_fault(burnt, "Exposure", "bad", "too bright")
    glare = replace(minute, clipped_T=np.full_like(minute.clipped_T, 0.12))
    _only_fault(glare, "Exposure", "warn", "12% burnt out", "soft light")
    pumping = minute.exposure_T + 25 * np.sign(np.sin(np.arange(len(minute.exposure_T)) / 90)).astype(np.float32)
    _only_fault(replace(minute, exposure_T=pumping), "Exposure", "warn", "changes by 50", "Lock exposure")


def test_second_face(minute: QualityInputs) -> None:
    _only_fault(replace(minute, second_face_frames=50), "Only one face", "warn", "50 frames (2.0 s)", "larger")


def test_slow_camera(minute: QualityInputs) -> None:
    _only_fault(replace(minute, source_fps=15.0), "Camera", "warn", "15 pictures/s")


def test_noise(minute: QualityInputs) -> None:
    for sigma, level in ((0.012, "warn"), (0.05, "bad")):
        hiss = np.random.default_rng(2).normal(0, sigma, len(minute.audio_S)).astype(np.float32)
        found = _finding(judge(replace(minute, audio_S=minute.audio_S + hiss)), "Background noise")
        assert found.level == level, found
        assert "quiet room" in found.advice


def test_second_voice_is_a_suspicion(minute: QualityInputs) -> None:
    opening = minute.opening_T.copy()
    opening[600:700] = 0.004  # four seconds of sound like speech while the mouth stays shut
    found = _finding(judge(replace(minute, opening_T=opening)), "Only one voice")
    assert found.level == "warn"
    assert "suspicion" in found.advice
    assert 2.0 <= float(found.value.split(" s ")[0]) <= 4.0
    clean = _finding(judge(minute), "Only one voice")
    assert clean.level == "ok"
    assert "cannot be told apart" in clean.value  # says what it cannot hear


def test_missing_silence(minute: QualityInputs) -> None:
    frames = slice(6 * FPS, -6 * FPS)  # 2 s of silence are left
    samples = slice(6 * SAMPLE_RATE_HZ, -6 * SAMPLE_RATE_HZ)
    count = len(minute.valid_T[frames])
    per_frame = ("face_width_T", "pose_T3", "affine_T23", "blur_T", "exposure_T", "clipped_T", "valid_T", "opening_T")
    cut = replace(
        minute,
        **{name: getattr(minute, name)[frames] for name in per_frame},
        audio_S=minute.audio_S[samples],
        clips=[(0, count)],
    )
    found = _finding(judge(cut), "Silence with a closed mouth")
    assert found.level == "warn"
    start_s, end_s = (float(part.split()[0]) for part in found.value.split(", "))
    assert start_s == pytest.approx(2.0, abs=0.5)
    assert end_s == pytest.approx(2.0, abs=0.6)
    assert "5 to 20 s" in found.advice


def test_silence_with_an_open_mouth_does_not_count(minute: QualityInputs) -> None:
    opening = minute.opening_T.copy()
    opening[: 8 * FPS] = 0.06
    _only_fault(replace(minute, opening_T=opening), "Silence with a closed mouth", "warn", "0.0 s at the start")


def test_a_twitch_does_not_end_the_silence(minute: QualityInputs) -> None:
    opening = minute.opening_T.copy()
    opening[50:53] = 0.05
    assert _finding(judge(replace(minute, opening_T=opening)), "Silence with a closed mouth").level == "ok"


def test_offset(minute: QualityInputs) -> None:
    late = replace(minute, av_offset=AvOffset(4, 9.0, True, [0.0] * 31, ""))
    _only_fault(late, "Sound in time", "warn", "the sound was 160 ms late", "removed")
    early = replace(minute, av_offset=AvOffset(-3, 9.0, True, [0.0] * 31, ""))
    _only_fault(early, "Sound in time", "warn", "the sound was 120 ms early")
    unknown = replace(minute, av_offset=AvOffset(4, 2.0, False, [0.0] * 31, ""))
    _only_fault(unknown, "Sound in time", "warn", "could not be measured")


def test_mumbling(minute: QualityInputs) -> None:
    _only_fault(replace(minute, opening_T=minute.opening_T * np.float32(0.5)), "Mouth shapes", "warn", "open the mouth")


def test_no_voice_at_all(minute: QualityInputs) -> None:
    report = judge(replace(minute, audio_S=np.zeros_like(minute.audio_S)))
    assert report.verdict == "poor"
    assert _finding(report, "Voice").level == "bad"
    assert "microphone" in _finding(report, "Voice").advice


def test_overdriven_and_quiet_voice(minute: QualityInputs) -> None:
    loud = _finding(judge(replace(minute, audio_S=np.clip(minute.audio_S * 8, -1, 1))), "Voice")
    assert loud.level == "warn"
    assert "overdriven" in loud.value
    quiet = _finding(judge(replace(minute, audio_S=minute.audio_S * np.float32(0.03))), "Voice")
    assert quiet.level == "warn"
    assert "quiet" in quiet.advice


def test_no_face_is_an_error(minute: QualityInputs) -> None:
    with pytest.raises(ValueError, match="none of 1550 frames has a good face"):
        judge(replace(minute, valid_T=np.zeros_like(minute.valid_T)))


def test_json_is_what_the_manifest_promises(minute: QualityInputs) -> None:
    report = judge(minute)
    stored = json.loads(json.dumps(report.to_json()))
    assert set(stored) == {"verdict", "findings"}
    assert stored["verdict"] == "usable"
    assert stored["findings"][0] == {
        "what": "Length",
        "level": "warn",
        "value": "62 s with a good face, of 62 s",
        "advice": "It will do, but five minutes show many more mouth shapes.",
    }
    assert [Finding(**finding) for finding in stored["findings"]] == report.findings


@pytest.mark.parametrize(("rt60_s", "rings"), [(0.2, False), (0.4, False), (1.2, True), (2.0, True)])
def test_a_room_that_rings_is_heard(presenter_video: Path, rt60_s: float, rings: bool) -> None:
    """Real speech in a room of noise that falls by 60 dB in a known time."""
    dry_S = load_audio(presenter_video)
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tail = np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ) * 10 ** (-3 * time_s / rt60_s) * (time_s > 0.004)
    tail *= np.sqrt(0.5 / np.square(tail).sum())
    tail[0] = 1
    found_s = reverberation_s(mel_db(np.convolve(dry_S, tail)[: len(dry_S)].astype(np.float32)))
    assert found_s is not None and (found_s > 0.75) == rings
    assert found_s == pytest.approx(rt60_s, rel=0.6)


def test_without_speech_no_room_is_heard() -> None:
    assert reverberation_s(mel_db(np.zeros(SAMPLE_RATE_HZ * 5, np.float32))) is None
