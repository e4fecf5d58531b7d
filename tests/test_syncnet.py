"""SyncNet: its loss rewards finding the right sound, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from models.syncnet_328 import SyncNet, SyncNetConfig, info_nce

CONFIG = SyncNetConfig(inner_px=320, embedding_dim=8, widths=(8, 8, 8, 8), output_dim=16)
NOTHING = torch.zeros(6, 6, dtype=torch.bool)


def unit(seed: int, count: int = 6) -> torch.Tensor:
    return F.normalize(torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_matching_pairs_score_best_and_a_constant_answer_is_no_optimum() -> None:
    scale = torch.tensor(20.0)
    constant = F.normalize(torch.ones(6, 16), dim=1)
    right = float(info_nce(unit(1), unit(1), scale, NOTHING))
    assert right < 0.1
    assert float(info_nce(constant, constant, scale, NOTHING)) == pytest.approx(math.log(6))
    assert float(info_nce(unit(1), unit(1).roll(1, 0), scale, NOTHING)) > math.log(6)


def test_ignored_pairs_are_no_negatives() -> None:
    picture = unit(1)
    sound = picture.clone()
    sound[1] = sound[0]  # two silent windows sound alike
    ignore = NOTHING.clone()
    ignore[0, 1] = ignore[1, 0] = True
    scale = torch.tensor(20.0)
    picture[1] = picture[0]
    assert float(info_nce(picture, sound, scale, ignore)) < 0.1 < float(info_nce(picture, sound, scale, NOTHING))


def test_vectors_have_length_one() -> None:
    net = SyncNet(CONFIG)
    mouths = net.mouths(torch.rand(2, 5, 3, 320, 320))
    for vectors in (net.embed_picture(mouths), net.embed_sound(torch.randn(2, 5, 8))):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_the_mouth_is_the_same_cut_from_the_square_and_from_its_lower_rows() -> None:
    net, inner = SyncNet(CONFIG), torch.rand(2, 5, 3, 320, 320)
    assert torch.equal(net.mouths(inner), net.mouths(inner[..., 128:, :], first_row=128))


def test_order_of_the_frames_matters() -> None:
    torch.manual_seed(0)
    net = SyncNet(CONFIG)
    mouths, sound = torch.rand(1, 5, 3, 96, 96), torch.randn(1, 5, 8)
    assert not torch.allclose(net.embed_picture(mouths), net.embed_picture(mouths.flip(1)), atol=1e-5)
    assert not torch.allclose(net.embed_sound(sound), net.embed_sound(sound.flip(1)), atol=1e-5)


def test_temperature_is_bounded() -> None:
    net = SyncNet(CONFIG)
    with torch.no_grad():
        net.log_scale.fill_(50.0)
    assert net.scale().item() == pytest.approx(100, rel=1e-3)
