"""Losses: zero for equal pictures, and each sees the fault it is there for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.training_material import drawn_face
from training.losses import box_weight, gradient_l1, laplacian_variance, ms_ssim, ssim, temporal_l1, weighted_l1
from training.perceptual import Perceptual


@pytest.fixture(scope="module")
def face() -> torch.Tensor:
    return torch.from_numpy(drawn_face(0.6)).permute(2, 0, 1)[None].float() / 255


def blurred(picture: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(F.pad(picture, (3, 3, 3, 3), mode="replicate"), 7, 1)


def ssim_by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM in 7-px windows at stride 2, straight from the formula."""
    values = []
    for channel in range(a.shape[0]):
        for y in range(0, a.shape[1] - 6, 2):
            for x in range(0, a.shape[2] - 6, 2):
                p, q = a[channel, y : y + 7, x : x + 7], b[channel, y : y + 7, x : x + 7]
                covariance = (p * q).mean() - p.mean() * q.mean()
                top = (2 * p.mean() * q.mean() + 1e-4) * (2 * covariance + 9e-4)
                values.append(top / ((p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (p.var() + q.var() + 9e-4)))
    return float(np.mean(values))


def test_ssim_is_the_published_formula(face: torch.Tensor) -> None:
    a, b = face[..., 150:189, 120:161], blurred(face)[..., 150:189, 120:161]
    assert float(ssim(a, b)) == pytest.approx(
        ssim_by_definition(a[0].double().numpy(), b[0].double().numpy()), abs=1e-4
    )


def test_equal_pictures_cost_nothing(face: torch.Tensor) -> None:
    weight = torch.ones_like(face[:, :1])
    assert float(ssim(face, face)) == pytest.approx(1, abs=1e-5)
    assert float(ms_ssim(face, face)) == pytest.approx(1, abs=1e-5)
    assert float(weighted_l1(face, face, weight, 4)) == 0
    assert float(gradient_l1(face, face, weight)) == 0
    assert float(temporal_l1(face[None].expand(1, 3, -1, -1, -1), face[None].expand(1, 3, -1, -1, -1))) == 0


def test_blur_costs_structure_and_edges(face: torch.Tensor) -> None:
    soft, weight = blurred(face), torch.ones_like(face[:, :1])
    assert float(ms_ssim(soft, face)) < 0.99
    assert float(gradient_l1(soft, face, weight)) > 0.001
    assert float(laplacian_variance(soft)) < 0.5 * float(laplacian_variance(face))


def test_a_brighter_picture_costs_no_edges(face: torch.Tensor) -> None:
    assert float(gradient_l1(face * 0.5 + 0.1, face * 0.5, torch.ones_like(face[:, :1]))) < 1e-6


def test_an_error_in_the_mouth_weighs_more(face: torch.Tensor) -> None:
    mouth = box_weight(torch.tensor([[10.0, 10, 19, 19]]), 64, 64)
    assert float(mouth.sum()) == 100
    real = torch.zeros(1, 3, 64, 64)
    inside, outside = real.clone(), real.clone()
    inside[..., 12:15, 12:15] = 1
    outside[..., 42:45, 42:45] = 1
    inside_loss, outside_loss = (float(weighted_l1(x, real, mouth, 4)) for x in (inside, outside))
    assert inside_loss == pytest.approx(5 * outside_loss)


def test_temporal_term_sees_flicker_and_frozen_lips_but_no_constant_shade() -> None:
    real = torch.stack([torch.full((3, 8, 8), v) for v in (0.2, 0.4, 0.6)])[None]
    assert float(temporal_l1(real + 0.1, real)) == pytest.approx(0, abs=1e-6)
    assert float(temporal_l1(real[:, :1].expand_as(real), real)) == pytest.approx(0.2)
    flicker = real + torch.tensor([0.05, -0.05, 0.05])[None, :, None, None, None]
    assert float(temporal_l1(flicker, real)) == pytest.approx(0.1)


def test_perceptual_distance_uses_the_weights_on_disk(tmp_path: Path, face: torch.Tensor) -> None:
    torch.manual_seed(0)
    from torchvision.models.vgg import cfgs, make_layers

    weights = {f"features.{k}": v for k, v in make_layers(cfgs["E"]).state_dict().items()}
    torch.save(weights, tmp_path / "vgg19-test.pth")
    perceptual = Perceptual(tmp_path / "vgg19-test.pth")
    small = F.interpolate(face, (64, 64), mode="area")
    assert float(perceptual(small, small)) == 0
    assert float(perceptual(blurred(small), small)) > 0
    (tmp_path / "other.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="does not hold torchvision's VGG19"):
        Perceptual(tmp_path / "other.pth")
