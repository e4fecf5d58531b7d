"""Which frames are shown to the network as references: the same rule in training and when an avatar is packaged.

One closed mouth near in pose and two open ones, from the training split only. Training draws among the nearest
few, so that the network learns to use whatever reference it is given; an avatar gets the nearest, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

POOL_SIZE = 64
_NEAREST = 8  # training draws among this many
_KEEP_AWAY_FRAMES = 12  # a reference must not be the target itself, nor its neighbour


@dataclass(frozen=True)
class ReferencePools:
    """Candidate frames and their head poses in degrees."""

    closed_K: Tensor
    closed_pose_K3: Tensor
    open_K: Tensor
    open_pose_K3: Tensor

    def nearest(self, pose_3: Tensor) -> Tensor:
        """The references of an avatar: (3,) frame numbers, closed first, for its template's median pose."""
        closed = self.closed_K[(self.closed_pose_K3 - pose_3).norm(dim=1).argmin()]
        by_pose = self.open_K[(self.open_pose_K3 - pose_3).norm(dim=1).argsort()]
        first = by_pose[0]
        apart = by_pose[(by_pose - first).abs() > _KEEP_AWAY_FRAMES]
        return torch.stack([closed, first, apart[0] if len(apart) else by_pose[-1]])

    def draw(self, starts_B: Tensor, length: int, pose_B3: Tensor, generator: torch.Generator) -> Tensor:
        """References of training clips, (B, 3), never a frame of the clip itself or close to it."""
        closed = self._draw_near(self.closed_K, self.closed_pose_K3, starts_B, length, pose_B3, 1, generator)
        opened = self._draw_near(self.open_K, self.open_pose_K3, starts_B, length, pose_B3, 2, generator)
        return torch.cat([closed, opened], dim=1)

    @staticmethod
    def _draw_near(
        frames_K: Tensor,
        pose_K3: Tensor,
        starts_B: Tensor,
        length: int,
        pose_B3: Tensor,
        count: int,
        generator: torch.Generator,
    ) -> Tensor:
        distance = torch.cdist(pose_B3, pose_K3)
        near = (frames_K[None] > starts_B[:, None] - _KEEP_AWAY_FRAMES) & (
            frames_K[None] < starts_B[:, None] + length + _KEEP_AWAY_FRAMES
        )
        order = (distance + near * 1e6).argsort(dim=1)[:, : max(_NEAREST, count)]
        picks = torch.rand(order.shape, generator=generator).argsort(dim=1)[:, :count]
        return frames_K[order.gather(1, picks)]


def build_pools(
    opening_T: NDArray[np.float32],
    pose_T3: NDArray[np.float32],
    blur_T: NDArray[np.float32],
    usable_T: NDArray[np.bool_],
    ranges: Sequence[tuple[int, int]],
) -> ReferencePools:
    """Choose candidates: sharp closed and sharp open mouths, spread over the training split.

    Args:
        opening_T: mouth opening.
        pose_T3: head pose in degrees.
        blur_T: variance of the Laplacian; larger is sharper.
        usable_T: frames that may be used at all.
        ranges: the training split, half-open.
    Raises:
        ValueError: the ranges hold no usable frame.
    """
    frames = np.concatenate([np.arange(start, stop) for start, stop in ranges] or [np.arange(0)])
    frames = frames[usable_T[frames]]
    if len(frames) == 0:
        raise ValueError("the training split has no usable frame: the preparation report tells why they were left out")
    opening = opening_T[frames]
    sharp = blur_T[frames] >= np.median(blur_T[frames])
    closed = frames[(opening <= np.quantile(opening, 0.15)) & sharp]
    wide_low, wide_high = np.quantile(opening, [0.85, 0.99])
    opened = frames[(opening >= wide_low) & (opening <= wide_high) & sharp]
    closed = closed if len(closed) else frames[[opening.argmin()]]
    opened = opened if len(opened) > 1 else frames[opening.argsort()[-2:]]
    closed, opened = _spread(closed), _spread(opened)
    pose = torch.from_numpy(pose_T3.astype(np.float32))
    return ReferencePools(
        torch.from_numpy(closed.astype(np.int64)), pose[closed], torch.from_numpy(opened.astype(np.int64)), pose[opened]
    )


def _spread(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    return frames[np.unique(np.linspace(0, len(frames) - 1, POOL_SIZE).round().astype(int))]
