"""What the services hand to one another.

Axes: B batch, S audio samples (16 kHz), D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.visemes import Phone
from recipe.recipe_328 import FPS
from services.avatars.avatar import Avatar, PhotoAvatar

# Of every row the mouth units (U,) that what is said asks for, or None where only its sound is known; empty: nowhere.
ToldLips = Sequence[NDArray[np.float32] | None]


class Place(NamedTuple):
    """Where a patch lies in its frame, px."""

    left: int
    top: int


class Patch(NamedTuple):
    """The part of a finished frame that depends on the sound; all else is as in every drawing of this frame."""

    place: Place
    picture_HWC: NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True)
class VideoFrame:
    """One finished picture and the sound that belongs to it.

    `pcm_S` are the 640 samples that frame `index` owns; after the end of the sound they are zeros.
    """

    index: int
    frame_rgb_HWC: NDArray[np.uint8]
    pcm_S: NDArray[np.float32]
    template_index: int
    gate: float
    direction: int = 1  # in which the walk through the template leaves this frame
    place: Place | None = None  # of a picture that is a patch: over the rest of the template frame
    held: bool = False  # shows the mouth of the frame before it: services/mouth_rate.py

    @property
    def pts_s(self) -> float:
        """When the frame is shown, in seconds from the start of the utterance."""
        return self.index / FPS


class AvatarModel(Protocol):
    """An avatar ready to speak, of whatever kind: who streams, caches or measures does not know which.

    Every result depends on its own row alone, bit for bit, never on the batch it was computed in.
    """

    @property
    def avatar(self) -> Avatar | PhotoAvatar: ...

    @property
    def batch_frames(self) -> int:
        """How many frames this machine computes at a time."""

    @property
    def first_batch_frames(self) -> int:
        """How many frames to compute in an utterance's first call; it doubles with every call, up to `batch_frames`."""

    @property
    def keeps_template(self) -> bool:
        """Whether a template frame that was drawn once is cheaper for as long as the avatar is loaded."""

    @property
    def provider(self) -> str:
        """What the networks run on, as the runtime names it."""

    def encode_audio(
        self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32], lips: ToldLips = ()
    ) -> NDArray[np.float32]:
        """Audio windows (B, S) and their gates -> embeddings (B, D).

        Where it is known what is said, `lips` has the mouth units of each row; a kind that listens only leaves them.
        """

    def draw(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[NDArray[np.uint8]]:
        """Finished pictures (H, W, 3), RGB: the avatar in its state `indices[b]`, with the lips that `b` heard.

        Rows that are `held` show the mouth that was drawn for the row before them, which saves most of their work.
        """

    def draw_patches(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[Patch]:
        """Of what `draw` gives, the rectangle that the sound changes, without the work for the rest of the picture."""

    def cut_out(self, index: int, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture of template frame `index` without what is behind the person: (H, W, 4), straight opacity.

        Raises:
            NotCutOutError: this avatar's person is not told from the background.
        """


class ModelProvider(Protocol):
    """Where loaded avatars come from."""

    def open(self, name: str) -> AvatarModel:
        """Load an avatar, or return it if it is loaded already."""

    def open_unlisted(self, avatars_dir: Path, name: str) -> PhotoModel:
        """Load a photo avatar that lies elsewhere; it is not remembered, and its folder may go afterwards."""

    def forget(self, recordings: Collection[str]) -> list[str]:
        """Forget the loaded avatars of these recordings (SHA-256); returns their names."""

    def loaded(self) -> list[str]:
        """Names of the avatars in memory."""


class PhotoModel(AvatarModel, Protocol):
    """A photo avatar that is loaded."""

    @property
    def memory_bytes(self) -> int: ...


class PhotoMaker(Protocol):
    """Makes avatars of photos. It is preparation's work, so whoever starts the server hands it in."""

    @property
    def has_restorer(self) -> bool:
        """Whether a network that restores faces is set up."""

    def __call__(
        self, photo: Path, avatars_dir: Path, name: str, *, consent: str, synthetic: bool, restore: str
    ) -> None:
        """Make avatars_dir/name.

        Args:
            photo: a picture, or a short video whose best frame is taken.
            avatars_dir: where the avatar will lie.
            name: of the avatar.
            consent: "who, YYYY-MM-DD, scope", or empty.
            synthetic: it shows no real person.
            restore: "auto", "off" or "network".
        Raises:
            PhotoRefusedError: no avatar can be made of it; the message says why.
            ConsentFormatError: the consent is not of that form.
            RestorerError: the network that restores faces failed.
        """


@dataclass(frozen=True, eq=False, slots=True)
class AudioChunk:
    """A piece of speech, as soon as an engine has it.

    `pcm_S` is float32 mono in [-1, 1] at `sample_rate_hz`, a multiple of 25, the same for a whole utterance.
    `sentence` is what is said, for captions; `starts_sentence` marks its first chunk. `voice` is who really says it.

    `phones` are those that became known with this chunk, in seconds from the begin of the utterance; None where the
    engine does not tell them. They come ahead of their sound: an engine that makes whole sentences tells all phones of
    a sentence with its first chunk. Those of all chunks, one after the other, cover the utterance without gaps.
    `alphabet` is theirs, one of recipe.articulation.visemes.ALPHABETS.
    """

    pcm_S: NDArray[np.float32]
    sample_rate_hz: int
    sentence: str
    starts_sentence: bool
    voice: Voice | None = None
    phones: tuple[Phone, ...] | None = None
    alphabet: str = ""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice that can be asked for by name."""

    name: str  # "flite:slt", "espeak:en-gb", "piper:en_US-lessac-medium"
    engine: str  # "piper", "flite" or "espeak"
    language: str  # BCP 47, for example "en-GB"
    label: str  # for people


@dataclass(frozen=True, slots=True)
class SpeechStatus:
    """Which engine speaks, and why not the preferred one."""

    engine: str
    default_voice: str
    fallback_reason: str | None
    degraded: bool = False  # what was configured cannot speak, or an engine failed


class TTSService(Protocol):
    """Text to speech, sentence by sentence."""

    def voices(self) -> Sequence[Voice]:
        """Every voice of this machine, the default one first."""

    def status(self) -> SpeechStatus:
        """Which engine speaks."""

    def warm_up(self) -> None:
        """Load what speaks by default, so that the first listener does not wait.

        Raises:
            SpeechError: nothing on this machine can speak.
        """

    def check(self, text: str, voice: str | None = None, speed: float = 1.0) -> None:
        """Raise what `synthesize` would raise before its first chunk; cheap.

        Raises:
            TextRejectedError: nothing in it can be spoken, the voice has no sound for some of it, it is too long, or
                the speed is outside its range.
            VoiceNotFoundError: there is no such voice.
            SpeechError: the engine of the voice that was named failed.
        """

    def synthesize(
        self, text: str, voice: str | None = None, speed: float = 1.0, cancelled: threading.Event | None = None
    ) -> Generator[AudioChunk, None, None]:
        """Speak; the first chunk comes before the last sentence is begun.

        Closing the generator stops the engine. Safe to call from any thread, several at a time.

        Args:
            text: plain text; markup is read as text without its tags.
            voice: one of `voices`; None is the default one.
            speed: 1 is the voice's own, 2 twice as fast.
            cancelled: set by any thread when nobody wants the rest; who waits for a chunk gets GeneratorExit, as if the
                generator had been closed there.
        Raises:
            TextRejectedError, VoiceNotFoundError: see `check`; at the call, not at the first chunk.
            SpeechError: every engine that may speak this voice failed.
        """
