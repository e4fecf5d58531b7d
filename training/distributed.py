"""Data-parallel training under torchrun, in two operations: average the gradients, agree on the main process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Workers:
    """This process's place among the data-parallel processes; rank 0 of 1 outside torchrun."""

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        flat /= self.count
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, flag: bool, device: torch.device) -> bool:
        """True in every process when it is true in one: out of memory must be everybody's decision."""
        if self.count == 1:
            return flag
        votes = torch.tensor([float(flag)], device=device)
        distributed.all_reduce(votes)
        return bool(votes.item() > 0)

    def wait(self) -> None:
        if self.count > 1:
            distributed.barrier()


def join_workers(device: torch.device) -> tuple[Workers, torch.device]:
    """Join the process group when torchrun started this process.

    Returns:
        The place, and the device that belongs to it (cuda:LOCAL_RANK on a GPU machine).
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Workers(), device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Workers(distributed.get_rank(), count), device


def leave_workers(workers: Workers) -> None:
    if workers.count > 1:
        distributed.destroy_process_group()
