"""Sound in, finished frames out, while the sound is still arriving.

    pieces of sound -> frames that have heard enough -> embeddings -> drawn and pasted pictures

Each arrow is a generator over the one before. The file writer and the server take frames from this very code,
so a stream equals the offline result. The bits do not depend on how the sound was cut: a frame is computed
from its own audio window and gate alone, and every network runs at a fixed batch size (services/runtimes/runtime.py).

Axes: B batch, S audio samples (16 kHz), D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from recipe.audio_window import frame_count, window_start
from recipe.recipe_328 import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, window_samples
from recipe.voice_gate import StreamingGate
from services.avatars.template import TemplateWalk
from services.mouth_rate import MouthRate
from services.seams import Seams
from services.speech.lips import SpokenLips
from services.types import AvatarModel, Place, VideoFrame

_PIECE_SAMPLES = SAMPLE_RATE_HZ  # longer pieces of sound are cut, so that memory does not depend on the caller


@dataclass(slots=True)
class SoundWindow:
    """What one frame hears."""

    index: int
    pcm_S: NDArray[np.float32]  # the window, `window_samples` of the avatar's recipe
    gate: float
    lips_U: NDArray[np.float32] | None = None  # its mouth units, where what is said is known

    @property
    def own_pcm_S(self) -> NDArray[np.float32]:
        """The 640 samples the frame owns; the lookahead follows them."""
        first = -window_start(0, len(self.pcm_S))
        return self.pcm_S[first : first + SAMPLES_PER_FRAME]


@dataclass(slots=True)
class HeardSound:
    """The sound of an utterance as far as frames to come need it; zeros stand before its start and after its end.

    Where the phones are told, too, a frame waits for those that have a say in it.
    """

    window_samples: int
    lips: SpokenLips | None = None
    next_frame: int = 0
    samples: int = 0  # heard so far
    pcm_S: NDArray[np.float32] = field(init=False)  # from the first sample of the next frame's window on
    gates: list[float] = field(default_factory=list)  # of the frames from next_frame on
    voice: StreamingGate = field(default_factory=StreamingGate)
    over: bool = False

    def __post_init__(self) -> None:
        self.pcm_S = np.zeros(-window_start(0, self.window_samples), np.float32)

    @property
    def last_frame(self) -> int | None:
        """Index of the utterance's last frame, once it is over."""
        return frame_count(self.samples) - 1 if self.over else None

    def push(self, pcm_S: NDArray[np.float32]) -> Iterator[SoundWindow]:
        """Hear more; returns the frames that have now heard enough."""
        self.samples += len(pcm_S)
        self.pcm_S = np.concatenate([self.pcm_S, pcm_S])
        self.gates.extend(self.voice.push(pcm_S).tolist())
        return self._ready()

    def finish(self) -> Iterator[SoundWindow]:
        """The utterance is over; returns the remaining frames: it is rounded up to a whole one."""
        self.over = True
        last = frame_count(self.samples) - 1
        missing = window_start(last, self.window_samples) + self.window_samples - self.samples
        self.pcm_S = np.concatenate([self.pcm_S, np.zeros(missing, np.float32)])
        self.gates.extend(self.voice.finish().tolist())
        return self._ready()

    def _ready(self) -> Iterator[SoundWindow]:
        while self.gates and len(self.pcm_S) >= self.window_samples and self._lips_are_known():
            lips_U = None if self.lips is None else self.lips.take(self.next_frame)
            yield SoundWindow(self.next_frame, self.pcm_S[: self.window_samples], self.gates.pop(0), lips_U)
            self.pcm_S = self.pcm_S[SAMPLES_PER_FRAME:]
            self.next_frame += 1

    def _lips_are_known(self) -> bool:
        return self.lips is None or self.over or self.lips.are_known(self.next_frame)


@dataclass(slots=True)
class SpeakingSession:
    """Everything one utterance remembers between two frames."""

    model: AvatarModel
    walk: TemplateWalk
    sound: HeardSound
    epoch: int = 0  # number of the utterance within its conversation: what is of an older one is dropped
    seams: Seams | None = None  # at its beginning and its end; without them the ears alone decide
    patches: bool = False  # draw of every frame only what the sound changes
    mouth_rate: MouthRate | None = None  # where frames are wanted in time; without it every mouth is drawn
    batch_frames: int = field(init=False)  # at most so many frames in the next call of the networks

    def __post_init__(self) -> None:
        self.batch_frames = self.model.first_batch_frames


