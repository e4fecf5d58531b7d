"""An uploaded recording: kept in a temporary file while it is spoken, its sound decoded piece by piece.

Axes: C channels, S audio samples at the listeners' rate unless it says 16 kHz.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import av
import numpy as np
from numpy.typing import NDArray

from recipe.media import open_container, sound_stream
from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ
from recipe.sound import iter_audio, original_sound
from services.errors import TooMuchError, UploadRejectedError
from services.speech.feed import SentenceStart

_UPLOAD_NAME: Final = "the upload"  # the file's name is part of the decoder's messages


@contextlib.contextmanager
def kept_upload(file: BinaryIO) -> Iterator[Path]:
    """A copy of the upload on disk, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="avatar328-") as folder:
        path = Path(folder) / _UPLOAD_NAME
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        yield path


def check_upload(path: Path, longest_s: float) -> None:
    """Look at the file's header, without decoding.

    Raises:
        UploadRejectedError: it is none of the formats that are read, or it has no sound.
        TooMuchError: its header says that it is too long.
        NoAudioError: it has no sound track.
    """
    if path.stat().st_size == 0:
        raise UploadRejectedError("the upload is empty (0 bytes); send a sound file")
    try:
        with open_container(path, pictures=False) as container:
            sound_stream(container, path)
            duration_s = None if container.duration is None else container.duration / av.time_base
    except av.error.FFmpegError as error:
        raise UploadRejectedError(
            "the upload is no sound or video file that can be read, or its beginning is missing; "
            "send WAV, MP3, FLAC, OGG, M4A, MP4 or WebM"
        ) from error
    if duration_s is not None and duration_s > longest_s:
        raise _too_long(longest_s)


def _too_long(longest_s: float) -> TooMuchError:
    return TooMuchError(f"the recording is longer than the {longest_s:g} s that this server takes; cut it")


class UploadFeed:
    """The sound of an uploaded file; the networks hear what `inference_328.py` would let them hear."""

    voice: Final = None
    lips: Final = None

    def __init__(self, path: Path, longest_s: float) -> None:
        """Look at the file.

        Raises:
            UploadRejectedError, TooMuchError, NoAudioError, NotAVideoError: see `check_upload`.
        """
        check_upload(path, longest_s)
        self._pieces = iter_audio(path)
        self._first_S: NDArray[np.float32] | None = None
        self._longest_s = longest_s
        self._track = original_sound(path)
        self._held_S: deque[NDArray[np.float32]] = deque()
        self._held_samples = 0

    def start(self) -> int:
        """Decode the beginning: a sound that cannot be decoded at all is found out before anything is sent."""
        self._first_S = next(self._pieces, None)
        return self._track.rate_hz

    def __iter__(self) -> Generator[NDArray[np.float32], None, None]:
        heard = 0
        for pcm_S in chain([] if self._first_S is None else [self._first_S], self._pieces):
            heard += len(pcm_S)
            if heard > self._longest_s * SAMPLE_RATE_HZ:
                raise _too_long(self._longest_s)
            yield pcm_S

    def native_samples(self, frame_index: int) -> NDArray[np.float32]:
        wanted = self._track.rate_hz // FPS
        while self._held_samples < wanted:
            block_CS = next(self._track.blocks, None)
            mono_S = np.zeros(wanted, np.float32) if block_CS is None else block_CS.mean(axis=0, dtype=np.float32)
            self._held_S.append(mono_S)
            self._held_samples += len(mono_S)
        joined_S = np.concatenate(self._held_S)
        self._held_S = deque([joined_S[wanted:]])
        self._held_samples -= wanted
        return joined_S[:wanted]

    def sentences_until(self, frame_index: int) -> Sequence[SentenceStart]:
        return ()

    def close(self) -> None:
        for decoding in (self._pieces, self._track.blocks):
            if isinstance(decoding, Generator):
                decoding.close()
