"""From an engine's chunks to what the frame generator hears, with the engine's own sound kept beside it.

    feed = SpeechFeed(tts.synthesize(text, voice, speed))
    rate_hz = feed.start()                               # waits for the first chunk; errors of the engine come here
    with closing(frames.stream(session, feed, feed.lips)) as stream:
        for frame in stream:                             # closing the stream closes the engine
            for sentence in feed.sentences_until(frame.index):
                ...                                      # a caption that begins at or before this frame
            pcm_S = feed.native_samples(frame.index)     # the sound of this very frame

The networks hear 16 kHz; listeners hear the engine's own rate. Frame i owns the engine's samples
[i * rate // 25, (i + 1) * rate // 25), whatever the rate. The sound is cut into these pieces before it is resampled,
so that every bit of the result is the same however the engine cut its chunks. What has been taken is released, so that
memory holds no more than the frame generator's own lookahead. All calls of one feed are made by one thread.

Axes: S audio samples, at the engine's rate unless it says 16 kHz.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from services.errors import SpeechError
from services.speech.lips import SpokenLips
from services.types import AudioChunk, Voice

LEAST_RATE_HZ: Final = 4000
_TELLING_CHARACTERS: Final = 40  # a short sentence says little about how fast the others will be


def first_sample(frame: int, rate_hz: int) -> int:
    """The first sample that a frame owns of sound at any rate."""
    return frame * rate_hz // FPS


@dataclass(frozen=True, slots=True)
class SentenceStart:
    """A sentence and the frame during which it begins."""

    index: int
    frame: int
    text: str


class SpeechFeed:
    """The sound of one utterance on its way to the frame generator; can be iterated once."""

    def __init__(self, chunks: Iterable[AudioChunk], tail_frames: int = 0) -> None:
        """Take over the chunks of an utterance; nothing is pulled yet.

        Args:
            chunks: of one utterance.
            tail_frames: of silence after its end, in which a mouth can close.
        """
        self._chunks = iter(chunks)
        self._tail_frames = tail_frames
        self._first: AudioChunk | None = None
        self._rate_hz = 0
        self.voice: Voice | None = None  # that really speaks; known once it started
        self.lips: SpokenLips | None = None  # likewise, if the engine tells its phones
        self._samples = 0  # of the engine, so far
        self._rest_S = np.zeros(0, np.float32)  # less than a frame
        self._cut_frames = 0
        self._frames: deque[NDArray[np.float32]] = deque()
        self._first_frame = 0  # index of the first one in _frames
        self._sentences: deque[SentenceStart] = deque()
        self._sentence_count = 0
        self._characters = 0  # of the sentences that were begun...
        self._spoken_characters, self._spoken_s = 0, 0.0  # ...and of those that are over, with their sound
        self._ended = False

    @property
    def samples(self) -> int:
        """That came so far, at the engine's rate, without what is added at the end."""
        return self._samples

    @property
    def duration_s(self) -> float:
        """Of the sound that came so far; of the whole utterance after the last frame."""
        return self._samples / self._rate_hz if self._rate_hz else 0.0

    def estimated_s(self, characters: int, characters_per_s: float) -> float:
        """How long the whole utterance probably is, by how fast it was spoken so far.

        Args:
            characters: of the whole text.
            characters_per_s: taken before the first sentence is over.
        """
        if self._ended:
            return self.duration_s
        if self._spoken_characters >= _TELLING_CHARACTERS:
            characters_per_s = self._spoken_characters / self._spoken_s
        return characters / characters_per_s

    def start(self) -> int:
        """Wait for the first chunk; returns its sample rate. The product's own engines give multiples of 25.

        Raises:
            SpeechError: the engine failed, or gave no sound.
        """
        if not self._rate_hz:
            self._first = next(self._chunks, None)
            if self._first is None:
                raise SpeechError("the engine gave no sound for this text; try another voice")
            self._rate_hz, self.voice = self._first.sample_rate_hz, self._first.voice
            if self._rate_hz < LEAST_RATE_HZ:
                raise ValueError(f"sound at {self._rate_hz} Hz is no speech: expected at least {LEAST_RATE_HZ} Hz")
            self.lips = None if self._first.phones is None else SpokenLips()
        return self._rate_hz

    def __iter__(self) -> Generator[NDArray[np.float32], None, None]:
        """Pieces of 16 kHz sound, float32 in [-1, 1], one per chunk; closing it closes the engine."""
        try:
            self.start()
            resampler = _To16k(self._rate_hz)
            while self._first is not None:
                chunk, self._first = self._first, None
                blocks = [resampler.push(block_S) for block_S in self._cut(chunk)]
                if blocks and sum(map(len, blocks)):
                    yield np.concatenate(blocks)
                self._first = next(self._chunks, None)
            tail = [resampler.push(self._rest_S), resampler.finish()]
            if self._tail_frames:
                tail.append(np.zeros(self._tail_frames * SAMPLES_PER_FRAME, np.float32))
            if len(self._rest_S):
                missing = self._length(self._cut_frames) - len(self._rest_S)
                self._frames.append(np.pad(self._rest_S, (0, missing)))
            self._ended = True
            if sum(map(len, tail)):
                yield np.concatenate(tail)
        finally:
            self.close()

    def close(self) -> None:
        """Stop the engine; for a feed that was never iterated."""
        if isinstance(self._chunks, Generator):
            self._chunks.close()

    def _cut(self, chunk: AudioChunk) -> list[NDArray[np.float32]]:
        """Whole frames of the engine's sound; the rest waits for the next chunk."""
        if chunk.sample_rate_hz != self._rate_hz:
            raise ValueError(f"a chunk at {chunk.sample_rate_hz} Hz follows one at {self._rate_hz} Hz")
        if chunk.starts_sentence:
            self._spoken_characters, self._spoken_s = self._characters, self.duration_s
            self._characters += len(chunk.sentence)
            start = SentenceStart(self._sentence_count, self._samples * FPS // self._rate_hz, chunk.sentence)
            self._sentences.append(start)
            self._sentence_count += 1
        self._samples += len(chunk.pcm_S)
        if self.lips is not None:
            self.lips.tell(chunk.phones, chunk.alphabet, self.duration_s)
        held_S = np.concatenate([self._rest_S, chunk.pcm_S.astype(np.float32, copy=False)])
        blocks, first = [], 0
        while (stop := first + self._length(self._cut_frames)) <= len(held_S):
            blocks.append(held_S[first:stop])
            first = stop
            self._cut_frames += 1
        self._frames.extend(blocks)
        self._rest_S = held_S[first:]
        return blocks

    def _length(self, frame: int) -> int:
        """Samples that a frame owns; where 25 does not divide the rate, some own one more."""
        return first_sample(frame + 1, self._rate_hz) - first_sample(frame, self._rate_hz)

    def native_samples(self, frame_index: int) -> NDArray[np.float32]:
        """The engine's own sound of a frame that has been generated; zeros follow the end.

        The frame's sound and that of every earlier frame is released: each frame can be asked for once, in order.
        """
        if frame_index < self._first_frame:
            raise ValueError(f"the sound of frame {frame_index} was released; the next one is {self._first_frame}")
        while self._frames and self._first_frame < frame_index:
            self._frames.popleft()
            self._first_frame += 1
        if self._frames:
            self._first_frame += 1
            return self._frames.popleft()
        if not self._ended:
            raise ValueError(f"frame {frame_index} was not heard yet: its sound is taken after the frame")
        return np.zeros(self._length(frame_index), np.float32)

    def native_track(self) -> Iterator[NDArray[np.float32]]:
        """`native_samples` of frame 0, 1, 2 ... as (1, S), without an end: the blocks of a video_writer.SoundTrack."""
        frame = 0
        while True:
            yield self.native_samples(frame)[None]
            frame += 1

    def sentences_until(self, frame_index: int) -> list[SentenceStart]:
        """Sentences that begin at this frame or before it and were not reported yet."""
        begun = []
        while self._sentences and self._sentences[0].frame <= frame_index:
            begun.append(self._sentences.popleft())
        return begun


class _To16k:
    """A resampler that gives one sample too many or too few nowhere: S samples become ceil(S * 16000 / rate)."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._taken = self._given = 0
        same = rate_hz == SAMPLE_RATE_HZ
        self._resampler = None if same else AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)

    def push(self, pcm_S: NDArray[np.float32]) -> NDArray[np.float32]:
        self._taken += len(pcm_S)
        if self._resampler is None or not len(pcm_S):
            return self._limited([pcm_S])
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm_S)[None], format="flt", layout="mono")
        frame.sample_rate = self._rate_hz
        return self._limited([part.to_ndarray()[0] for part in self._resampler.resample(frame)])

    def finish(self) -> NDArray[np.float32]:
        """What is left of the utterance."""
        parts = [] if self._resampler is None else [p.to_ndarray()[0] for p in self._resampler.resample(None)]
        due = -(-self._taken * SAMPLE_RATE_HZ // self._rate_hz) - self._given
        rest_S = self._limited(parts)[: max(due, 0)]
        return np.pad(rest_S, (0, max(due - len(rest_S), 0)))

    def _limited(self, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        pcm_S = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        due = -(-self._taken * SAMPLE_RATE_HZ // self._rate_hz)
        pcm_S = np.clip(pcm_S[: max(due - self._given, 0)], -1.0, 1.0)
        self._given += len(pcm_S)
        return pcm_S
