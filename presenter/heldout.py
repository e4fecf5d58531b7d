"""Driving sets that no recording can have: unseen words and voices together with the true frames.

Each set is a folder with `driving.wav` (16 kHz), `truth.mp4`, `ground_truth.npz` and `set.json`. Sets that must look
alike share their frames: a sound that was only made worse looks as the clean one does, and whatever is no speech looks
like silence.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from presenter import video
from presenter.driving_sets import CLEAN, SETS
from presenter.recording import Recording, Settings
from presenter.timeline import FPS, Timeline, read_sentences, speak_text
from recipe.articulation.speakers import SAMPLE_RATE_HZ, speaker
from recipe.articulation.visemes import Phone

TEXT = Path(__file__).parent / "heldout.txt"
DURATION_S = 20.0
SILENCE_S = 1.0


def timeline_of(name: str, seed: int, duration_s: float = DURATION_S) -> Timeline:
    """Sound and phones of the picture that belongs to a set (without damage)."""
    made = SETS[name]
    if made.sound:
        pcm = _sound(made.sound, np.random.default_rng([seed, 3]))
        return Timeline(pcm, (Phone("pau", 0.0, DURATION_S),), "arpabet", ())
    made = SETS[CLEAN] if made.damage else made
    return speak_text(read_sentences(TEXT), speaker(made.voice, made.rate), duration_s, seed, SILENCE_S)


def make_set(name: str, folder: Path, settings: Settings, workers: int) -> Path:
    """Render one set; what is already there is kept.

    Args:
        settings: size and renderer; its seed is the set's, its voice is replaced.
    """
    made = SETS[name]
    folder.mkdir(parents=True, exist_ok=True)
    timeline = timeline_of(name, settings.seed)
    truth = folder / "truth.mp4"
    if made.frames_of:
        truth = folder.parent / made.frames_of / "truth.mp4"
        if not truth.is_file():
            raise FileNotFoundError(
                f"{truth} is not there: the set {name!r} uses its frames; make {made.frames_of!r} first"
            )
    else:
        recording = Recording(truth, timeline, replace(settings, voice=made.voice or f"sound:{made.sound}"))
        recording.prepare()
        recording.render(workers=workers)
        recording.join()
    video.write_wav(folder / "driving.wav", driving_sound(name, timeline, settings.seed))
    relative = Path("..") / made.frames_of if made.frames_of else Path()
    facts = {
        "schema": "avatar328/driving_set/1",
        "name": name,
        "voice": made.voice or SETS[CLEAN].voice if not made.sound else None,
        "rate": made.rate,
        "damage": made.damage or None,
        "sound": made.sound or "speech",
        "driving": "driving.wav",
        "truth": str(relative / "truth.mp4"),
        "ground_truth": str(relative / "ground_truth.npz"),
    }
    (folder / "set.json").write_text(json.dumps(facts, indent=1) + "\n")
    return folder


def driving_sound(name: str, timeline: Timeline, seed: int) -> NDArray[np.float32]:
    """What an avatar is to hear: the set's sound with its damage, 16 kHz."""
    return _damaged(timeline.pcm_S, SETS[name].damage, np.random.default_rng([seed, 4]))


def _damaged(pcm_S: NDArray[np.float32], kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Pink noise at 10 dB signal-to-noise ratio, or a room with 0.6 s of reverberation."""
    heard = pcm_S.astype(float)
    if kind == "noise":
        noise = _pink(len(pcm_S), rng)
        speaking = pcm_S[np.abs(pcm_S) > 0.01]
        level = float(np.sqrt(np.mean(speaking**2))) / 10 ** (10 / 20)
        heard += level * noise
    elif kind == "reverb":
        time_s = np.arange(int(0.6 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        room = rng.normal(size=len(time_s)) * 10 ** (-3 * time_s / 0.6) * (time_s > 0.004) * 0.05
        room[0] = 1.0
        heard = fftconvolve(heard, room)[: len(heard)]
    return np.asarray(heard / max(1.0, float(np.abs(heard).max()) / 0.95), np.float32)


def _pink(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(rng.normal(size=samples))
    shaped = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), samples)
    return np.asarray(shaped / shaped.std())


def _sound(kind: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Sound during which the mouth stays closed."""
    samples = int(DURATION_S * FPS) * (SAMPLE_RATE_HZ // FPS)
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    if kind == "silence":
        return np.zeros(samples, np.float32)
    if kind == "breath":
        band = sosfilt(butter(2, (300, 3500), "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), rng.normal(size=samples))
        sound = band * np.maximum(np.sin(2 * np.pi * time_s / 3.2), 0) ** 1.5
    elif kind == "humming":
        note_hz = np.array([196, 220, 247, 262, 247, 220, 196, 175])[(time_s / 0.9).astype(int) % 8]
        phase = 2 * np.pi * np.cumsum(note_hz * (1 + 0.006 * np.sin(2 * np.pi * 5 * time_s))) / SAMPLE_RATE_HZ
        sound = sum(np.sin(k * phase) / k**2.2 for k in range(1, 7)) * (0.75 + 0.25 * np.cos(2 * np.pi * time_s / 0.9))
    else:
        beat = (time_s / 0.5).astype(int)
        decay = np.exp(-4 * (time_s % 0.5))
        chords_hz = np.array([[220, 277, 330], [175, 220, 262], [131, 165, 196], [196, 247, 294]])
        tones = chords_hz[beat // 4 % 4]
        sound = sum(np.sign(np.sin(2 * np.pi * tones[:, i] * time_s)) * 0.3 for i in range(3)) * decay
        sound = sound + 0.4 * rng.normal(size=samples) * np.exp(-40 * (time_s % 0.5)) * (beat % 2)
    return np.asarray(0.4 * sound / np.abs(sound).max(), np.float32)
