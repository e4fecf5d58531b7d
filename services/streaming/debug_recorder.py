"""Debug mode: every generated frame and its sound on disk, one directory per utterance, within a quota.

    frames/UTTERANCE/00000.jpg ...      audio/UTTERANCE.wav

Axes: S audio samples.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import threading
import wave
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recipe.sound import to_pcm16
from services.streaming.events import Event, Frame, Header
from services.streaming.jpeg import encode_jpeg

logger = logging.getLogger(__name__)

_TIDY_EVERY: Final = 25  # frames
_NAME: Final = re.compile(r"u-[0-9a-f]{16}")  # of an utterance


@dataclass(frozen=True, slots=True)
class DebugState:
    """What is saved."""

    enabled: bool = False
    save_frames: bool = True
    save_audio: bool = True


class DebugRecorder:
    """Saves utterances that pass through it; what cannot be saved is said in the log and passes all the same."""

    def __init__(self, folder: Path, quota_bytes: int, jpeg_quality: int, state: DebugState) -> None:
        """Choose the place; it is made when something is saved.

        Args:
            folder: gets the folders frames and audio.
            quota_bytes: for both together.
            jpeg_quality: 1 to 100.
            state: at first.
        """
        self.folder = folder
        self.quota_bytes = quota_bytes
        self.state = state
        self._jpeg_quality = jpeg_quality
        self._tidying = threading.Lock()

    def record(self, events: Generator[Event, None, None]) -> Generator[Event, None, None]:
        """Pass an utterance on, saved as the state says when it begins."""
        state = self.state
        if not state.enabled or not (state.save_frames or state.save_audio):
            return events
        return self._recorded(events, state)

    def used_bytes(self) -> int:
        """What is saved at the moment."""
        return sum(_size(paths) for paths in self._utterances().values())

    def _recorded(self, events: Generator[Event, None, None], state: DebugState) -> Generator[Event, None, None]:
        saving: _Utterance | None = None
        with closing(events), ExitStack() as files:
            for event in events:
                try:
                    if isinstance(event, Header):
                        saving = files.enter_context(_Utterance(self.folder, event, state, self._jpeg_quality))
                    elif isinstance(event, Frame) and saving is not None:
                        saving.add(event)
                        if event.index % _TIDY_EVERY == 0:
                            self._make_room(event.index, saving)
                except OSError as error:
                    logger.warning("debug: the rest of this utterance is not saved: %s", error)
                    saving = None
                yield event
        with contextlib.suppress(OSError):  # somebody else removed it meanwhile
            self._tidy(keep=None)

    def _make_room(self, index: int, saving: _Utterance) -> None:
        if self._tidy(keep=saving.name):
            return
        raise OSError(f"frame {index}: this utterance alone exceeds the quota of {self.quota_bytes} bytes")

    def _tidy(self, keep: str | None) -> bool:
        """Remove whole utterances, the oldest first; False if the rest is still too large."""
        with self._tidying:
            utterances = self._utterances()
            sizes = {name: _size(paths) for name, paths in utterances.items()}
            used = sum(sizes.values())
            for name in sorted(utterances, key=lambda name: _newest(utterances[name])):
                if used <= self.quota_bytes:
                    break
                if name == keep:
                    continue
                for path in utterances[name]:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                used -= sizes[name]
            return used <= self.quota_bytes

    def _utterances(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for kind in ("frames", "audio"):
            folder = self.folder / kind
            for path in folder.iterdir() if folder.is_dir() else ():
                if _NAME.fullmatch(path.stem):  # nothing else in the folder is touched
                    found.setdefault(path.stem, []).append(path)
        return found


class _Utterance:
    """The files of one utterance that is being saved."""

    def __init__(self, folder: Path, header: Header, state: DebugState, jpeg_quality: int) -> None:
        self.name = header.utterance
        self._jpeg_quality = jpeg_quality
        self._frames = folder / "frames" / header.utterance if state.save_frames else None
        self._wave: wave.Wave_write | None = None
        if self._frames is not None:
            self._frames.mkdir(parents=True, exist_ok=True)
        if state.save_audio:
            (folder / "audio").mkdir(parents=True, exist_ok=True)
            self._wave = wave.open(str(folder / "audio" / f"{header.utterance}.wav"), "wb")  # noqa: SIM115
            self._wave.setnchannels(1)
            self._wave.setsampwidth(2)
            self._wave.setframerate(header.sample_rate_hz)

    def add(self, frame: Frame) -> None:
        if self._frames is not None:
            jpeg = encode_jpeg(frame.frame_rgb_HWC, self._jpeg_quality)
            (self._frames / f"{frame.index:05d}.jpg").write_bytes(jpeg)
        if self._wave is not None:
            self._wave.writeframes(to_pcm16(frame.pcm_S).tobytes())

    def __enter__(self) -> _Utterance:
        return self

    def __exit__(self, *_: object) -> None:
        if self._wave is not None:
            try:
                self._wave.close()
            except OSError as error:
                logger.warning("debug: the sound of %s is incomplete: %s", self.name, error)


def _size(paths: list[Path]) -> int:
    size = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile: another utterance makes room
            for file in path.iterdir() if path.is_dir() else [path]:
                size += file.stat().st_size
    return size


def _newest(paths: list[Path]) -> int:
    newest = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_mtime_ns)
    return newest
