"""What `python -m benchmarks.ears_curves` measures; why and how is said there.

Axes: C clips of the material.
"""

from __future__ import annotations

import configargparse
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measures.front_ends import MEL, WHISPER, Plan, fitted, front_ends, judged, opened, passed_through
from benchmarks.table import report
from recipe.recipe_328 import FPS
from training.ears.material import Material
from training.ears.stage import SUMMED


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    material = opened(options)
    plan = Plan.of(material, options.pairs)
    name = WHISPER if options.whisper else MEL
    heard = [passed_through(name, front_ends(options.whisper, hama=False)[name], plan, options.work)]
    clip_of_T = np.repeat(np.arange(len(material.clips)), [stop - start for start, stop in material.clips])
    clips_of_pairs = clip_of_T[plan.learnt_F[::2].numpy()]
    silent = np.arange(len(clips_of_pairs)) >= len(clips_of_pairs) - plan.silent // 2
    rows: list[tuple[str | float, ...]] = []
    for part, kept_C in parts_of(material).items():
        pairs = np.flatnonzero(kept_C[clips_of_pairs] | silent)
        minutes = (
            sum(stop - start for (start, stop), kept in zip(material.clips, kept_C, strict=True) if kept) / FPS / 60
        )
        net = fitted(heard, plan, options.steps, part, torch.from_numpy(pairs))
        rows += [(part, f"{minutes:.0f}", *scores) for scores in judged(net, heard, plan)]
        report(
            f"What the ears learn from, hearing by {name}",
            ("of it", "minutes", "heard in", *SUMMED),
            rows,
            options.json,
        )


def parts_of(material: Material) -> dict[str, NDArray[np.bool_]]:
    """Which clips are learnt from, (C,), by what is left out."""
    learnt = ~np.array(material.held_out)
    voices = np.array(material.voices)
    real = np.char.startswith(voices, "real:")
    english = real | np.char.startswith(voices, "flite:") | np.char.startswith(voices, "espeak:en")
    speakers = sorted(set(voices[real & learnt]))
    number = np.arange(len(voices))
    parts = {"all": learnt}
    for share in (2, 8):
        parts[f"1/{share} of all"] = learnt & (number % share == 0)
    for count in (len(speakers) // 2, len(speakers) // 8, 0):
        some = speakers[:: len(speakers) // count] if count else []
        parts[f"{len(some)} of {len(speakers)} real speakers"] = learnt & (~real | np.isin(voices, some))
    parts["real speakers alone"] = learnt & real
    parts["English alone"] = learnt & english
    return {name: kept for name, kept in parts.items() if kept.any()}
