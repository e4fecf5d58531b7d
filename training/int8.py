"""What an avatar needs to compute its decoder in int8: bounds of the convolutions' inputs, and how good it is then.

Axes: B batch, D embedding, C H W picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data_prep.dataset_328 import Dataset328
from recipe.avatar_format import EMBEDDING, FEATURES, UNET_DECODER_FILE
from recipe.mouth import pixel_boxes
from recipe.recipe_328 import PATCH_TOP_PX
from training.data import in_ranges, inner_mouth_boxes

CALIBRATION_FRAMES, HELD_OUT_FRAMES = 48, 32  # that bound the inputs, and that judge the pictures
_BATCH = 8
_BEST_PSNR_DB = 100.0

Arrays = dict[str, NDArray[Any]]
InputsOf = Callable[[NDArray[np.int64]], dict[str, Arrays]]  # frame numbers -> the encoders' inputs, by graph


def input_bounds(dataset: Dataset328, inputs_of: InputsOf, modules: Mapping[str, nn.Module]) -> dict[str, float]:
    """The largest input of each of the decoder's convolutions over frames of the training split.

    Args:
        dataset: the recording.
        inputs_of: see training.template.encoder_inputs.
        modules: what the graphs were exported from, by file name.
    Returns:
        By the name of the convolution's weight in the graph.
    """
    frames = _spread(dataset, ["train"], CALIBRATION_FRAMES)
    decoder = modules[UNET_DECODER_FILE]
    with watched_inputs(decoder.get_submodule("decoder"), "decoder") as bounds:
        in_batches(decoder, _encoded(frames, inputs_of, modules))
    # A convolution that never got anything but zeros needs a bound above zero all the same.
    return {name: bound or 1.0 for name, bound in bounds.items()}


def held_out_mouth_psnr_db(
    dataset: Dataset328,
    inputs_of: InputsOf,
    modules: Mapping[str, nn.Module],
    decode: Callable[[Arrays], NDArray[np.uint8]],
) -> float:
    """How close another decoder's mouths come to the exact ones, over frames that training never saw.

    Args:
        dataset, inputs_of, modules: as in `input_bounds`.
        decode: the other decoder: its inputs by name -> RGBA patches.
    """
    frames = _spread(dataset, ["val", "test"], HELD_OUT_FRAMES)
    given = _encoded(frames, inputs_of, modules)
    exact_BHWC = in_batches(modules[UNET_DECODER_FILE], given)[0]
    drawn_BHWC = decode(dict(zip([*FEATURES, EMBEDDING], given, strict=True)))
    boxes_T4 = inner_mouth_boxes(dataset.landmarks_TK2[frames], dataset.affine_T23[frames])
    return mouth_psnr_db(drawn_BHWC, exact_BHWC, boxes_T4)


def _encoded(frames: NDArray[np.int64], inputs_of: InputsOf, modules: Mapping[str, nn.Module]) -> list[NDArray[Any]]:
    given = inputs_of(frames).items()
    return [output for file, arrays in given for output in in_batches(modules[file], list(arrays.values()))]


def _spread(dataset: Dataset328, splits: Sequence[str], count: int) -> NDArray[np.int64]:
    ranges = [one for split in splits for one in dataset.splits[split]]
    return spread_by_opening(dataset.opening_T, dataset.valid_T & in_ranges(len(dataset), ranges), count)


def spread_by_opening(opening_T: NDArray[np.float32], usable_T: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Frames from the most closed to the widest open mouth, evenly by rank, in their order of time.

    Args:
        opening_T: how far the mouth is open.
        usable_T: the frames to choose from.
        count: how many; fewer where there are fewer.
    Raises:
        ValueError: no frame is usable.
    """
    frames = np.flatnonzero(usable_T)
    if len(frames) == 0:
        raise ValueError("no usable frame is left: the preparation report tells why; record again or record more")
    by_opening = frames[np.argsort(opening_T[frames], kind="stable")]
    ranks = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return np.sort(by_opening[ranks])


@contextmanager
def watched_inputs(decoder: nn.Module, prefix: str) -> Iterator[dict[str, float]]:
    """Note the largest input of every convolution while the decoder runs.

    Args:
        decoder: all of its convolutions take what comes out of a ReLU.
        prefix: of the names of its weights in the exported graph.
    Yields:
        The largest value by the weight's name in the graph; it grows with every run.
    """
    largest: dict[str, float] = {}

    def watch(name: str, conv: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            low, high = (float(bound) for bound in inputs[0].aminmax())
            assert low >= 0, (name, low)
            largest[name] = max(largest.get(name, 0.0), high)

        return conv.register_forward_pre_hook(note)

    convolutions = {
        n: m for n, m in decoder.named_modules(prefix=prefix) if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    }
    hooks = [watch(f"{name}.weight", conv) for name, conv in convolutions.items()]
    try:
        yield largest
    finally:
        for hook in hooks:
            hook.remove()


def mouth_psnr_db(drawn_BHWC: NDArray[np.uint8], exact_BHWC: NDArray[np.uint8], boxes_B4: NDArray[np.float32]) -> float:
    """How close drawn mouths come to the exact ones; at most 100.

    Args:
        drawn_BHWC: RGBA patches.
        exact_BHWC: the same from the exact network.
        boxes_B4: of the mouths, x0, y0, x1, y1 in inner coordinates (training.data.inner_mouth_boxes).
    Returns:
        Peak signal-to-noise ratio of the colours over all boxes together.
    Raises:
        ValueError: all boxes are empty.
    """
    boxes_B4 = np.where(boxes_B4[:, 2:3] > boxes_B4[:, :1], boxes_B4, np.nan)  # frames without a face
    height, width = exact_BHWC.shape[1:3]
    squares, pixels = 0.0, 0
    for drawn, exact, box in zip(
        drawn_BHWC, exact_BHWC, pixel_boxes(boxes_B4 - [0, PATCH_TOP_PX, 0, PATCH_TOP_PX], height, width), strict=True
    ):
        x0, y0, x1, y1 = box
        error = drawn[y0:y1, x0:x1, :3].astype(np.float64) - exact[y0:y1, x0:x1, :3]
        squares, pixels = squares + float(np.square(error).sum()), pixels + error.size
    return min(10 * float(np.log10(255**2 * pixels / max(squares, 1e-9))), _BEST_PSNR_DB)


def in_batches(module: nn.Module, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Run a graph's torch module on many rows, a few at a time; its outputs."""
    pieces = []
    with torch.no_grad():
        for first in range(0, len(inputs[0]), _BATCH):
            found = module(*(torch.from_numpy(array[first : first + _BATCH]) for array in inputs))
            pieces.append(found if isinstance(found, tuple) else (found,))
    return [torch.cat(outputs).numpy() for outputs in zip(*pieces, strict=True)]
