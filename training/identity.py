"""What a run is: everything that changes what it learns. Two runs with one identity give one checkpoint.

    dataset      the recording's hash, the whole recipe, and by how much its sound was moved
    preset, seed, number of data-parallel processes
    networks     shapes and rates of the nets that are trained
    constants    the numbers in the modules that the stage is made of, and of the augmentation
    parents      the identities of the checkpoints it starts from

It is stored in every checkpoint and written beside it as options.json.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from recipe import recipe_328
from training.audio_augmentation import AudioAugmentation

_SOUND: Final = tuple(
    f"training.{name}" for name in ("audio_augmentation", "sound_stock", "synthetic_silence", "sound")
)
_COMMON: Final = (*_SOUND, "training.data", "training.loop")
_PICTURE: Final = tuple(
    f"training.{name}" for name in ("references", "batches", "losses", "objective", "perceptual", "adversary")
)
DEFINED_BY: Final[dict[str, tuple[str, ...]]] = {
    "syncnet": (*_COMMON, "training.sync_windows", "training.syncnet_stage"),
    "lips": (*_COMMON, "training.lip_stage"),
    "ears": (*_SOUND, "training.loop", "training.ears.material", "training.ears.stage", "models.ears"),
    "fit": (*_COMMON, "training.film.ears", "training.film.fit", "recipe.film.points", "recipe.film.shape"),
    "renewal": (*_SOUND, "training.loop", "training.ears.material", "training.ears.stage", "training.film.renewal"),
    "unet": (*_COMMON, *_PICTURE, "training.unet_stage"),
}
_MOST_DIFFERENCES: Final = 6  # more is not read; options.json has them all


def run_identity(
    stage: str,
    manifest: Mapping[str, Any],
    preset: Mapping[str, Any],
    seed: int,
    workers: int,
    networks: Mapping[str, Any],
    parents: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Identify a run.

    Args:
        stage: a key of DEFINED_BY.
        manifest: of the dataset.
        preset: of the stage, and whatever else was chosen for this run.
        seed: of all randomness.
        workers: data-parallel processes.
        networks: how the trained nets describe themselves.
        parents: identities of the checkpoints it starts from, by what they are.
    Returns:
        Nothing but what JSON holds: a checkpoint gives back exactly this.
    """
    identity = {
        "stage": stage,
        "dataset": dataset_identity(manifest),
        "preset": preset,
        "seed": seed,
        "workers": workers,
        "networks": networks,
        "constants": {name: constants_of(name) for name in DEFINED_BY[stage]},
        "augmentation": asdict(AudioAugmentation()),
        "parents": parents or {},
    }
    found: dict[str, Any] = json.loads(json.dumps(identity))
    return found


def dataset_identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an identity that a dataset decides."""
    offset = manifest["av_offset"]
    identity = {
        "source": manifest["source"]["sha256"],
        "recipe": manifest["recipe"],
        "av_offset_frames": offset["frames"] if offset["removed"] else 0,
    }
    found: dict[str, Any] = json.loads(json.dumps(identity))
    return found


def constants_of(module_name: str) -> dict[str, Any]:
    """The numbers, ranges and tuples among a module's constants, by name.

    All of them, also the few that only bound memory: asking for each whether it matters is how one is forgotten. Lists
    are names of columns; what comes from the recipe is in the dataset's stamp.
    """
    constants = vars(importlib.import_module(module_name)).items()
    return {
        name: list(value) if isinstance(value, range) else value
        for name, value in sorted(constants)
        if name.isupper() and isinstance(value, int | float | range | tuple) and not hasattr(recipe_328, name)
    }


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In words what differs between two identities: `preset.steps: 30 -> 60, seed: 1 -> 2`."""
    before, after = _flat(found), _flat(wanted)
    keys = [key for key in sorted(before | after, key=_depth) if before.get(key) != after.get(key)]
    said = [f"{key}: {before.get(key)!r} -> {after.get(key)!r}" for key in keys[:_MOST_DIFFERENCES]]
    if len(keys) > len(said):
        said.append(f"and {len(keys) - len(said)} more")
    return ", ".join(said)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _depth(key: str) -> tuple[int, str]:
    """Own differences before those of the parents that they come from."""
    return key.count("parents."), key
