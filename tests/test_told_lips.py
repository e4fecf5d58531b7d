"""Lips from text: phones become mouth units, streamed as they are whole; where none are told, the ears listen."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config import Models
from recipe.articulation.coarticulation import segments_of
from recipe.articulation.mouth_units import MOUTH_UNITS, lips_meet, opening_mm, spoken_units, units_of_frame
from recipe.articulation.visemes import Phone
from services.container import Services, build_services
from services.speech.espeak import EspeakTTS
from services.speech.feed import SpeechFeed
from services.speech.flite import FliteTTS
from services.speech.lips import SpokenLips
from services.tts_service import SpeechService
from services.types import AudioChunk, AvatarModel, VideoFrame
from tests.service_material import Humming

TEXT = "Bob may buy a big map. People mind. Five of them moved very far away."
VOICES = ("flite:slt", "espeak:en-us")
UNITS = len(MOUTH_UNITS)


@pytest.fixture(scope="module")
def services(photo_avatars: Path) -> Services:
    return build_services(Models(avatars_dir=photo_avatars, runtime="onnxruntime", device="cpu"), Humming())


@pytest.fixture(scope="module")
def model(services: Services) -> AvatarModel:
    return services.models.open("eve")


class Watched:
    """Notes what every frame is told, and draws a speck of it: the pictures themselves are tested elsewhere."""

    batch_frames, first_batch_frames, provider = 4, 1, "tests"

    def __init__(self, model: AvatarModel) -> None:
        self._model, self.avatar = model, model.avatar
        self.told: list[np.ndarray] = []

    def encode_audio(self, pcm_BS: np.ndarray, gate_B: np.ndarray, lips: object = ()) -> np.ndarray:
        told = self._model.encode_audio(pcm_BS, gate_B, lips)  # type: ignore[arg-type]
        self.told.extend(told)
        return told

    def draw(self, indices: object, embedding_BD: np.ndarray, held: object = ()) -> Iterator[np.ndarray]:
        return (np.zeros((2, 2, 3), np.uint8) for _ in embedding_BD)


def spoken(voice: str) -> list[AudioChunk]:
    return list(SpeechService([FliteTTS(), EspeakTTS()]).synthesize(TEXT, voice))


def told_by(services: Services, model: AvatarModel, chunks: list[AudioChunk]) -> tuple[np.ndarray, list[VideoFrame]]:
    watched, feed = Watched(model), SpeechFeed(chunks)
    feed.start()
    frames = list(services.frames.generate(watched, feed, 30, feed.lips))
    return np.stack(watched.told), frames


def recut(chunks: list[AudioChunk], pieces: int) -> list[AudioChunk]:
    """The same utterance in other chunks; the phones of a chunk come with its first piece."""
    cut = []
    for chunk in chunks:
        for number, pcm_S in enumerate(np.array_split(chunk.pcm_S, pieces)):
            phones = chunk.phones if number == 0 else ()
            cut.append(replace(chunk, pcm_S=pcm_S, phones=phones, starts_sentence=chunk.starts_sentence and not number))
    return cut


@pytest.mark.parametrize("voice", VOICES)
def test_what_is_said_makes_the_lips(voice: str, services: Services, model: AvatarModel) -> None:
    chunks = spoken(voice)
    told, frames = told_by(services, model, chunks)
    assert len(told) == len(frames)
    phones = [phone for chunk in chunks for phone in chunk.phones or ()]
    segments = segments_of(phones, chunks[0].alphabet)
    wanted = spoken_units(segments, len(frames))
    np.testing.assert_allclose(told[:-1, :UNITS], wanted[:-1], atol=1e-6)  # a track repeats its last step
    assert opening_mm(told[lips_meet(segments, len(frames)), :UNITS]).max() < 0.5
    assert told[10:20, UNITS].max() > 0.3  # how loud it is is still heard, for the nods


@pytest.mark.parametrize("voice", VOICES)
def test_streamed_equals_whole(voice: str, services: Services, model: AvatarModel) -> None:
    chunks = spoken(voice)
    whole, _ = told_by(services, model, chunks)
    for pieces in (2, 7):
        streamed, _ = told_by(services, model, recut(chunks, pieces))
        np.testing.assert_array_equal(streamed, whole)


def test_a_frame_needs_the_phones_around_it_alone() -> None:
    phones = [
        Phone(name, 0.09 * k, 0.09 * (k + 1))
        for k, name in enumerate(["pau", *["m", "aa", "b", "iy", "p", "f", "v", "ow", "w", "s"]] * 4)
    ]
    segments = segments_of(phones, "arpabet")
    lips = SpokenLips()
    taken = []
    for phone in phones:
        lips.tell((phone,), "arpabet", phone.start_s)
        while lips.are_known(len(taken)):
            taken.append(lips.take(len(taken)))
    assert len(taken) > 70
    for frame, units_U in enumerate(taken):
        assert units_U is not None
        np.testing.assert_array_equal(units_U, units_of_frame(segments, frame))


def test_near_an_unknown_phone_the_ears_listen_and_it_is_said(
    services: Services, model: AvatarModel, caplog: pytest.LogCaptureFixture
) -> None:
    chunks = spoken("flite:slt")
    unheard, _ = told_by(services, model, chunks)
    by_ear, _ = told_by(services, model, [replace(chunk, phones=None, alphabet="") for chunk in chunks])
    first = chunks[0].phones
    assert first is not None
    strange = first[6]
    phones = (*first[:6], replace(strange, name="qq"), *first[7:])
    with caplog.at_level(logging.WARNING, "services.speech.lips"):
        mixed, _ = told_by(services, model, [replace(chunks[0], phones=phones), *chunks[1:]])
    assert caplog.text.count("the lips are heard, not told: phone 'qq' is not one of flite's") == 1
    source_T = np.array(
        [0 if (m == u).all() else 1 if (m == e).all() else 2 for m, u, e in zip(mixed, unheard, by_ear, strict=True)]
    )
    assert set(source_T) == {0, 1}
    ears = np.flatnonzero(source_T) / 25
    assert strange.start_s - 0.55 < ears.min() < strange.start_s and strange.stop_s < ears.max() < strange.stop_s + 0.55


def test_sound_without_its_phones_is_heard(
    services: Services, model: AvatarModel, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that takes over in the middle may tell none."""
    chunks = spoken("flite:slt")
    later = [chunks[0], *(replace(chunk, phones=None, alphabet="") for chunk in chunks[1:])]
    with caplog.at_level(logging.WARNING, "services.speech.lips"):
        mixed, _ = told_by(services, model, later)
    by_ear, _ = told_by(services, model, [replace(chunk, phones=None, alphabet="") for chunk in chunks])
    told, _ = told_by(services, model, chunks)
    assert chunks[0].phones is not None
    cut = round(chunks[0].phones[-1].stop_s * 25)
    np.testing.assert_array_equal(mixed[: cut - 14], told[: cut - 14])
    np.testing.assert_array_equal(mixed[cut:], by_ear[cut:])
    assert caplog.text.count("sound came without its phones") == 1


def test_a_long_utterance_is_forgotten_on_the_way() -> None:
    lips = SpokenLips()
    for frame in range(500):
        lips.tell((Phone("aa", 0.04 * frame, 0.04 * (frame + 1)),), "arpabet", 0.0)
        if frame >= 30:
            assert lips.take(frame - 30) is not None
    assert len(lips._told) < 80
