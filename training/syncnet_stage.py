"""Stage 0: audio encoder and SyncNet, trained together by contrast.

    mouths of five frames -> picture branch -> unit vector -.
                                                             > symmetric InfoNCE over the batch
    sound of the same five -> audio encoder -> sound branch -'

Windows come in fours that lie close together (up to 25 frames apart): telling those apart is the task at hand. The
stage ends with two nets: `syncnet` gives the generator its audio encoder and, if the gate opens, a loss; `scorer`
(other seed, other square) is never a loss and only judges.

Axes: B batch of windows, T frames of a window, O offsets, D embedding.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.audio_encoder import AudioEncoder, AudioEncoderConfig
from models.checkpoint import load_checkpoint
from models.syncnet_328 import SyncNet, SyncNetConfig, info_nce
from recipe.recipe_328 import CROP_PX, INNER_OFFSET_PX, INNER_PX, recipe
from training.data import FaceData, as_tensor, balanced_weights, draw, spans, step_generator
from training.device import autocast_dtype
from training.distributed import Workers
from training.presets import SyncNetPreset
from training.run_directory import RunDirectory
from training.schedule import learning_rate_factor
from training.sound import TrainingSound

log = logging.getLogger(__name__)

GATE_ACCURACY = 0.60  # held-out share of windows whose offset is found within +-1 frame; chance is 3 / 31
OFFSETS = range(-15, 16)
_NEIGHBOURS = 4  # windows of a batch that lie close together
_NEAR_FRAMES, _TOO_NEAR_FRAMES = 25, 3
_CONSISTENCY = 0.3  # weight of: clean and augmented sound give the same embedding
SCORER_BOX = (132, 92, 136, 136)
COLUMNS = ["loss", "info_nce", "consistency", "learning_rate", "held_out_mass", "held_out_accuracy", "windows"]


@dataclass(frozen=True)
class SyncNetRun:
    """Everything that defines a run of this stage."""

    preset: SyncNetPreset
    seed: int
    mouth_box: tuple[int, int, int, int] | None = None  # None: the configuration's own


class SyncModel(nn.Module):
    """Audio encoder and SyncNet as one module, so that one optimiser and one checkpoint hold both."""

    def __init__(self, audio: AudioEncoder, syncnet: SyncNet) -> None:
        super().__init__()
        self.audio = audio
        self.syncnet = syncnet

    @classmethod
    def from_checkpoint(cls, content: dict[str, Any]) -> SyncModel:
        """Rebuild from what the checkpoint says of itself."""
        model = cls(
            AudioEncoder(AudioEncoderConfig(**content["audio_config"])),
            SyncNet(SyncNetConfig.from_dict(content["syncnet_config"])),
        )
        model.load_state_dict(content["model"])
        return model

    def configs(self) -> dict[str, Any]:
        return {"audio_config": asdict(self.audio.config), "syncnet_config": self.syncnet.config.to_dict()}

    def sound(self, features_BTND: Tensor, gate_BT: Tensor) -> Tensor:
        """Features of consecutive frames -> unit vectors (B, output_dim)."""
        count, length = features_BTND.shape[:2]
        embeddings = self.audio(features_BTND.flatten(0, 1), gate_BT.flatten())
        return self.syncnet.embed_sound(embeddings.unflatten(0, (count, length)))


def train_syncnet(
    data: FaceData, sound: TrainingSound, run: SyncNetRun, folder: Path, workers: Workers, show_progress: bool = True
) -> dict[str, Any]:
    """Train, or go on training, one SyncNet.

    Args:
        data: pictures of the dataset.
        sound: its sound.
        run: preset and seed.
        folder: checkpoint/NAME/syncnet or .../scorer.
        workers: place among data-parallel processes.
        show_progress: draw a progress bar.
    Returns:
        The content of best.pt, with `accuracy` (held out; None without enough speech there) and `gate_open`.
    """
    preset, device = run.preset, data.device
    directory = RunDirectory(folder, COLUMNS)
    identity = _identity(data, run)
    torch.manual_seed(run.seed)
    model = _new_model(sound, run).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), lr=preset.learning_rate, weight_decay=0.02)
    state: dict[str, Any] = {"step": 0, "best_mass": -1.0, "stale": 0, "done": False}
    found = directory.resume(identity) if workers.is_main else directory.peek(identity)
    if found is not None:
        model.load_state_dict(found["model"])
        optimiser.load_state_dict(found["optimiser"])
        state = found["state"]
        log.info("SyncNet goes on at step %d of %d", state["step"], preset.steps)
    if workers.is_main:
        directory.save_options(identity)
    thumbnails = mouth_thumbnails(data, model.syncnet.config)
    starts = data.windows("train", model.syncnet.config.frames)
    weights = balanced_weights(data.opening_T[starts + 2])
    dtype = autocast_dtype(device)
    bar = tqdm(
        total=preset.steps,
        initial=state["step"],
        desc=folder.name,
        unit="step",
        mininterval=1,
        disable=not show_progress,
    )
    while not state["done"]:
        step = state["step"]
        generator = step_generator(run.seed, step, workers.rank)
        torch.manual_seed(generator.initial_seed())  # dropout
        factor = learning_rate_factor(step, preset.steps, preset.warmup)
        for group in optimiser.param_groups:
            group["lr"] = preset.learning_rate * factor
        windows = _draw_windows(data, starts, weights, preset.batch, generator)
        model.train()
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss, parts = _batch_loss(model, data, sound, thumbnails, windows, generator)
        loss.backward()
        workers.average_gradients(model.parameters())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        state["step"] = step + 1
        bar.update()
        if state["step"] % preset.evaluate_every == 0 or state["step"] == preset.steps:
            held_out = evaluate_syncnet(model, data, sound, "val", thumbnails)
            state["stale"] = 0 if held_out["mass"] > state["best_mass"] else state["stale"] + 1
            state["done"] = state["step"] >= preset.steps or state["stale"] >= preset.patience
            content = {"identity": identity, "recipe": data.dataset.manifest["recipe"], **model.configs()}
            content |= {"model": model.state_dict(), "held_out": held_out}
            if workers.is_main and held_out["mass"] > state["best_mass"]:
                directory.save_best(content | gate(held_out))
            state["best_mass"] = max(state["best_mass"], held_out["mass"])
            bar.set_postfix(loss=f"{loss.item():.3f}", held_out=f"{held_out['accuracy'] or 0:.0%}")
            if workers.is_main:
                row = {"loss": loss.item(), **parts, "learning_rate": preset.learning_rate * factor}
                row |= {f"held_out_{k}": v for k, v in held_out.items() if k != "windows" and v is not None}
                directory.add_metrics(state["step"], row | {"windows": held_out["windows"]})
                directory.save_last(
                    content | {"optimiser": optimiser.state_dict(), "state": state, "step": state["step"]}
                )
    bar.close()
    directory.close()
    workers.wait()
    return load_checkpoint(directory.best)


def gate(held_out: dict[str, Any]) -> dict[str, Any]:
    """Whether SyncNet is good enough to be a loss: it must beat chance clearly on frames it has not seen."""
    accuracy = held_out["accuracy"]
    return {"accuracy": accuracy, "gate_open": accuracy is not None and accuracy >= GATE_ACCURACY}


def mouth_thumbnails(data: FaceData, config: SyncNetConfig) -> Tensor:
    """Every frame's mouth square at SyncNet's size plus a margin for shifts, (T, 3, px, px) uint8 on the device."""
    top, left, height, width = config.mouth_box
    top, left = top + INNER_OFFSET_PX, left + INNER_OFFSET_PX
    reach = min(INNER_OFFSET_PX, CROP_PX - top - height)
    size = round(config.mouth_px * (height + 2 * reach) / height)
    pieces = []
    for first in range(0, len(data.crops), 256):
        piece = data.crops[first : first + 256, top - reach : top + height + reach, left - reach : left + width + reach]
        piece = as_tensor(piece).to(data.device).permute(0, 3, 1, 2).float()
        pieces.append(F.interpolate(piece, (size, size), mode="area").round().byte())
    return torch.cat(pieces)


def evaluate_syncnet(
    model: SyncModel, data: FaceData, sound: TrainingSound, split: str, thumbnails: Tensor
) -> dict[str, Any]:
    """Find the offset of every held-out window among -15..15 frames.

    Returns:
        accuracy: share of speech windows found within +-1 frame (None with fewer than ten of them);
        mass: mean probability that the model gives to +-1 frame, the smooth score by which it is chosen;
        windows: how many were judged.
    """
    config = model.syncnet.config
    starts = data.windows(split, config.frames)
    last = len(data.opening_T) - config.frames
    offsets = torch.tensor(list(OFFSETS))
    speech = sound.gate_T[spans(starts, config.frames)].float().mean(dim=1) > 0.5
    inside = (starts + offsets[0] >= 0) & (starts + offsets[-1] <= last)
    starts = starts[speech.cpu() & inside] if bool((speech.cpu() & inside).any()) else starts[inside]
    if len(starts) == 0:
        return {"accuracy": None, "mass": 0.0, "windows": 0}
    model.eval()
    margin = (thumbnails.shape[-1] - config.mouth_px) // 2
    with torch.no_grad():
        cut = thumbnails[spans(starts, config.frames).to(data.device)].float() / 255
        cut = cut[..., margin : margin + config.mouth_px, margin : margin + config.mouth_px]
        picture = model.syncnet.embed_picture(cut)
        candidates = (starts[:, None] + offsets[None]).flatten()
        unique, where = candidates.unique(return_inverse=True)
        frames = spans(unique, config.frames)
        vectors = model.sound(sound.features(frames), sound.gate_T[frames.to(data.device)])
        similarity = torch.einsum("bd,bod->bo", picture, vectors[where.to(data.device)].unflatten(0, (len(starts), -1)))
        probability = (model.syncnet.scale() * similarity).softmax(dim=1).cpu()
    near = offsets.abs() <= 1
    found = offsets[probability.argmax(dim=1)]
    accuracy = float((found.abs() <= 1).float().mean()) if len(starts) >= 10 else None
    return {"accuracy": accuracy, "mass": float(probability[:, near].sum(dim=1).mean()), "windows": len(starts)}


def _new_model(sound: TrainingSound, run: SyncNetRun) -> SyncModel:
    audio = AudioEncoder(sound.encoder_config())
    config = SyncNetConfig(inner_px=INNER_PX, embedding_dim=audio.config.embedding_dim)
    if run.mouth_box is not None:
        config = replace(config, mouth_box=run.mouth_box)
    return SyncModel(audio, SyncNet(config))


def _draw_windows(data: FaceData, starts: Tensor, weights: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """Anchors by weight, each with neighbours that are the hard negatives."""
    anchors = draw(weights, torch.arange(len(starts)), batch // _NEIGHBOURS, generator)
    steps = torch.randint(-_NEAR_FRAMES, _NEAR_FRAMES + 1, (len(anchors), _NEIGHBOURS), generator=generator)
    steps[:, 0] = 0
    return starts[(anchors[:, None] + steps).clamp(0, len(starts) - 1).flatten()]


def _batch_loss(
    model: SyncModel,
    data: FaceData,
    sound: TrainingSound,
    thumbnails: Tensor,
    windows: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    config, device = model.syncnet.config, data.device
    frames = spans(windows, config.frames)
    mouths = _augmented_mouths(thumbnails, frames, config.mouth_px, generator)
    gate_BT = sound.gate_T[frames.to(device)]
    clean, changed = sound.features(frames), sound.features(frames, augment=True, generator=generator)
    embeddings = model.audio(torch.cat([clean, changed]).flatten(0, 1), gate_BT.repeat(2, 1).flatten())
    embedding_clean, embedding_changed = embeddings.unflatten(0, (2, len(windows), config.frames))
    picture = model.syncnet.embed_picture(mouths)
    vectors = model.syncnet.embed_sound(embedding_changed)
    near = (windows[:, None] - windows[None]).abs() < _TOO_NEAR_FRAMES
    silent = gate_BT.float().mean(dim=1).cpu() < 0.1
    ignore = (near | (silent[:, None] & silent[None])) & ~torch.eye(len(windows), dtype=torch.bool)
    contrast = info_nce(picture, vectors, model.syncnet.scale(), ignore.to(device))
    agreement = 1 - F.cosine_similarity(embedding_changed.float(), embedding_clean.float().detach(), dim=-1)
    consistency = (agreement * gate_BT).mean()
    total = contrast + _CONSISTENCY * consistency
    return total, {"info_nce": contrast.item(), "consistency": consistency.item()}


def _augmented_mouths(thumbnails: Tensor, frames_BT: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Mouth squares with a common shift, mirroring and light of each window, (B, T, 3, px, px) in [0, 1]."""
    count, device = len(frames_BT), thumbnails.device
    reach = thumbnails.shape[-1] - size
    shift = torch.randint(0, reach + 1, (count, 2), generator=generator)
    span = torch.arange(size)
    columns = shift[:, :1] + span[None]
    mirror = torch.rand(count, generator=generator) < 0.5
    columns = torch.where(mirror[:, None], columns.flip(1), columns)[:, None, None, :]
    rows = (shift[:, 1:] + span[None])[:, None, :, None]
    picked = thumbnails[frames_BT[..., None, None].to(device), :, rows.to(device), columns.to(device)]
    light = 1 + 0.2 * (torch.rand(count, 1, 1, 1, 3, generator=generator) - 0.5)
    light = light * (1 + 0.4 * (torch.rand(count, 1, 1, 1, 1, generator=generator) - 0.5))
    lit = (picked.float() / 255 * light.to(device)).clamp(0, 1)
    return lit.permute(0, 1, 4, 2, 3).contiguous()


def _identity(data: FaceData, run: SyncNetRun) -> dict[str, Any]:
    manifest = data.dataset.manifest
    stamp = hashlib.sha256(repr(recipe()).encode()).hexdigest()[:16]
    return {
        "preset": asdict(run.preset),
        "seed": run.seed,
        "mouth_box": list(run.mouth_box or ()),
        "source": manifest["source"]["sha256"],
        "audio_features": manifest["recipe"]["audio_features"],
        "recipe": stamp,
    }
