"""Train one person's nets and make the avatar: `python train_328.py --name NAME --stage film|syncnet|unet|package`.

    dataset/NAME  --stage film----->  checkpoint/NAME/film/best.pt      the shipped ears, fitted to the person
                  --stage syncnet-->  checkpoint/NAME/syncnet/best.pt   SyncNet (and a scorer)
                                      checkpoint/NAME/lips/best.pt      the audio encoder, fitted to the lips
                  --stage unet----->  checkpoint/NAME/unet/best.pt      the generator, averaged weights
                  --stage package-->  avatars/NAME                      all that speaking needs

`--stage package` takes the trained generator; with `--picture film` it takes the filmed frames instead, and needs only
the first stage.

Stop it at any point and run the same command again: it goes on where it was. Several GPUs:
`torchrun --nproc_per_node 4 train_328.py --name NAME --stage unet`.

Nothing heavy is imported before the options are known to be right.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import configargparse

from recipe.avatar_format import read_manifest
from recipe.consent import parse_consent
from recipe.errors import ConsentFormatError, UserError
from recipe.files import why_not_written
from recipe.installed import missing_packages_are_said
from recipe.interrupt import sigterm_interrupts
from recipe.names import check_name
from recipe.places import at_home
from training.presets import LONGEST_TEMPLATE_S, PRESETS, Preset
from training.waiting import wait_briefly

if TYPE_CHECKING:
    import torch

    from data_prep.dataset_328 import Dataset328
    from training.checked_export import CompileInt8
    from training.data import FaceData
    from training.distributed import Workers
    from training.sound import TrainingSound

log = logging.getLogger("train_328")

INTERRUPTED: Final = 130
_TRAINS: Final = ("film", "syncnet", "unet")
# What the other stages would ignore. Environment and file may hold the options of all stages.
_ONLY_AT: Final = {
    **dict.fromkeys(("--preset", "--device", "--seed", "--dry_run"), _TRAINS),
    **dict.fromkeys(("--start_from", "--vgg_weights"), ("unet",)),
    **dict.fromkeys(("--avatars_dir", "--consent", "--synthetic", "--licence"), ("package",)),
    **dict.fromkeys(("--picture", "--keep_film", "--weights", "--template_s", "--no_evaluation"), ("package",)),
}


def parse_options(arguments: Sequence[str] | None = None) -> configargparse.Namespace:
    """Command line over environment (AVATAR328_...) over --config file over default."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = configargparse.ArgParser(
        prog="train_328.py",
        description=__doc__.split("\n")[0],
        auto_env_var_prefix="AVATAR328_",
        allow_abbrev=False,
    )
    parser.add("--config", is_config_file=True, help="read options from this file")
    parser.add("--name", required=True, help="the dataset dataset/NAME")
    parser.add("--stage", required=True, choices=[*_TRAINS, "package"])
    parser.add("--threads", type=int, default=0, help="CPU threads (0: all cores)")
    parser.add("--dataset_dir", type=Path, default=at_home("dataset"), help="default: dataset, beside this program")
    parser.add("--checkpoint_dir", type=Path, default=at_home("checkpoint"), help="default: checkpoint")
    training = parser.add_argument_group("--stage film, --stage syncnet and --stage unet")
    training.add("--preset", default="full", choices=sorted(PRESETS), help="how long to train")
    training.add("--device", default="auto", help="auto, cpu or cuda:N")
    training.add("--seed", type=int, default=1, help="of all randomness")
    training.add("--dry_run", action="store_true", help="check everything, print the resolved options and stop")
    training.add(
        "--start_from",
        type=Path,
        help="best.pt of a trained generator that a new unet run starts from; see --preset settle",
    )
    training.add("--vgg_weights", type=Path, help="torchvision's VGG19 weights (default: used if torch.hub has them)")
    packaging = parser.add_argument_group("--stage package")
    packaging.add("--avatars_dir", type=Path, default=at_home("avatars"), help="default: avatars")
    packaging.add("--consent", default="", help='who agreed: "name, YYYY-MM-DD, scope"')
    packaging.add("--synthetic", action="store_true", help="the recording shows no real person")
    packaging.add("--licence", default="", help="what may be done with the avatar, in words")
    packaging.add(
        "--picture", choices=("unet", "film"), default="unet", help="who draws: a network, or the film itself"
    )
    packaging.add("--keep_film", action="store_true", help="a film avatar of this recording stays if it is better")
    packaging.add(
        "--weights",
        choices=("int8", "float32"),
        default="int8",
        help="how they are stored: a quarter of the space, or exact",
    )
    packaging.add("--template_s", type=float, default=LONGEST_TEMPLATE_S, help="longest template, seconds")
    packaging.add("--no_evaluation", action="store_true", help="skip the held-out metrics")
    options = parser.parse_args(given)
    if problem := _problem(options, given):
        parser.error(problem)
    return options


