"""Make an avatar of one photo, in seconds: `python photo_328.py NAME photo.jpg`.

The photo is checked, cropped to head and shoulders, and prepared so that its lips, lids and head can be moved; the
folder avatars/NAME is whole or not there at all. What is heavy is imported when the options are known to be right.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import configargparse

from recipe.errors import UserError
from recipe.files import why_not_written
from recipe.installed import missing_packages_are_said
from recipe.places import at_home

if TYPE_CHECKING:
    from data_prep.photo import Stopwatch
    from data_prep.photo_avatar import PhotoRequest

log = logging.getLogger("photo_328")
_DEFAULT_SIZE_PX = 720


def parse_options(arguments: Sequence[str] | None = None) -> configargparse.Namespace:
    """Command line over environment over --config file over default."""
    parser = configargparse.ArgParser(
        prog="photo_328.py",
        description=(__doc__ or "").split("\n")[0],
        auto_env_var_prefix="AVATAR328_",
    )
    parser.add("--config", is_config_file=True, help="read options from this file")
    parser.add("name", help="the avatar will be avatars/NAME")
    parser.add("photo", type=Path, help="JPEG, PNG, WebP, AVIF, HEIC, or a short video whose best frame is taken")
    rights = parser.add_mutually_exclusive_group()
    rights.add("--consent", default="", help='who agreed: "name, YYYY-MM-DD, scope"')
    rights.add("--synthetic", action="store_true", help="the photo shows no real person")
    parser.add("--licence", default="", help="what may be done with the avatar, in words")
    parser.add("--avatars_dir", type=Path, default=at_home("avatars"), help="folder of the avatars")
    parser.add(
        "--size", type=int, default=_DEFAULT_SIZE_PX, help="longest side of its frames, px, at most; even, 256 to 1024"
    )
    parser.add(
        "--restore",
        default="auto",
        metavar="auto|off|FILE",
        help="what may be done to a bad photo: auto takes away noise, JPEG blocks and blur where it finds them, off "
        "nothing; a FILE.onnx (GFPGAN, CodeFormer or alike) draws the face anew",
    )
    options = parser.parse_args(arguments)
    if not 256 <= options.size <= 1024 or options.size % 2:
        parser.error(f"--size {options.size}: give an even number from 256 to 1024")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parse_options(arguments)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    try:
        with missing_packages_are_said():
            from data_prep.photo import Stopwatch
            from data_prep.photo_avatar import make_photo_avatar
        watch = Stopwatch()
        watch.parts["imports"] = (time.perf_counter() - start_s, time.process_time() - start_cpu_s)
        manifest, warnings = make_photo_avatar(_request(options), watch)
    except (UserError, OSError) as error:
        log.error("error: %s", why_not_written(error, options.avatars_dir))
        return 2
    if restored := manifest.metrics.get("restored"):
        log.info("the photo was %s", restored)
    for text in warnings:
        log.warning("warning: %s", text)
    log.info("avatar ready: %s, %dx%d px", options.avatars_dir / options.name, manifest.width, manifest.height)
    log.info("%s", _times(watch, time.perf_counter() - start_s, time.process_time() - start_cpu_s))
    log.info('let it speak: python inference_328.py --name %s --text "Good morning."', options.name)
    if not manifest.may_serve_publicly:
        log.warning(
            "no consent is recorded: servers beyond this machine will not show it "
            '(python -m services.avatars consent %s "who, date, scope")',
            options.name,
        )
    return 0


def _request(options: configargparse.Namespace) -> PhotoRequest:
    from data_prep.photo_avatar import PhotoRequest
    from recipe.face_restorer import FaceRestorer

    return PhotoRequest(
        options.name,
        options.photo,
        options.avatars_dir,
        options.size,
        options.consent,
        options.synthetic,
        options.licence,
        options.restore if options.restore in ("auto", "off") else FaceRestorer(Path(options.restore)),
    )


def _times(watch: Stopwatch, wall_s: float, cpu_s: float) -> str:
    """Every part on the clock, and what the processor did in it."""
    parts = [f"{name} {wall:.2f} s ({cpu:.2f} s CPU)" for name, (wall, cpu) in watch.parts.items()]
    return f"took {wall_s:.2f} s ({cpu_s:.2f} s CPU): {', '.join(parts)}"


if __name__ == "__main__":
    sys.exit(main())
