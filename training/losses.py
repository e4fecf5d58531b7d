"""Losses of the generator, on composited pictures in float32.

Axes: B batch (frames), T consecutive frames, C H W image; boxes are x0, y0, x1, y1 in pixels of the image given.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_SSIM_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2


def box_weight(boxes_B4: Tensor, height: int, width: int) -> Tensor:
    """1 inside each box, 0 outside, (B, 1, H, W)."""
    y = torch.arange(height, device=boxes_B4.device)[None, :, None]
    x = torch.arange(width, device=boxes_B4.device)[None, None, :]
    x0, y0, x1, y1 = (boxes_B4[:, i, None, None] for i in range(4))
    return ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).float()[:, None]


def weighted_l1(drawn: Tensor, real: Tensor, mouth_B1HW: Tensor, mouth_weight: float) -> Tensor:
    """Mean absolute error in which a mouth pixel counts 1 + mouth_weight times."""
    weight = 1 + mouth_weight * mouth_B1HW
    return ((drawn - real).abs() * weight).sum() / (weight.sum() * drawn.shape[1])


def _ssim_maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure terms of SSIM in uniform windows, every second row and column."""
    moments = torch.cat([a, b, a * a, b * b, a * b], dim=1)
    moments = F.avg_pool2d(F.avg_pool2d(moments, (_SSIM_WINDOW, 1), (2, 1)), (1, _SSIM_WINDOW), (1, 2))
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, dim=1)
    var_a, var_b = square_a - mean_a * mean_a, square_b - mean_b * mean_b
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a * mean_a + mean_b * mean_b + _C1)
    structure = (2 * covariance + _C2) / (var_a + var_b + _C2)
    return luminance, structure


def ssim(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Structural similarity with uniform 7-px windows at stride 2, mean over the batch; 1 for equal pictures.

    Source: Wang et al. 2004. Uniform strided windows instead of Gaussian ones: a tenth of the cost, same minimum.
    """
    luminance, structure = _ssim_maps(a_BCHW, b_BCHW)
    return (luminance * structure).mean()


def ms_ssim(a_BCHW: Tensor, b_BCHW: Tensor, scales: int = 3) -> Tensor:
    """Multi-scale SSIM (Wang et al. 2003) with the first `scales` published exponents, renormalised."""
    exponents = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales])
    exponents = exponents / exponents.sum()
    product = torch.ones((), device=a_BCHW.device)
    for scale in range(scales):
        luminance, structure = _ssim_maps(a_BCHW, b_BCHW)
        term = (luminance * structure if scale == scales - 1 else structure).mean()
        product = product * term.clamp_min(1e-4) ** exponents[scale].item()
        if scale < scales - 1:
            a_BCHW, b_BCHW = F.avg_pool2d(a_BCHW, 2), F.avg_pool2d(b_BCHW, 2)
    return product


def gradient_l1(drawn: Tensor, real: Tensor, weight_B1HW: Tensor) -> Tensor:
    """L1 distance of horizontal and vertical differences, weighted: punishes blur where L1 accepts it."""
    difference = drawn - real
    dx = (difference[..., :, 1:] - difference[..., :, :-1]).abs() * weight_B1HW[..., :, 1:]
    dy = (difference[..., 1:, :] - difference[..., :-1, :]).abs() * weight_B1HW[..., 1:, :]
    return (dx.sum() + dy.sum()) / (weight_B1HW.sum() * drawn.shape[1])


def temporal_l1(drawn_BTCHW: Tensor, real_BTCHW: Tensor) -> Tensor:
    """L1 distance between the changes from frame to frame: punishes flicker and sluggish lips alike."""
    change = (drawn_BTCHW[:, 1:] - drawn_BTCHW[:, :-1]) - (real_BTCHW[:, 1:] - real_BTCHW[:, :-1])
    return change.abs().mean()


def laplacian_variance(picture_BCHW: Tensor) -> Tensor:
    """Variance of the Laplacian of the grey picture, per picture (B,): a measure of sharpness."""
    grey = picture_BCHW.mean(dim=1, keepdim=True) * 255
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=grey.device)[None, None]
    return F.conv2d(grey, kernel).flatten(1).var(dim=1)
