"""Held-out scores of a generator during training, and the preview grid.

No landmarks here: this runs on the training device every thousand steps. `python -m evaluation` measures the packaged
avatar with landmarks afterwards.

Axes: N frames, C H W image.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.unet_328 import compose
from recipe.recipe_328 import INNER_PX, PATCH_TOP_PX
from training.data import FaceData
from training.generator import Generator
from training.losses import box_weight, laplacian_variance, ssim
from training.sound import TrainingSound

_MOST_FRAMES = 64
_BATCH = 8
_BLUR_WEIGHT_DB = 2.0


@torch.no_grad()
def validate(
    generator: Generator,
    data: FaceData,
    sound: TrainingSound,
    dtype: torch.dtype | None,
    half_size: bool,
    check: Callable[[], None],
) -> dict[str, float]:
    """Scores on the validation split with the references that an avatar would use; half size during stage A.

    Args:
        check: raises where the training is to stop; called between pictures.
    Returns:
        score: what best.pt is chosen by: psnr_mouth - 2 |ln sharpness| dB, so that neither blur nor invented
            grain wins;
        psnr_hidden, psnr_mouth: dB over the hidden rows and the mouth boxes; ssim_mouth: of the mouth squares;
        sharpness: Laplacian variance of the drawn mouth over the filmed one's;
        silence_l1: mean absolute difference between the pictures drawn for synthetic silence through the encoder
            and for the silence token: 0 when silence is silence, whatever it sounds like.
    """
    starts = data.windows("val", 1)
    frames = starts[torch.linspace(0, len(starts) - 1, min(_MOST_FRAMES, len(starts))).round().long()]
    hidden, mouth, structure, sharp, silent = [], [], [], [], []
    scale = 0.5 if half_size else 1.0
    for part in frames.split(_BATCH):
        check()
        real = _picture(data.inner(part), half_size)
        rows = _lower(real)
        features, gate = sound.features(part[:, None])[:, 0], sound.gate_T[part.to(data.device)]
        drawn = _draw(generator, data, part, real, features, gate, dtype)
        boxes = data.patch_boxes(part) * scale
        error = (drawn - rows).square().mean(dim=1, keepdim=True)
        box = box_weight(boxes, *rows.shape[-2:])
        inside = _picture(generator.unet.alpha_max_HW, half_size).expand_as(error) > 0
        hidden.append((error * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)))
        mouth.append((error * box).sum((1, 2, 3)) / box.sum((1, 2, 3)).clamp_min(1))
        for one in range(len(part)):
            x0, y0, x1, y1 = (int(v) for v in boxes[one])
            a, b = drawn[one : one + 1, :, y0 : y1 + 1, x0 : x1 + 1], rows[one : one + 1, :, y0 : y1 + 1, x0 : x1 + 1]
            structure.append(ssim(a, b))
            sharp.append(laplacian_variance(a) / laplacian_variance(b).clamp_min(1e-6))
        check()
        noise = sound.silence(len(part), 1, torch.Generator().manual_seed(int(part[0])))[:, 0]
        heard = _draw(generator, data, part, real, noise, torch.ones_like(gate), dtype)
        token = _draw(generator, data, part, real, noise, torch.zeros_like(gate), dtype)
        silent.append((heard - token).abs().mean())
    psnr_hidden, psnr_mouth = (
        float((-10 * torch.log10(torch.cat(e).clamp_min(1e-10))).mean()) for e in (hidden, mouth)
    )
    sharpness = float(torch.cat(sharp).median())
    return {
        "score": psnr_mouth - _BLUR_WEIGHT_DB * abs(float(np.log(max(sharpness, 1e-6)))),
        "psnr_hidden": psnr_hidden,
        "psnr_mouth": psnr_mouth,
        "ssim_mouth": float(torch.stack(structure).mean()),
        "sharpness": sharpness,
        "silence_l1": float(torch.stack(silent).mean()),
    }


@torch.no_grad()
def preview(
    generator: Generator,
    data: FaceData,
    sound: TrainingSound,
    dtype: torch.dtype | None,
    half_size: bool,
    check: Callable[[], None],
) -> NDArray[np.uint8]:
    """A picture to look at: held-out frames (top: filmed, middle: drawn from the sound, bottom: drawn in silence)."""
    starts = data.windows("val", 1)
    order = data.opening_T[starts].argsort()
    frames = starts[order[torch.linspace(0, len(order) - 1, 6).round().long()]]
    real = _picture(data.inner(frames), half_size)
    features, gate = sound.features(frames[:, None])[:, 0], sound.gate_T[frames.to(data.device)]
    rows = [real]
    for heard in (gate, torch.zeros_like(gate)):
        check()
        drawn = _draw(generator, data, frames, real, features, heard, dtype)
        rows.append(torch.cat([real[:, :, : real.shape[2] - drawn.shape[2]], drawn], dim=2))
    grid = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1).clamp(0, 1)
    picture = np.ascontiguousarray((grid.permute(1, 2, 0) * 255).round().byte().cpu().numpy())
    for text, y in (("filmed", 0), ("drawn, held out", real.shape[2]), ("drawn, silence", 2 * real.shape[2])):
        cv2.putText(picture, text, (8, y + 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2, cv2.LINE_AA)
    return picture


def _draw(
    generator: Generator,
    data: FaceData,
    frames: Tensor,
    real: Tensor,
    features: Tensor,
    gate: Tensor,
    dtype: torch.dtype | None,
) -> Tensor:
    """Composited rows for some frames, with an avatar's fixed references."""
    pose = torch.from_numpy(data.dataset.pose_T3)[frames].float().median(dim=0).values
    references = data.references(data.pools.nearest(pose)[None]).expand(len(frames), -1, -1, -1)
    references = _picture(references, half_size=real.shape[-1] < INNER_PX)
    with torch.autocast(data.device.type, dtype, enabled=dtype is not None):
        patch = generator.draw(real, references, features, gate)
    return compose(_lower(real), patch.float())


def _picture(picture: Tensor, half_size: bool) -> Tensor:
    return F.avg_pool2d(picture, 2) if half_size else picture


def _lower(picture: Tensor) -> Tensor:
    return picture[:, :, picture.shape[2] * PATCH_TOP_PX // INNER_PX :]
