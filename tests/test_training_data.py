"""Which frames training may use, and that it sees what serving will see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recipe.material import TooLittleMaterialError, check_material
from recipe.recipe_328 import INNER_OFFSET_PX, INNER_PX, PATCH_TOP_PX, WINDOW_REACH_FRAMES
from tests.training_material import drawn_dataset
from training.batches import BatchSource
from training.data import FaceData, balanced_weights, draw, spans, step_generator
from training.presets import PRESETS, UNetPreset
from training.references import build_pools
from training.sound import MelSound
from training.template import choose_template

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> FaceData:
    return FaceData.load(drawn_dataset(), CPU)


def test_the_training_crop_is_the_serving_crop(data: FaceData) -> None:
    frames = torch.tensor([3, 77])
    inner = slice(INNER_OFFSET_PX, INNER_OFFSET_PX + INNER_PX)
    served = data.dataset.crops[frames.numpy()][:, inner, inner]
    seen = (data.inner(frames) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(seen, served)


def test_a_shift_moves_target_and_mouth_box_alike(data: FaceData) -> None:
    frame, shift = torch.tensor([50]), torch.tensor([[3, -2]])
    plain, moved = data.inner(frame)[0], data.inner(frame, shift)[0]
    assert torch.equal(moved[:, 10:300, 10:300], plain[:, 8:298, 13:303])
    torch.testing.assert_close(
        data.patch_boxes(frame, shift), data.patch_boxes(frame) - torch.tensor([[3.0, -2, 3, -2]])
    )


def test_mouth_boxes_lie_around_the_drawn_lips(data: FaceData) -> None:
    x0, y0, x1, y1 = data.patch_boxes(torch.tensor([0]))[0].tolist()
    assert x0 < 164 - 54 - INNER_OFFSET_PX and x1 > 164 + 54 - INNER_OFFSET_PX
    assert y0 < 186 - INNER_OFFSET_PX - PATCH_TOP_PX < y1


def test_no_window_crosses_a_cut_a_split_or_a_bad_frame() -> None:
    dataset = drawn_dataset(clips=[(0, 100), (100, 300)])
    dataset.valid_T[150] = False
    data = FaceData.load(dataset, CPU)
    frames = spans(data.windows("train", 5), 5)
    assert not bool(((frames >= 100 - WINDOW_REACH_FRAMES) & (frames < 100 + WINDOW_REACH_FRAMES)).any())
    assert not bool((frames == 150).any())
    held_out = {f for name in ("val", "test") for a, b in dataset.splits[name] for f in range(a, b)}
    assert not held_out & set(frames.flatten().tolist())
    assert len(frames) > 100


def test_no_frames_left_is_an_error_that_says_what_to_do() -> None:
    dataset = drawn_dataset()
    dataset.valid_T[:] = False
    with pytest.raises(ValueError, match="no usable frame"):
        FaceData.load(dataset, CPU)
    dataset.valid_T[:180:2] = True
    with pytest.raises(TooLittleMaterialError, match="record"):
        FaceData.load(dataset, CPU).windows("train", 2)


def test_closed_mouths_get_their_share_and_wide_ones_more_than_they_have() -> None:
    opening = torch.cat([torch.zeros(700), torch.linspace(0.15, 1, 300)])
    weights = balanced_weights(opening)
    assert float(weights[:700].sum()) == pytest.approx(0.22, abs=0.02)
    assert float(weights[-30:].mean()) > float(weights[:700].mean()) * 3
    rare = balanced_weights(torch.cat([torch.rand(999) * 0.1, torch.ones(1)]))
    assert float(rare[-1]) < 0.02  # one frame is not learned by heart


def test_a_step_draws_the_same_again_and_another_step_does_not() -> None:
    weights, starts = torch.ones(100) / 100, torch.arange(100)
    first, again, other = (draw(weights, starts, 50, step_generator(1, s, 0)) for s in (7, 7, 8))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, draw(weights, starts, 50, step_generator(1, 7, 1)))


def test_references_are_closed_then_open_and_from_training_only() -> None:
    dataset = drawn_dataset()
    pools = build_pools(dataset.opening_T, dataset.pose_T3, dataset.blur_T, dataset.valid_T, dataset.splits["train"])
    closed, first, second = pools.nearest(torch.zeros(3)).tolist()
    wide = np.quantile(dataset.opening_T[:180], 0.8)
    assert dataset.opening_T[closed] < 0.02 and min(dataset.opening_T[[first, second]]) > wide
    train = {f for a, b in dataset.splits["train"] for f in range(a, b)}
    assert set(pools.closed_K.tolist()) | set(pools.open_K.tolist()) <= train


def test_training_draws_references_near_in_pose_but_never_the_clip_itself() -> None:
    dataset = drawn_dataset()
    pools = build_pools(dataset.opening_T, dataset.pose_T3, dataset.blur_T, dataset.valid_T, dataset.splits["train"])
    starts = torch.arange(0, 170, 3)
    pose = torch.from_numpy(dataset.pose_T3)[starts]
    chosen = pools.draw(starts, 3, pose, torch.Generator().manual_seed(0))
    assert bool(((chosen - starts[:, None]).abs() >= 12).all())
    near = (torch.from_numpy(dataset.pose_T3)[chosen[:, 0]] - pose).norm(dim=1).mean()
    assert float(near) < float(torch.cdist(pose, pools.closed_pose_K3).mean())


@pytest.fixture(scope="module")
def source(data: FaceData) -> BatchSource:
    return BatchSource(data, MelSound(data.dataset, CPU), preset(), 3)


def preset(**changes: float) -> UNetPreset:
    return dataclasses.replace(PRESETS["tiny"].unet, clips=4, **changes)  # type: ignore[arg-type]


def test_a_clip_keeps_its_references_shift_and_light(source: BatchSource) -> None:
    (batch,) = source.draw("B", 1, 5, 0, 1)
    references = batch.references.unflatten(0, (4, 3))
    assert torch.equal(references[:, 0], references[:, 2])
    assert not torch.equal(references[0, 0], references[1, 0])
    assert batch.target.shape == (12, 3, INNER_PX, INNER_PX)


def test_parts_of_a_batch_are_the_batch(source: BatchSource) -> None:
    """Out of memory halves the batch: the clips stay the same."""
    (whole,) = source.draw("B", 1, 9, 0, 1)
    parts = list(source.draw("B", 1, 9, 0, 2))
    assert len(parts) == 2
    torch.testing.assert_close(torch.cat([p.clean_features for p in parts]), whole.clean_features)


def test_stage_a_is_single_frames_at_half_size(source: BatchSource) -> None:
    (batch,) = source.draw("A", 1, 0, 0, 1)
    assert batch.target.shape == (12, 3, INNER_PX // 2, INNER_PX // 2)


def test_synthetic_silence_comes_with_closed_mouths_only(data: FaceData) -> None:
    source = BatchSource(data, MelSound(data.dataset, CPU), preset(silence_share=1.0), 3)
    (batch,) = source.draw("B", 1, 0, 0, 1)
    assert bool(batch.silenced.all())
    _, _, closed = source._windows(3)
    assert float(data.opening_T[spans(closed, 3)].max()) < 0.03 < float(data.opening_T.max()) / 4
    assert set(batch.gate.tolist()) <= {0.0, 1.0}


def test_somebody_who_never_rests_is_answered_with_the_most_closed_frames_there_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A news anchor of 71 s trained for 52 minutes and was then refused for want of a closed mouth."""
    dataset = drawn_dataset()
    restless = 0.1 + 0.05 * np.sin(np.arange(len(dataset)) * 1.9)  # never twice closed in a row
    dataset = dataclasses.replace(dataset, opening_T=restless.astype(np.float32))
    data = FaceData.load(dataset, CPU)
    check_material(dataset.name, dataset.valid_T, dataset.clips, dataset.splits)
    source = BatchSource(data, MelSound(dataset, CPU), preset(silence_share=1.0), 3)
    (batch,) = source.draw("B", 1, 0, 0, 1)
    _, _, closed = source._windows(3)
    starts = data.windows("train", 3)
    widest = data.opening_T[spans(starts, 3)].amax(dim=1)
    assert bool(batch.silenced.all()) and len(closed) == 8
    assert float(data.opening_T[spans(closed, 3)].max()) <= float(widest.sort().values[7])
    assert "most closed" in caplog.text


@pytest.mark.parametrize("spoiled", ["train", "val", "template"])
def test_preparation_asks_for_what_training_needs_in_the_same_words(spoiled: str) -> None:
    dataset = drawn_dataset()
    check_material(dataset.name, dataset.valid_T, dataset.clips, dataset.splits)
    if spoiled == "template":
        dataset.valid_T[::20] = False
    else:
        for start, stop in dataset.splits[spoiled]:
            dataset.valid_T[start:stop:4] = False
    with pytest.raises(TooLittleMaterialError) as before:
        check_material(dataset.name, dataset.valid_T, dataset.clips, dataset.splits)
    with pytest.raises(TooLittleMaterialError) as later:
        if spoiled == "template":
            choose_template(dataset)
        else:
            FaceData.load(dataset, CPU).windows(spoiled, 5)
    assert str(before.value) == str(later.value) and "record" in str(later.value)
