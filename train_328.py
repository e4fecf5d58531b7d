"""Train one person's nets: `python train_328.py --name NAME --stage syncnet|unet --preset full|cpu|quick|tiny`.

    dataset/NAME  --stage syncnet-->  checkpoint/NAME/syncnet/best.pt   SyncNet (and a scorer)
                                      checkpoint/NAME/lips/best.pt      the audio encoder, fitted to the lips
                  --stage unet----->  checkpoint/NAME/unet/best.pt      the generator, averaged weights

Kill it at any point and run the same command again: it goes on where it was. Several GPUs:
`torchrun --nproc_per_node 4 train_328.py --name NAME --stage unet`.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import configargparse
import torch

from data_prep.dataset_328 import open_dataset
from models.audio_encoder import AudioFrontEnd
from models.checkpoint import load_checkpoint
from training.data import FaceData
from training.device import choose_device
from training.distributed import Workers, join_workers, leave_workers
from training.export import export_scorer
from training.lip_stage import train_lips
from training.perceptual import find_vgg_weights
from training.presets import PRESETS, Preset
from training.sound import TrainingSound, load_sound
from training.syncnet_stage import SCORER_BOX, SyncModel, SyncNetRun, train_syncnet
from training.unet_stage import UNetTraining

log = logging.getLogger("train_328")

INTERRUPTED = 130


def parse_options(arguments: list[str] | None = None) -> configargparse.Namespace:
    """Command line over environment (AVATAR328_...) over --config file over default."""
    parser = configargparse.ArgParser(description=__doc__.split("\n")[0], auto_env_var_prefix="AVATAR328_")
    parser.add("--config", is_config_file=True, help="read options from this file")
    parser.add("--name", required=True, help="the dataset dataset/NAME")
    parser.add("--stage", required=True, choices=["syncnet", "unet"])
    parser.add("--preset", default="full", choices=sorted(PRESETS), help="how long to train")
    parser.add("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add("--threads", type=int, default=0, help="CPU threads (0: all cores)")
    parser.add("--seed", type=int, default=1, help="of all randomness")
    parser.add("--dataset_dir", type=Path, default=Path("dataset"))
    parser.add("--checkpoint_dir", type=Path, default=Path("checkpoint"))
    parser.add(
        "--start_from",
        type=Path,
        help="best.pt of a trained generator that a new unet run starts from; see --preset settle",
    )
    parser.add("--vgg_weights", type=Path, help="torchvision's VGG19 weights (default: used if torch.hub has them)")
    parser.add("--dry_run", action="store_true", help="check everything, print the resolved options and stop")
    return parser.parse_args(arguments)


def train_stage_0(
    options: configargparse.Namespace, preset: Preset, data: FaceData, sound: TrainingSound, workers: Workers
) -> None:
    """SyncNet, the audio encoder's fit to the lips, then the scorer that is never a loss."""
    folder: Path = options.checkpoint_dir / options.name
    best = train_syncnet(
        data, sound, SyncNetRun(preset.syncnet, options.seed), folder / "syncnet", workers, workers.is_main
    )
    found = "unknown (too little held-out speech)" if best["accuracy"] is None else f"{best['accuracy']:.0%}"
    if best["gate_open"]:
        log.info("SyncNet finds the held-out offset within a frame in %s of the windows: it will be a loss", found)
    else:
        log.warning(
            "SyncNet's held-out accuracy is %s, below the gate of 60%%: the generator trains without a sync loss "
            "(more or cleaner speech opens the gate)",
            found,
        )
    lips = train_lips(data, sound, best, preset.lips, options.seed, folder / "lips", workers, workers.is_main)
    log.info("the audio encoder finds the held-out mouth opening with r = %.2f", lips["held_out"]["r"])
    scorer = SyncNetRun(preset.syncnet, options.seed + 1, mouth_box=SCORER_BOX)
    judged = train_syncnet(data, sound, scorer, folder / "scorer", workers, workers.is_main)
    if workers.is_main:
        model = SyncModel.from_checkpoint(judged)
        export_scorer(model.syncnet, AudioFrontEnd(sound.front_end(), model.audio), folder / "scorer")
    log.info("scorer: held-out accuracy %s", "unknown" if judged["accuracy"] is None else f"{judged['accuracy']:.0%}")


def train_generator(
    options: configargparse.Namespace, preset: Preset, data: FaceData, sound: TrainingSound, workers: Workers
) -> bool:
    """Stages A to D; False when a stop was asked for."""
    folder: Path = options.checkpoint_dir / options.name
    sync = load_checkpoint(folder / "syncnet" / "best.pt")
    lips = load_checkpoint(folder / "lips" / "best.pt")
    vgg_weights = options.vgg_weights or find_vgg_weights()
    if vgg_weights is None:
        log.info("no VGG19 weights on disk: training without the perceptual term")
    start = load_checkpoint(options.start_from) if options.start_from else None
    training = UNetTraining(
        data, sound, sync, lips, preset.unet, options.seed, folder / "unet", workers, vgg_weights, start
    )
    return training.run(show_progress=workers.is_main)


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; exit codes: 0 done, 2 bad input, 130 interrupted (resume with the same command)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parse_options(arguments)
    preset = PRESETS[options.preset]
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    try:
        dataset = open_dataset(options.dataset_dir / options.name)
        workers, device = join_workers(choose_device(options.device))
        resolved: dict[str, Any] = {"preset": asdict(preset), "torch": torch.__version__, "device": str(device)}
        resolved |= {k: str(v) for k, v in vars(options).items()}
        if not workers.is_main:
            logging.disable(logging.WARNING)  # one voice is enough
        else:
            log.info(
                "%s: %s on %s, preset %s (%s)", options.name, options.stage, device, options.preset, preset.purpose
            )
        if options.dry_run:
            print(json.dumps(resolved, indent=2))  # noqa: T201  the answer to --dry_run
            return 0
        data = FaceData.load(dataset, device)
        sound = load_sound(dataset, device)
    except (ValueError, OSError) as error:
        log.error("error: %s", error)
        return 2
    try:
        if options.stage == "syncnet":
            train_stage_0(options, preset, data, sound, workers)
            return 0
        return 0 if train_generator(options, preset, data, sound, workers) else INTERRUPTED
    except KeyboardInterrupt:
        log.error("interrupted: run the same command again to go on")
        return INTERRUPTED
    except (ValueError, OSError) as error:
        log.error("error: %s", error)
        return 2
    finally:
        leave_workers(workers)


if __name__ == "__main__":
    sys.exit(main())
