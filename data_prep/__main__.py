"""python -m data_prep NAME_OR_VIDEO: make a dataset of a recording."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import configargparse

from data_prep.errors import PreparationError
from recipe.errors import UserError
from recipe.files import sha256
from recipe.installed import missing_packages_are_said
from recipe.interrupt import sigterm_interrupts
from recipe.places import at_home
from recipe.recipe_328 import AUDIO_FEATURES

if TYPE_CHECKING:
    from data_prep.publishing import AudioChoice

log = logging.getLogger("data_prep")

_WEIGHTS: Final = ("model.safetensors",)  # never a pickle


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 a mistake that the message explains, 130 interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = _parser().parse_args(arguments)
    try:
        with missing_packages_are_said():
            from data_prep.prepare import prepare
            from data_prep.request import resolve
        with sigterm_interrupts():
            request = resolve(options.name_or_video, options.name, Path(options.dataset_dir))
            changed = prepare(request, audio_choice(options.audio_features, options.audio_model))
    except UserError as error:
        log.error("error: %s", error)
        return 2
    except KeyboardInterrupt:
        log.error("interrupted: start the same command again and it goes on where it was")
        return 130
    _summary(request.folder, changed)
    return 0


def audio_choice(features: str, model: str | None) -> AudioChoice:
    """Check the options about the audio encoder and identify the feature model.

    Raises:
        PreparationError: they do not fit together, or the folder holds no model.
    """
    from data_prep.publishing import AudioChoice

    if features == "mel":
        if model:
            raise PreparationError("--audio_model belongs to hubert, wav2vec2 or whisper: mel features need no model")
        return AudioChoice()
    if not model:
        raise PreparationError(f"--audio_features {features} needs --audio_model, the folder of a pretrained model")
    folder = Path(model).expanduser().resolve()
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None or not (folder / "config.json").is_file():
        raise PreparationError(
            f"{model} holds no pretrained model: expected config.json and {' or '.join(_WEIGHTS)}, as transformers "
            "saves them"
        )
    return AudioChoice(features, str(folder), f"{folder.name}@{sha256(weights)[:12]}")


def _parser() -> configargparse.ArgParser:
    parser = configargparse.ArgParser(
        prog="python -m data_prep",
        description="Make a dataset of a recording: python -m data_prep dataset/anna/anna.mp4, or just anna.",
        auto_env_var_prefix="AVATAR328_",
    )
    parser.add_argument("--config", is_config_file=True, help="a file with options, one 'name: value' per line")
    parser.add_argument("name_or_video", help="a dataset's name (recording at dataset/NAME/NAME.*), or a video file")
    parser.add_argument("--name", help="the dataset's name; by default that of the video")
    parser.add_argument(
        "--dataset_dir", default=str(at_home("dataset")), help="where datasets lie (default: %(default)s)"
    )
    parser.add_argument(
        "--audio_features",
        choices=AUDIO_FEATURES,
        default="mel",
        help="what the audio encoder will listen to (default: %(default)s)",
    )
    parser.add_argument("--audio_model", help="folder of the pretrained model for hubert, wav2vec2 or whisper")
    return parser


def _summary(folder: Path, changed: bool) -> None:
    from data_prep.dataset_328 import MANIFEST, REPORT, read_manifest

    manifest = read_manifest(folder)
    assert manifest is not None, f"{folder / MANIFEST} was just written"
    if not changed:
        log.info("%s is up to date: nothing to do", folder)
        return
    log.info("%s: %d frames, %d of them with a good face", folder, manifest["frames"], manifest["valid_frames"])
    for reason, frames in manifest["excluded"].items():
        counted = f"{frames} frame{'s' * (frames != 1)}"
        log.info("  left out: %s, %s, at %s", counted, reason, manifest["excluded_at"][reason])
    if manifest["second_face_frames"]:
        log.info("  %d frames show a second face; the larger one was followed", manifest["second_face_frames"])
    log.info("  sound: %s", manifest["av_offset"]["evidence"])
    log.info("  this recording is %s; see %s", manifest["quality"]["verdict"], folder / REPORT)


if __name__ == "__main__":
    sys.exit(main())
