"""python -m training.film.renew NAME --speech FOLDER: teach a film avatar what the shipped ears have learnt since.

Needs no recording, only the avatar; FOLDER as for python -m training.ears. Run the same command again to go on after a
stop. The avatar is replaced when its ears hear unknown voices better than before, in quiet, noise and a room.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.errors import UserError
from recipe.installed import missing_packages_are_said
from recipe.interrupt import sigterm_interrupts
from recipe.names import check_name
from recipe.places import at_home, home
from training.waiting import wait_briefly

log = logging.getLogger("training.film.renew")


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew; exit codes: 0 done, 2 bad input, 130 interrupted (resume with the same command)."""
    parser = argparse.ArgumentParser(
        prog="python -m training.film.renew", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="the avatar avatars/NAME, of kind film")
    parser.add_argument("--speech", type=Path, help="aligned real speech: utterances.jsonl and audio/ID.opus")
    parser.add_argument("--share", type=float, default=0.3, help="of the minutes of every synthetic voice")
    parser.add_argument("--steps", type=int, default=600, help="length of the training (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=64, help="pairs of frames of a step (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument("--avatars_dir", type=Path, default=at_home("avatars"), help="default: avatars")
    parser.add_argument("--run", type=Path, default=home() / "checkpoint" / "_renewal", help="folder of the runs")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    wait_briefly()
    with sigterm_interrupts():
        try:
            with missing_packages_are_said():
                from training.device import choose_device
                from training.ears.material import load_material
                from training.film.renewal import RenewalPreset, renew
            name = check_name(options.name)
            options.run.mkdir(parents=True, exist_ok=True)
            material = load_material(options.run / "material.npz", options.speech, options.share)
            preset = RenewalPreset(options.steps, options.pairs)
            renew(options.avatars_dir / name, material, preset, options.run / name, choose_device(options.device))
        except KeyboardInterrupt as stop:
            log.error("%s", str(stop) or "interrupted: run the same command again to go on")
            return 130
        except (UserError, ValueError, OSError) as error:
            log.error("error: %s", error)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