def _problem(options: configargparse.Namespace, given: Sequence[str]) -> str | None:
    """What is wrong with the options, as far as it can be told without torch."""
    for option in (token.split("=")[0] for token in given):
        stages = _ONLY_AT.get(option, (options.stage,))
        if options.stage not in stages:
            return f"{option} is of --stage {' and '.join(stages)}: it would change nothing at --stage {options.stage}"
    try:
        check_name(options.name)
        if options.consent:
            parse_consent(options.consent, "")
    except (UserError, ConsentFormatError) as error:
        return str(error)
    if options.consent and options.synthetic:
        return "--consent and --synthetic exclude each other: a synthetic person consents to nothing"
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.device):
        return f"--device {options.device} is unknown; use auto, cpu or cuda:N"
    if options.threads < 0:
        return f"--threads {options.threads} is negative; 0 means all cores"
    if not options.template_s > 0:
        return f"--template_s {options.template_s} is no length of time"
    for option in ("start_from", "vgg_weights"):
        path = getattr(options, option)
        if path is not None and not path.is_file():
            return f"--{option}: there is no file {path.absolute()}"
    return None


def train_film(
    options: configargparse.Namespace, preset: Preset, dataset: Dataset328, device: torch.device, workers: Workers
) -> None:
    """The shipped ears learn the person's manner."""
    from training.film.ears import Film, fit_ears
    from training.sound import MelSound

    folder: Path = options.checkpoint_dir / options.name / "film"
    best = fit_ears(Film.of(dataset), MelSound(dataset, device), preset.fit, options.seed, folder, workers)
    log.info("the fitted ears find the held-out mouth opening with r = %.2f", best["held_out"]["r"])


def train_sound(
    options: configargparse.Namespace, preset: Preset, data: FaceData, sound: TrainingSound, workers: Workers
) -> None:
    """SyncNet, the audio encoder's fit to the lips, then the scorer that is never a loss."""
    from models.audio_encoder import AudioFrontEnd
    from training.export import export_scorer
    from training.lip_stage import train_lips
    from training.syncnet_stage import SCORER_BOX, SyncModel, SyncNetRun, train_syncnet

    folder: Path = options.checkpoint_dir / options.name
    best = train_syncnet(data, sound, SyncNetRun(preset.syncnet, options.seed), folder / "syncnet", workers)
    found = "unknown (too little held-out speech)" if best["accuracy"] is None else f"{best['accuracy']:.0%}"
    if best["gate_open"]:
        log.info("SyncNet finds the held-out offset within a frame in %s of the windows: it will be a loss", found)
    else:
        log.warning(
            "SyncNet's held-out accuracy is %s, below the gate of 60%%: the generator trains without a sync loss "
            "(more or cleaner speech opens the gate)",
            found,
        )
    lips = train_lips(data, sound, best, preset.lips, options.seed, folder / "lips", workers)
    log.info("the audio encoder finds the held-out mouth opening with r = %.2f", lips["held_out"]["r"])
    scorer = SyncNetRun(preset.syncnet, options.seed + 1, mouth_box=SCORER_BOX)
    judged = train_syncnet(data, sound, scorer, folder / "scorer", workers)
    if workers.is_main:
        model = SyncModel.from_checkpoint(judged)
        export_scorer(model.syncnet, AudioFrontEnd(sound.front_end(), model.audio), folder / "scorer")
    log.info("scorer: held-out accuracy %s", "unknown" if judged["accuracy"] is None else f"{judged['accuracy']:.0%}")