class FrameGenerationService:
    """Makes the frames of an utterance; holds no state of its own."""

    def start(self, model: AvatarModel, start_frame: int = 0, direction: int = 1, epoch: int = 0) -> SpeakingSession:
        """Begin an utterance.

        Args:
            model: the avatar that speaks.
            start_frame: template frame under the first picture.
            direction: in which the template is walked at first, 1 or -1.
            epoch: number of the utterance.
        Raises:
            TemplateRangeError: the template has no such frame.
        """
        walk = TemplateWalk.start(model.avatar.motion_T, start_frame, direction)
        sound = HeardSound(window_samples(model.avatar.manifest.recipe["audio_features"]))
        return SpeakingSession(model, walk, sound, epoch)

    def generate(
        self,
        model: AvatarModel,
        audio: Iterable[NDArray[np.float32]],
        start_frame: int = 0,
        lips: SpokenLips | None = None,
    ) -> Generator[VideoFrame, None, None]:
        """The frames of a whole utterance; `start` and `stream` in one.

        Raises:
            TemplateRangeError: the template has no such frame; at the call, not at the first frame.
        """
        return self.stream(self.start(model, start_frame), audio, lips)

    def stream(
        self, session: SpeakingSession, audio: Iterable[NDArray[np.float32]], lips: SpokenLips | None = None
    ) -> Generator[VideoFrame, None, None]:
        """Frames as soon as their sound, and 231 ms after it, has been heard.

        Closing the generator ends every stage at once and closes `audio`, if that is a generator too.

        Args:
            session: from `start`; it belongs to this utterance alone.
            audio: float32 mono 16 kHz in [-1, 1], in pieces of any length.
            lips: what is said, told while `audio` is taken; frames wait for it, at the joints of sentences.
        """
        session.sound.lips = lips
        return _drawn(session, _embedded(session, _windows(session, audio)))


def _windows(
    session: SpeakingSession, audio: Iterable[NDArray[np.float32]]
) -> Generator[list[SoundWindow], None, None]:
    """Frames that have heard enough, as many as the model computes at a time, without waiting for more sound."""
    pieces = iter(audio)
    try:
        for piece in pieces:
            if piece.ndim != 1 or piece.dtype != np.float32:
                raise ValueError(f"sound is {piece.dtype} of shape {piece.shape}, expected float32 of shape (S,)")
            for start in range(0, len(piece), _PIECE_SAMPLES):
                yield from _batches(session.sound.push(piece[start : start + _PIECE_SAMPLES]), session)
        yield from _batches(session.sound.finish(), session)
    finally:
        if isinstance(pieces, Generator):
            pieces.close()


def _batches(windows: Iterator[SoundWindow], session: SpeakingSession) -> Iterator[list[SoundWindow]]:
    """Few frames at first, where that shows the first one earlier, then twice as many with every call."""
    while batch := list(islice(windows, _batch_frames(session))):
        session.batch_frames = min(2 * session.batch_frames, session.model.batch_frames)
        yield batch


def _batch_frames(session: SpeakingSession) -> int:
    """A mouth is held within a call."""
    halved = session.mouth_rate is not None and session.mouth_rate.halved
    return max(2, session.batch_frames) if halved else session.batch_frames


def _embedded(
    session: SpeakingSession, batches: Generator[list[SoundWindow], None, None]
) -> Generator[tuple[list[SoundWindow], NDArray[np.float32]], None, None]:
    with closing(batches):
        for batch in batches:
            pcm_BS = np.stack([window.pcm_S for window in batch])
            gate_B = np.array([window.gate for window in batch], np.float32)
            told = [window.lips_U for window in batch]
            embedding_BD = session.model.encode_audio(pcm_BS, gate_B, told)
            if session.seams is not None:
                indices = [window.index for window in batch]
                embedding_BD = session.seams.blended(indices, session.sound.last_frame, embedding_BD)
            yield batch, embedding_BD


def _drawn(
    session: SpeakingSession, embedded: Generator[tuple[list[SoundWindow], NDArray[np.float32]], None, None]
) -> Generator[VideoFrame, None, None]:
    with closing(embedded):
        for batch, embedding_BD in embedded:
            shown = session.walk.steps(len(batch))
            held = [False] * len(batch) if session.mouth_rate is None else session.mouth_rate.held(len(batch))
            pictures = _pictures(session, [step.index for step in shown], embedding_BD, held)
            if session.mouth_rate is not None:
                pictures = session.mouth_rate.timed(pictures, held)
            for window, step, holds, (place, picture_HWC) in zip(batch, shown, held, pictures, strict=True):
                yield VideoFrame(
                    window.index,
                    picture_HWC,
                    window.own_pcm_S.copy(),
                    step.index,
                    window.gate,
                    step.direction,
                    place,
                    holds,
                )


def _pictures(
    session: SpeakingSession, indices: list[int], embedding_BD: NDArray[np.float32], held: list[bool]
) -> Iterator[tuple[Place | None, NDArray[np.uint8]]]:
    if session.patches:
        return iter(session.model.draw_patches(indices, embedding_BD, held))
    return ((None, picture_HWC) for picture_HWC in session.model.draw(indices, embedding_BD, held))
