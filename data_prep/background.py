"""python -m data_prep.background NAME --out NEW: a copy of a film's or a photo's avatar before another background.

The pictures that it is drawn on are written anew, once: what is served costs what it did.
"""

from __future__ import annotations

import argparse
import logging
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from data_prep.errors import FaceError, PreparationError
from recipe.errors import OutputError, UserError
from recipe.installed import missing_packages_are_said
from recipe.interrupt import sigterm_interrupts
from recipe.places import at_home

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from data_prep.matte import Opacity
    from recipe.avatar_format import AvatarManifest

log = logging.getLogger("data_prep.background")

_MOST_BLUR_PX: Final = 200.0
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_POSTER_QUALITY: Final = 92

Background = float | str  # blurred by so many px, or one colour: "#204060"


def with_background(avatars_dir: Path, name: str, new_name: str, background: Background) -> AvatarManifest:
    """Write avatars_dir/new_name: the avatar before another background, with its consent, licence and source's hash.

    Args:
        avatars_dir: folder of the avatars.
        name: the avatar; drawn from its film or photo.
        new_name: of the copy; nothing may be called so yet.
        background: what is behind the person.
    Raises:
        BadNameError: no possible name.
        OutputError: there is an avatar of the new name.
        PreparationError: it is drawn by a network, or is not there.
        FaceError: the person is not told from the background.
        BrokenAvatarError: a file of the avatar is damaged.
        RevokedError: the person wants no avatar of this recording any more.
    """
    from recipe.avatar_format import (
        FRAMES_FILE,
        MATTES_FILE,
        PHOTO_FILE,
        POSTER_FILE,
        check_files,
        read_manifest,
        seal_avatar,
    )
    from recipe.files import built_aside
    from recipe.names import check_name
    from recipe.tombstones import check_not_revoked

    source, final = avatars_dir / check_name(name), avatars_dir / check_name(new_name)
    if not source.is_dir():
        raise PreparationError(f"there is no avatar {name!r} in {avatars_dir}")
    if final.exists():
        raise OutputError(f"{final} is there already: choose another --out, or remove it first")
    manifest = read_manifest(source)
    check_not_revoked(avatars_dir, manifest.source_sha256)
    check_files(source, manifest)
    if manifest.kind == "video":
        raise PreparationError(
            f"avatar {name} is of kind video: its network draws the wall beside the chin that it was trained on; only "
            "one that is drawn from its film or photo can have another background"
        )
    with built_aside(final) as folder:
        for filename in manifest.files:
            if filename not in (FRAMES_FILE, MATTES_FILE, PHOTO_FILE, POSTER_FILE):
                shutil.copyfile(source / filename, folder / filename)
        if manifest.kind == "film":
            _write_film(source, folder, manifest, background)
        else:
            _write_photo(source, folder, background)
        facts: dict[str, Any] = asdict(manifest)
        del facts["files"], facts["created"]
        facts |= {"name": new_name, "template": manifest.template | {"background": _told(background), "of": name}}
        return seal_avatar(folder, facts)


def _told(background: Background) -> str:
    return background if isinstance(background, str) else f"blurred by {background:g} px"


def _write_film(source: Path, folder: Path, manifest: AvatarManifest, background: Background) -> None:
    from contextlib import ExitStack

    import cv2
    import numpy as np

    from data_prep.matte import cut_out
    from data_prep.video import FrameWriter, iter_rgb
    from recipe.avatar_format import FRAMES_FILE, MATTES_FILE, POSTER_FILE
    from recipe.progress import progress

    centres_T2 = _centres(source, manifest.frames)
    pictures = progress(cut_out(iter_rgb(source / FRAMES_FILE), centres_T2), total=manifest.frames, unit="frame")
    with ExitStack() as files:
        frames = files.enter_context(FrameWriter(folder / FRAMES_FILE, manifest.width, manifest.height))
        mattes = None
        if isinstance(background, str):  # from one colour the person can be told again, and drawn on anything
            mattes = files.enter_context(FrameWriter(folder / MATTES_FILE, manifest.width, manifest.height))
        for rgb_HWC, alpha_HW in pictures:
            frames.write(composed(rgb_HWC, alpha_HW, background))
            if mattes:
                mattes.write(np.repeat(np.asarray(255 * alpha_HW + 0.5, np.uint8)[..., None], 3, axis=2))
    poster_bgr_HWC = cv2.imread(str(source / POSTER_FILE))
    assert poster_bgr_HWC is not None, "its hash was right"
    poster_HWC = np.asarray(cv2.cvtColor(poster_bgr_HWC, cv2.COLOR_BGR2RGB), np.uint8)
    ((rgb_HWC, alpha_HW),) = cut_out([poster_HWC], np.median(centres_T2, axis=0)[None])
    drawn_bgr_HWC = cv2.cvtColor(composed(rgb_HWC, alpha_HW, background), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(folder / POSTER_FILE), drawn_bgr_HWC, [cv2.IMWRITE_JPEG_QUALITY, _POSTER_QUALITY])


