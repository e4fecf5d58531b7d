"""The loop that every trained stage goes through: `train` takes a stage from its last checkpoint to its best one.

    step -> judge on held-out frames, if it is time -> save, if it is time -> stop, if somebody asked -> step -> ...

All randomness of a step comes from (seed, step, rank), and a checkpoint is always of a whole step, so a run that was
stopped or killed goes on exactly as if it had not been.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from models.checkpoint import load_checkpoint
from recipe.locks import only_writer
from recipe.progress import progress
from training.data import step_generator
from training.distributed import Workers
from training.interrupt import StopRequest, TrainingStopped
from training.run_directory import RunDirectory
from training.schedule import learning_rate_factor

log = logging.getLogger(__name__)

_LONGEST_GRADIENT: Final = 1.0

Check = Callable[[], None]  # raises TrainingStopped where a stop was asked for


@dataclass(frozen=True)
class Plan:
    """How long a stage trains, how its learning rate moves, and how often it is judged and saved."""

    seed: int
    steps: int
    warmup: int
    evaluate_every: int
    checkpoint_every: int
    hold: int = 0  # the learning rate stays at its height until this step
    patience: int | None = None  # judgements in a row without a better score that end it early


@dataclass(frozen=True)
class Judgement:
    """What held-out frames say of a stage's present weights."""

    scores: dict[str, float]  # columns of metrics.csv
    score: float | None  # the higher the better; None: not comparable with others
    best: dict[str, Any]  # what best.pt gets, beside the description, if no earlier score was as high
    shown: dict[str, str] = field(default_factory=dict)  # beside the progress bar
    picture_rgb_HWC: NDArray[np.uint8] | None = None


class TrainedStage(Protocol):
    """What the stages differ in."""

    device: torch.device
    columns: ClassVar[list[str]]  # of metrics.csv: losses, learning_rate, step_ms and scores
    optimisers: list[torch.optim.Optimizer]  # every group has its highest learning rate under "base"

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        """Take one step; the losses before it. `check` may be called until the first weight is changed."""

    def judge(self, number: int, check: Check) -> Judgement:
        """Score the weights after `number` steps; called in the main process only, and changes nothing."""

    def describe(self) -> dict[str, Any]:
        """What both checkpoints say of the networks, so that they can be rebuilt."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""


@dataclass
class _Position:
    """Where a run stands."""

    step: int = 0
    judged: int = 0  # the step whose weights were judged last
    best: float = float("-inf")
    stale: int = 0
    ended_early: bool = False
    losses: dict[str, float] = field(default_factory=dict)  # of the last step


def train(
    stage: TrainedStage,
    plan: Plan,
    folder: Path,
    identity: dict[str, Any],
    workers: Workers,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train a stage, or go on training it.

    Args:
        stage: new; it is given the state in `folder` if that is of the same run.
        plan: lengths and the seed.
        folder: checkpoint/NAME/STAGE.
        identity: of the run, see training.identity.
        workers: place among data-parallel processes.
        show_progress: in the main process.
    Returns:
        The content of best.pt.
    Raises:
        InUseError: another process trains in this folder.
        TrainingStopped: SIGINT or SIGTERM came; all is saved.
    """
    with ExitStack() as held:
        if workers.is_main:
            held.enter_context(only_writer(folder))
        stop = held.enter_context(StopRequest(alone=workers.count == 1))
        directory = held.enter_context(closing(RunDirectory(folder, stage.columns)))
        run = _Run(stage, plan, directory, identity, workers)
        run.resume()
        run.show(held, show_progress)
        try:
            run.go(stop)
        except TrainingStopped:
            run.save()
            raise TrainingStopped(
                f"stopped at step {run.at.step} of {plan.steps}, saved in {folder}: run the same command again to go on"
            ) from None
    workers.wait()
    return load_checkpoint(directory.best)


