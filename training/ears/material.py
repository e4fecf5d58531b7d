"""Speech with exact lips: synthetic voices that tell their phones and times, and real speech whose phones were aligned.

No picture is drawn: phones with times give the mouth by coarticulation. Real speech is read from a folder that holds
`utterances.jsonl` (id, speaker, phones as [name, start s, duration s] in ARPAbet, or null) and `audio/ID.opus`.

Axes: S audio samples (16 kHz), T video frames of all utterances, U mouth units.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.coarticulation import segments_of
from recipe.articulation.mouth_units import MOUTH_UNITS, lips_meet, spoken_units
from recipe.articulation.speakers import Speech, SpeechError, speaker
from recipe.articulation.visemes import Phone, UnknownPhoneError
from recipe.files import sha256, written_aside
from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from recipe.sound import from_pcm16, load_audio, to_pcm16

log = logging.getLogger(__name__)

TRAIN_VOICES: Final = {  # minutes of each
    "flite:slt": 4.0, "flite:awb": 4.0, "flite:kal16": 3.0, "flite:kal": 1.5,
    "espeak:en-us": 1.5, "espeak:en-us+f2": 1.5, "espeak:en-us+f4": 1.5, "espeak:en-us+m1": 1.5, "espeak:en-us+m3": 1.5,
    "espeak:en-us+f3": 1.5, "espeak:en-us+m8": 1.5, "espeak:en-gb-scotland+m4": 1.5, "espeak:en+f1": 1.5,
    "espeak:en-gb-x-rp+m6": 1.5, "espeak:de": 1.5, "espeak:de+f2": 1.5, "espeak:fr": 1.5, "espeak:fr+f4": 1.5,
    "espeak:es+m2": 1.0, "espeak:it+f1": 1.0, "espeak:en-us+whisper": 0.7, "espeak:en-us+croak": 0.7,
}  # fmt: skip
HELD_OUT_VOICES: Final = {"flite:rms": 2.0, "espeak:en-us+m7": 1.5, "espeak:en-us+f5": 1.5, "espeak:de+m5": 1.5}
UTTERANCES: Final = "utterances.jsonl"  # of a folder of real speech
_EVERY_HELD_OUT: Final = 6  # of the real speakers, one in so many is kept apart
_SPEEDS: Final = (0.8, 1.3)
_PAUSE_S: Final = (0.3, 0.7)
_SPEECH_DBFS: Final = -20.0
_SENTENCES: Final = Path(__file__).with_name("sentences.txt")
_SILENT: Final = {"SIL", "+SPN+", "+NSN+"}


@dataclass(frozen=True, eq=False)
class Material:
    """All utterances one after the other; `clips` says where each begins and ends, in frames."""

    pcm_S: NDArray[np.float32]
    units_TU: NDArray[np.float32]
    meet_T: NDArray[np.bool_]  # in a p, b or m
    clips: list[tuple[int, int]]
    voices: list[str]  # of each clip
    held_out: list[bool]  # of each clip: a voice that training never hears
    made_of: str  # hash of the voices, sentences and real speech, which tells two materials apart

    def clips_of(self, held_out: bool) -> list[tuple[int, int]]:
        """The clips of one side."""
        return [clip for clip, apart in zip(self.clips, self.held_out, strict=True) if apart == held_out]


def load_material(store: Path, real_speech: Path | None, share: float = 1.0) -> Material:
    """Speak everything, or read what was spoken before.

    Args:
        store: the .npz that is written or read.
        real_speech: folder of aligned real speech; None does without.
        share: of the minutes of every voice; small for tests.
    Raises:
        SpeechError: an engine is missing.
    """
    made_of = _made_of(real_speech, share)
    if not store.is_file() or _stored(store) != made_of:
        utterances = [*_synthetic(share), *(_real(real_speech) if real_speech else ())]
        with written_aside(store) as part:
            np.savez(part, made_of=np.array(made_of), **_joined(utterances))  # type: ignore[arg-type]
    with np.load(store, allow_pickle=False) as found:
        edges = np.concatenate([[0], np.cumsum(found["lengths"])]).tolist()
        return Material(
            pcm_S=from_pcm16(found["pcm_S"]),
            units_TU=found["units_TU"].astype(np.float32),
            meet_T=found["meet_T"],
            clips=list(pairwise(edges)),
            voices=[str(voice) for voice in found["voices"]],
            held_out=[bool(apart) for apart in found["held_out"]],
            made_of=made_of,
        )


def _made_of(real_speech: Path | None, share: float) -> str:
    spoken = [share, TRAIN_VOICES, HELD_OUT_VOICES, sha256(_SENTENCES)]
    heard = sha256(real_speech / UTTERANCES) if real_speech else None
    return hashlib.sha256(json.dumps([spoken, heard]).encode()).hexdigest()


def _stored(store: Path) -> str:
    with np.load(store, allow_pickle=False) as found:
        return str(found["made_of"]) if "made_of" in found else ""


@dataclass(frozen=True, eq=False)
class _Utterance:
    voice: str
    held_out: bool
    pcm_S: NDArray[np.float32]  # whole frames
    units_TU: NDArray[np.float32]
    meet_T: NDArray[np.bool_]


def _joined(utterances: list[_Utterance]) -> dict[str, NDArray[np.generic]]:
    return {
        "pcm_S": np.concatenate([to_pcm16(one.pcm_S) for one in utterances]),
        "units_TU": np.concatenate([one.units_TU for one in utterances]).astype(np.float16),
        "meet_T": np.concatenate([one.meet_T for one in utterances]),
        "lengths": np.array([len(one.units_TU) for one in utterances]),
        "voices": np.array([one.voice for one in utterances]),
        "held_out": np.array([one.held_out for one in utterances]),
        "names": np.array(MOUTH_UNITS),
    }


def _synthetic(share: float) -> Iterator[_Utterance]:
    for held_out, voices in ((False, TRAIN_VOICES), (True, HELD_OUT_VOICES)):
        for voice, minutes in voices.items():
            rng = np.random.default_rng(zlib.crc32(voice.encode()))
            sentences, frames = _sentences(voice), 0
            while frames < minutes * share * 60 * FPS:
                speech = speaker(voice, float(rng.uniform(*_SPEEDS)))(str(rng.choice(sentences)))
                try:
                    one = _utterance(voice, held_out, speech, rng)
                except UnknownPhoneError as error:
                    log.warning("%s: a sentence is left out: %s", voice, error)
                    continue
                frames += len(one.units_TU)
                yield one
            log.info("%s: %.1f min", voice, frames / (60 * FPS))


def _sentences(voice: str) -> list[str]:
    engine, _, name = voice.partition(":")
    language = name[:2] if engine == "espeak" else "en"
    blocks = re.split(r"^\[(\w+)\]$", _SENTENCES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(blocks[1::2], (block.split("\n") for block in blocks[2::2]), strict=True))[language][1:-1]


def _utterance(voice: str, held_out: bool, speech: Speech, rng: np.random.Generator) -> _Utterance:
    """Speech between two pauses, with the mouth that belongs to it."""
    before_s = float(rng.uniform(*_PAUSE_S))
    frames = int(np.ceil((before_s + speech.duration_s + rng.uniform(*_PAUSE_S)) * SAMPLE_RATE_HZ / SAMPLES_PER_FRAME))
    pcm_S = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    first = round(before_s * SAMPLE_RATE_HZ)
    level = float(np.sqrt(np.square(speech.pcm_S.astype(np.float64)).mean()))
    pcm_S[first : first + len(speech.pcm_S)] = speech.pcm_S * 10 ** (_SPEECH_DBFS / 20) / max(level, 1e-5)
    silent = "pau" if speech.alphabet == "arpabet" else "_"
    phones = [Phone(silent, 0.0, before_s), *speech.shifted(before_s)]
    phones.append(Phone(silent, phones[-1].stop_s, frames * SAMPLES_PER_FRAME / SAMPLE_RATE_HZ))
    segments = segments_of(phones, speech.alphabet)
    return _Utterance(voice, held_out, pcm_S.clip(-1, 1), spoken_units(segments, frames), lips_meet(segments, frames))


def _real(folder: Path) -> Iterator[_Utterance]:
    lines = (folder / UTTERANCES).read_text(encoding="utf-8").splitlines()
    aligned = [row for row in map(json.loads, lines) if row["phones"]]
    speakers = sorted({row["speaker"] for row in aligned})
    apart = set(speakers[_EVERY_HELD_OUT - 1 :: _EVERY_HELD_OUT])
    for row in aligned:
        pcm_S = load_audio(folder / "audio" / f"{row['id']}.opus")
        phones = [
            Phone("pau" if name in _SILENT else name.lower(), start, start + length)
            for name, start, length in row["phones"]
        ]
        speech = Speech(pcm_S, tuple(phones), "arpabet")
        rng = np.random.default_rng(zlib.crc32(row["id"].encode()))
        try:
            yield _utterance(f"real:{row['speaker']}", row["speaker"] in apart, speech, rng)
        except (SpeechError, UnknownPhoneError) as error:
            log.warning("%s is left out: %s", row["id"], error)