def _write_photo(source: Path, folder: Path, background: Background) -> None:
    import numpy as np

    from data_prep.matte import cut_out
    from data_prep.photo_report import jpeg
    from recipe.articulation.mouth_units import MOUTH_UNITS
    from recipe.avatar_format import PHOTO_FILE, POSTER_FILE
    from recipe.warp.arrays import load_arrays, save_arrays
    from recipe.warp.draw import WarpedFace

    arrays = load_arrays(source / PHOTO_FILE)
    if not arrays["layered"]:
        raise FaceError(f"{source.name}: the person was not told from the background when its photo was prepared")
    x0, y0, x1, y1 = arrays["boxes_24"][0]
    ((rgb_HWC, alpha_HW),) = cut_out([arrays["photo_HWC"]], arrays["points_K3"][:, :2].mean(axis=0)[None])
    guess_HWC = rgb_HWC.copy()
    guess_HWC[y0:y1, x0:x1] = arrays["plate_HWC"]
    arrays["photo_HWC"] = composed(rgb_HWC, alpha_HW, background, guess_HWC)
    arrays["plate_HWC"] = np.ascontiguousarray(_behind(rgb_HWC, alpha_HW, background, guess_HWC)[y0:y1, x0:x1])
    save_arrays(folder / PHOTO_FILE, arrays)
    drawn_HWC = WarpedFace(arrays).draw(np.zeros(len(MOUTH_UNITS)), np.zeros(5))
    (folder / POSTER_FILE).write_bytes(jpeg(drawn_HWC, _POSTER_QUALITY))


def _centres(source: Path, frames: int) -> NDArray[np.float64]:
    """Where the middle of the face crop lies in every frame, px: (T, 2)."""
    import numpy as np

    from recipe.avatar_format import TRACK_FILE
    from recipe.recipe_328 import CROP_PX

    with np.load(source / TRACK_FILE, allow_pickle=False) as track:
        affine_T23 = track["affine_T23"].astype(np.float64)
    assert len(affine_T23) == frames, "its hash was right"
    middle_T2 = np.full(2, CROP_PX / 2) - affine_T23[:, :, 2]
    return np.linalg.solve(affine_T23[:, :, :2], middle_T2[..., None])[..., 0]


def composed(
    rgb_HWC: NDArray[np.uint8],
    alpha_HW: Opacity,
    background: Background,
    guess_HWC: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """The person of a picture before another background.

    Args:
        rgb_HWC: the picture.
        alpha_HW: opacity of the person.
        background: what is behind.
        guess_HWC: see `behind_person`.
    """
    import numpy as np

    from data_prep.matte import own_colour

    alpha_HW1, behind_HWC = alpha_HW[..., None], _behind(rgb_HWC, alpha_HW, background, guess_HWC)
    drawn = alpha_HW1 * own_colour(rgb_HWC, alpha_HW) + (1 - alpha_HW1) * behind_HWC
    return np.asarray(np.clip(drawn + 0.5, 0, 255), np.uint8)


def _behind(
    rgb_HWC: NDArray[np.uint8], alpha_HW: Opacity, background: Background, guess_HWC: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """The background alone."""
    import numpy as np

    from data_prep.matte import behind_person

    if isinstance(background, str):
        return np.full_like(rgb_HWC, [int(background[at : at + 2], 16) for at in (1, 3, 5)])
    return np.asarray(behind_person(rgb_HWC, alpha_HW, background, guess_HWC) + 0.5, np.uint8)


def _blur(text: str) -> float:
    value = float(text)
    if not 0 < value <= _MOST_BLUR_PX:
        raise argparse.ArgumentTypeError(f"{text} px; expected more than 0 and at most {_MOST_BLUR_PX:g}")
    return value


def _colour(text: str) -> str:
    if not _COLOUR.fullmatch(text):
        raise argparse.ArgumentTypeError(f'{text} is no colour; write red, green and blue in hexadecimal: "#204060"')
    return text.lower()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 a mistake that the message explains, 130 interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.background",
        description="Copy the avatar of a film or a photo, before another background.",
    )
    parser.add_argument("name", help="the avatar")
    parser.add_argument("--out", required=True, help="name of the copy")
    behind = parser.add_mutually_exclusive_group(required=True)
    behind.add_argument("--blur", type=_blur, metavar="PX", help="blur what was filmed behind the person; 12 is much")
    behind.add_argument("--colour", type=_colour, metavar="#RRGGBB", help="one colour behind the person")
    parser.add_argument("--avatars_dir", type=Path, default=at_home("avatars"), help="folder of the avatars")
    options = parser.parse_args(arguments)
    try:
        with missing_packages_are_said(), sigterm_interrupts():
            background = options.colour if options.blur is None else options.blur
            with_background(options.avatars_dir, options.name, options.out, background)
    except (UserError, OSError) as error:
        log.error("error: %s", error)
        return 2
    except KeyboardInterrupt:
        log.error("interrupted: nothing was written")
        return 130
    log.info("%s", options.avatars_dir / options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