class _Run:
    """One run of a stage."""

    def __init__(
        self, stage: TrainedStage, plan: Plan, directory: RunDirectory, identity: dict[str, Any], workers: Workers
    ) -> None:
        self.stage, self.plan, self.directory, self.identity, self.workers = stage, plan, directory, identity, workers
        self.at = _Position()
        self.bar: tqdm[Any] = progress(disable=True)
        self._since, self._steps_since = time.perf_counter(), 0

    def resume(self) -> None:
        """Take up the state in the folder, if it is of this run."""
        found = self.directory.resume(self.identity) if self.workers.is_main else None
        self.workers.wait()  # another run's files are out of the way
        if not self.workers.is_main:
            found = self.directory.peek(self.identity)
        if found is not None:
            self.stage.load_state_dict(found)
            self.at = _Position(**found["position"])
            log.info("%s goes on at step %d of %d", self.directory.folder.name, self.at.step, self.plan.steps)
        if self.workers.is_main:
            self.directory.save_options(self.identity)

    def show(self, held: ExitStack, show_progress: bool) -> None:
        """Open the progress bar; a finished run shows none."""
        name, hidden = self.directory.folder.name, self._finished() or not (show_progress and self.workers.is_main)
        self.bar = progress(total=self.plan.steps, initial=self.at.step, desc=name, unit="step", disable=hidden)
        held.enter_context(closing(self.bar))
        self._since = time.perf_counter()

    def go(self, stop: StopRequest) -> None:
        """Train to the end.

        Raises:
            TrainingStopped: a stop was asked for; the stage is between two steps.
        """
        while not self._finished():
            if self._judgement_is_due():  # also the one before which an earlier process was stopped
                self._judge(stop.check)
            else:
                self._step(stop.check)
            if not self._judgement_is_due() and (self.at.step % self.plan.checkpoint_every == 0 or self._finished()):
                self.save()
            if self.workers.any(stop.requested, self.stage.device):
                raise TrainingStopped

    def save(self) -> None:
        """Write last.pt."""
        if self.workers.is_main:
            content = self._described() | self.stage.state_dict()
            self.directory.save_last(content | {"position": asdict(self.at)})

    def _described(self) -> dict[str, Any]:
        return {"identity": self.identity, "step": self.at.step} | self.stage.describe()

    def _finished(self) -> bool:
        return (self.at.step >= self.plan.steps or self.at.ended_early) and not self._judgement_is_due()

    def _judgement_is_due(self) -> bool:
        at_end = self.at.step >= self.plan.steps
        return self.at.judged < self.at.step and (at_end or self.at.step % self.plan.evaluate_every == 0)

    def _step(self, check: Check) -> None:
        plan, at = self.plan, self.at
        generator = step_generator(plan.seed, at.step, self.workers.rank)
        torch.manual_seed(generator.initial_seed())  # dropout
        factor = learning_rate_factor(at.step, plan.steps, plan.warmup, plan.hold)
        for optimiser in self.stage.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * factor
        at.losses = self.stage.step(at.step, generator, check)
        at.step += 1
        self._steps_since += 1
        self.bar.update()

    def _judge(self, check: Check) -> None:
        at = self.at
        if self.workers.is_main:
            judgement = self.stage.judge(at.step, check)
            self._note(judgement)
            if judgement.score is not None:
                at.stale = 0 if judgement.score > at.best else at.stale + 1
            if judgement.score is not None and judgement.score > at.best:
                at.best = judgement.score
                self.directory.save_best(self._described() | judgement.best)
        at.judged = at.step
        out_of_patience = self.plan.patience is not None and at.stale >= self.plan.patience
        at.ended_early = self.workers.any(out_of_patience, self.stage.device)
        self._since, self._steps_since = time.perf_counter(), 0

    def _note(self, judgement: Judgement) -> None:
        row = {**self.at.losses, **judgement.scores, "learning_rate": self.stage.optimisers[0].param_groups[0]["lr"]}
        if self._steps_since:
            row["step_ms"] = (time.perf_counter() - self._since) * 1e3 / self._steps_since
        self.directory.add_metrics(self.at.step, row)
        if judgement.picture_rgb_HWC is not None:
            self.directory.save_picture(f"preview_{self.at.step:06d}.jpg", judgement.picture_rgb_HWC)
        self.bar.set_postfix({"loss": f"{self.at.losses['loss']:.4f}", **judgement.shown})


def descend(optimiser: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], workers: Workers) -> None:
    """Change the weights by their gradients, which are averaged over the processes, bounded, and then forgotten."""
    changed = list(parameters)
    workers.average_gradients(changed)
    nn.utils.clip_grad_norm_(changed, _LONGEST_GRADIENT)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