def train_picture(
    options: configargparse.Namespace, preset: Preset, data: FaceData, sound: TrainingSound, workers: Workers
) -> None:
    """The generator, stages A to D."""
    from models.checkpoint import load_checkpoint
    from training.perceptual import find_vgg_weights
    from training.unet_stage import Parents, train_generator

    folder: Path = options.checkpoint_dir / options.name
    parents = Parents(
        sync=load_checkpoint(folder / "syncnet" / "best.pt"),
        lips=load_checkpoint(folder / "lips" / "best.pt"),
        vgg_weights=options.vgg_weights or find_vgg_weights(),
        start=load_checkpoint(options.start_from) if options.start_from else None,
    )
    if parents.vgg_weights is None:
        log.info("no VGG19 weights on disk: training without the perceptual term")
    train_generator(data, sound, parents, preset.unet, options.seed, folder / "unet", workers)


def train(options: configargparse.Namespace) -> None:
    """Open the dataset on the device and train one stage."""
    import torch

    from data_prep.dataset_328 import open_dataset
    from training.data import FaceData
    from training.device import choose_device
    from training.distributed import join_workers, leave_workers
    from training.sound import load_sound

    preset = PRESETS[options.preset]
    dataset = open_dataset(options.dataset_dir / options.name)
    workers, device = join_workers(choose_device(options.device))
    try:
        if not workers.is_main:
            logging.disable(logging.WARNING)  # one voice is enough
        log.info("%s: %s on %s, preset %s (%s)", options.name, options.stage, device, options.preset, preset.purpose)
        if options.dry_run:
            resolved: dict[str, Any] = {"preset": asdict(preset), "torch": torch.__version__, "device": str(device)}
            resolved |= {k: str(v) for k, v in vars(options).items()}
            print(json.dumps(resolved, indent=2))  # noqa: T201  the answer to --dry_run
            return
        if options.stage == "film":
            train_film(options, preset, dataset, device, workers)
            return
        data, sound = FaceData.load(dataset, device), load_sound(dataset, device)
        stage = train_sound if options.stage == "syncnet" else train_picture
        stage(options, preset, data, sound, workers)
    finally:
        leave_workers(workers)


def package(options: configargparse.Namespace) -> None:
    """Make the avatar. Training knows nothing of serving and of the laboratory: what it needs of them is handed in."""
    from evaluation.held_out import evaluate_avatar
    from training.packaging import Packaging
    from training.packaging import package as build

    asked = Packaging(
        name=options.name,
        dataset_dir=options.dataset_dir,
        checkpoint_dir=options.checkpoint_dir,
        avatars_dir=options.avatars_dir,
        consent=options.consent,
        synthetic=options.synthetic,
        licence=options.licence,
        weights=options.weights,
        template_s=options.template_s,
        picture=options.picture,
        keep_film=options.keep_film,
    )
    folder = build(asked, _int8_compiler(), None if options.no_evaluation else evaluate_avatar)
    log.info("avatar ready: %s", folder)
    if not read_manifest(folder).may_serve_publicly:  # a consent may have been kept from the avatar before
        log.warning(
            "no consent is recorded: servers beyond this machine will not show it "
            '(python -m services.avatars consent %s "who, date, scope")',
            options.name,
        )


def _int8_compiler() -> CompileInt8:
    from recipe.avatar_format import PATCH
    from services.runtimes.openvino import OpenVinoRuntime

    runtime = OpenVinoRuntime("int8", os.cpu_count() or 1)

    def compile_int8(graph: Path, bounds: Any) -> Any:
        compiled = runtime.compile(graph, bounds)
        return lambda given: compiled.run(given)[PATCH]

    return compile_int8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; exit codes: 0 done, 2 bad input, 130 interrupted (resume with the same command)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parse_options(arguments)
    wait_briefly()
    with sigterm_interrupts():
        try:
            with missing_packages_are_said():
                import torch
            if options.threads > 0:
                torch.set_num_threads(options.threads)
            (package if options.stage == "package" else train)(options)
        except KeyboardInterrupt as stop:
            log.error("%s", str(stop) or "interrupted: run the same command again to go on")
            return INTERRUPTED
        except (UserError, ValueError, OSError) as error:
            where = options.avatars_dir if options.stage == "package" else options.checkpoint_dir
            log.error("error: %s", why_not_written(error, where))
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
