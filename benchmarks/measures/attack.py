"""What `python -m benchmarks.attack` does and looks at."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.measures import attacks
from benchmarks.measures.service import Server
from benchmarks.measures.target import Outcome, Target
from benchmarks.table import Cell, report
from recipe.errors import UserError
from services.access.keys import new_key

_SENTENCE: Final = "Is everything as it was before?"
_FRAMES_WITHIN: Final = 25  # of this sentence, when a server is well
_GROWN_MB: Final = 200.0  # an attack may leave so much behind: caches fill
_COLUMNS: Final = ("attack", "tried", "what happened", "held", "frames/s after", "MB, at most")


class HarmError(UserError):
    """An attack did harm."""


def run(options: argparse.Namespace) -> None:
    """Attack in one way after the other.

    Raises:
        HarmError: one did harm; the table was printed.
        UserError: there is no such attack.
    """
    wanted = options.attacks or list(attacks.ATTACKS)
    if unknown := sorted(set(wanted) - set(attacks.ATTACKS)):
        raise UserError(f"no attack {', '.join(unknown)}; there are {', '.join(attacks.ATTACKS)}")
    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copytree(options.avatars_dir / options.name, folder / "avatars" / options.name)
        key = new_key(folder / "keys.txt", "bench", ("speak", "create", "operate"))
        for name in wanted:
            keys = name in attacks.WITH_KEYS
            settings = {**_SETTINGS, **({"ACCESS__KEYS_FILE": str(folder / "keys.txt")} if keys else {})}
            with Server(folder / "avatars", options.name, folder, settings, key if keys else "") as server:
                target = Target(server, folder, options.name, options.times, keys)
                rows.append(_attacked(name, attacks.ATTACKS[name], target))
    report(f"{options.name} under attack", _COLUMNS, rows, options.json)
    if harmed := [row[0] for row in rows if row[3] != "yes"]:
        raise HarmError(f"did harm: {', '.join(map(str, harmed))}")


_SETTINGS: Final = {"LIMITS__SESSIONS": "4"}


def _attacked(name: str, attack: Callable[[Target], Outcome], target: Target) -> list[Cell]:
    server = target.server
    if not target.keys:
        server.say(_SENTENCE)
    before_mb = server.peak_mb() or 0.0
    outcome = attack(target)
    after = "–"
    if not outcome.ended and not target.keys:
        listener = server.say(_SENTENCE)
        took_s = listener.came_s[-1] - listener.asked_s
        after = f"{len(listener.came_s) / max(took_s, 1e-3):.0f}"
        outcome = outcome.unless(len(listener.came_s) < _FRAMES_WITHIN, "the sentence afterwards was cut")
    most_mb = server.peak_mb() or before_mb
    outcome = outcome.unless(most_mb - before_mb > _GROWN_MB, f"memory grew by {most_mb - before_mb:.0f} MB")
    return [name, outcome.tried, outcome.happened, "yes" if outcome.held else "NO", after, most_mb]
