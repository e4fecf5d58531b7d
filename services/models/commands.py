"""What the commands of `python -m services.models` do."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from recipe.locks import only_writer
from services.models import store
from services.models.known import KNOWN, ModelFetchError
from services.speech.download import download_voice

_VOICE: Final = "piper:"
_ENGINES: Final = "engines"
_MIB: Final = 1 << 20


def run(options: argparse.Namespace) -> str:
    """Do what was asked for; returns what to tell.

    Raises:
        UserError, OSError: it cannot be done.
    """
    if options.command == "list":
        return "".join(_lines(options))
    name: str = options.name
    if options.command == "fetch":
        if name.startswith(_VOICE):
            return "".join(f"{path}\n" for path in download_voice(name, options.voices_dir))
        found = store.fetch(options.folder, name)
        return f"{found.folder}: {found.repository} at {found.commit[:12]}, {found.licence}\n"
    if name.startswith(_VOICE):
        freed = _clear_voice(options.voices_dir, name.removeprefix(_VOICE))
    elif name == _ENGINES:
        freed = store.size_of(options.engines_dir)
        if options.engines_dir.exists():
            shutil.rmtree(options.engines_dir)
    else:
        freed = store.clear(options.folder, name)
    return f"{freed / _MIB:.1f} MiB freed\n"


def _lines(options: argparse.Namespace) -> Iterator[str]:
    for model in KNOWN.values():
        found = store.find(options.folder, model.name)
        part = store.size_of(options.folder / f".{model.name}.part")
        state = f"{found.size_bytes / _MIB:8.1f} MiB" if found else f"{part / _MIB:.1f} MiB so far" if part else "-"
        yield f"{model.name:36} {state:>16}  {model.licence:12} {model.page}  ({model.use})\n"
    for voice in sorted(options.voices_dir.glob("*.onnx")):
        size = sum(path.stat().st_size for path in _files_of(options.voices_dir, voice.stem))
        card = voice.with_name(f"{voice.stem}.MODEL_CARD")
        terms = f"see {card.name}" if card.is_file() else "see its card"
        yield f"{_VOICE + voice.stem:36} {size / _MIB:12.1f} MiB  {terms}\n"
    engines = list(options.engines_dir.glob("*")) if options.engines_dir.is_dir() else []
    size = store.size_of(options.engines_dir)
    yield f"{_ENGINES:36} {size / _MIB:12.1f} MiB  {len(engines)} networks compiled by TensorRT for this machine\n"


def _files_of(folder: Path, voice: str) -> list[Path]:
    return [path for end in ("onnx", "onnx.json", "MODEL_CARD") if (path := folder / f"{voice}.{end}").is_file()]


def _clear_voice(folder: Path, voice: str) -> int:
    files = _files_of(folder, voice) if Path(voice).name == voice else []
    if not files:
        raise ModelFetchError(f"there is no Piper voice {voice!r} in {folder}; `list` shows those that are")
    with only_writer(folder / voice):
        freed = sum(path.stat().st_size for path in files)
        for path in files:
            path.unlink()
    return freed
