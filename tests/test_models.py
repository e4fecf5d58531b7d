"""The generator's promises: its size, what it sees, where it may draw."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.blocks import SubPixelHead, Upsample2x
from models.discriminator import PatchDiscriminator, feature_matching_loss, hinge_discriminator_loss, r1_penalty
from models.unet_328 import Features, UNet328, UNetConfig, compose
from recipe.mask_328 import alpha_bounds, unseen_mask
from recipe.recipe_328 import INNER_PX, PATCH_HEIGHT_PX, PATCH_TOP_PX, REFERENCE_COUNT

SMALL = (8, 8, 16, 16, 32)


def make_unet(widths: tuple[int, int, int, int, int] = SMALL) -> UNet328:
    torch.manual_seed(0)
    masks = (torch.from_numpy(mask) for mask in (unseen_mask(), *alpha_bounds()))
    return UNet328(UNetConfig(INNER_PX, PATCH_TOP_PX, REFERENCE_COUNT, 16, widths), *masks)


def pictures(count: int = 2, size: int = INNER_PX) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, 3 * (1 + REFERENCE_COUNT), size, size)
    both = torch.rand(shape, generator=generator)
    return both[:, :3], both[:, 3:], torch.randn(count, 16, generator=generator)


def test_the_default_net_is_small_enough() -> None:
    config = UNetConfig(INNER_PX, PATCH_TOP_PX, REFERENCE_COUNT, 256)
    masks = (torch.from_numpy(mask) for mask in (unseen_mask(), *alpha_bounds()))
    net = UNet328(config, *masks)
    target, references = torch.zeros(1, 3, INNER_PX, INNER_PX), torch.zeros(1, 9, INNER_PX, INNER_PX)
    with torch.no_grad():
        features = net.encoder(target, references)
        with FlopCounterMode(display=False) as counter:
            net.decoder(features, torch.zeros(1, 256))
    assert sum(p.numel() for p in net.parameters()) <= 20e6
    assert 1e9 < counter.get_total_flops() / 2 <= 4e9  # multiply-adds of one frame


def test_nothing_unseen_reaches_the_output() -> None:
    """The leak that ruins lip-sync nets: filmed mouth, nose and cheeks must not change a single bit of the drawing."""
    net, (target, references, embedding) = make_unet(), pictures()
    hidden = torch.from_numpy(unseen_mask())
    other = torch.where(hidden > 0, torch.rand_like(target), target)
    assert torch.equal(net(target, references, embedding), net(other, references, embedding))


def test_everything_around_the_mask_does() -> None:
    net, (target, references, embedding) = make_unet(), pictures()
    visible = torch.from_numpy(1 - unseen_mask())
    assert not torch.equal(net(target, references, embedding), net(target * (1 - 0.5 * visible), references, embedding))
    assert not torch.equal(net(target, references, embedding), net(target, 1 - references, embedding))


def test_sound_moves_the_picture_from_the_first_step_on() -> None:
    net, (target, references, embedding) = make_unet(), pictures()
    assert not torch.equal(net(target, references, embedding), net(target, references, -embedding))


def test_half_size_has_the_same_layout() -> None:
    net, (target, references, embedding) = make_unet(), pictures(size=INNER_PX // 2)
    assert net(target, references, embedding).shape == (2, 4, PATCH_HEIGHT_PX // 2, INNER_PX // 2)


def test_alpha_keeps_its_bounds_and_the_core_is_all_drawn() -> None:
    net, (target, references, embedding) = make_unet(), pictures()
    alpha = net(target, references, embedding)[:, 3].detach()
    low, high = (torch.from_numpy(a)[PATCH_TOP_PX:] for a in alpha_bounds())
    assert bool((alpha >= low - 1e-6).all()) and bool((alpha <= high + 1e-6).all())
    assert float(alpha[:, 60, 160].min()) == 1.0
    assert float(alpha[:, -1].max()) == 0.0 and float(alpha[:, :, 0].max()) == 0.0


def test_compose_is_exact_at_both_ends() -> None:
    filmed, drawn = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    one, zero = torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    assert torch.equal(compose(filmed, torch.cat([drawn, zero], 1)), filmed)
    torch.testing.assert_close(compose(filmed, torch.cat([drawn, one], 1)), drawn)


def test_a_constant_input_gives_no_checkerboard_at_the_start() -> None:
    for layer in (Upsample2x(6, 5), SubPixelHead(6, 4)):
        inner = layer(torch.ones(1, 6, 12, 12)).detach()[:, :, 4:-4, 4:-4]
        torch.testing.assert_close(inner, inner.amax((2, 3), keepdim=True).expand_as(inner))


def test_features_are_named_by_their_rows() -> None:
    net, (target, references, _) = make_unet(), pictures()
    rows = {name: f.shape[2] for name, f in zip(Features._fields, net.encoder(target, references), strict=True)}
    assert rows == {"f160": 96, "f80": 48, "f40": 24, "f20": 12, "f10": 6}


def test_config_survives_its_dictionary() -> None:
    config = make_unet().config
    assert UNetConfig.from_dict(config.to_dict()) == config


def test_discriminator_learns_to_tell_flat_from_noisy() -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(9, 8)
    optimiser = torch.optim.Adam(critic.parameters(), lr=2e-3)
    real, drawn = torch.rand(2, 9, 64, 64), torch.full((2, 9, 64, 64), 0.5)
    for _ in range(40):
        loss = hinge_discriminator_loss(critic(real)[0], critic(drawn)[0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert float(critic(real)[0].mean()) > float(critic(drawn)[0].mean()) + 0.5


def test_feature_matching_and_r1() -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(9, 8)
    frames = torch.rand(1, 9, 64, 64)
    features = critic(frames)[1]
    assert feature_matching_loss(features, features).item() == 0.0
    assert feature_matching_loss(features, critic(1 - frames)[1]).item() > 0.01
    frames.requires_grad_(True)
    verdict = critic(frames)[0]
    assert r1_penalty(verdict, frames).item() > 0.0
    with pytest.raises(RuntimeError):
        r1_penalty(verdict.detach(), frames)
