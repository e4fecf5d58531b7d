"""Many trainings on Ray: `python deploy/ray_train.py ada bob` runs `bash training_328.sh NAME GPU` for each.

It needs the extra ray. One training takes a GPU (or, with --cpus, so many processors), and the next begins when one is
free, on this machine or on those of a Ray cluster that see the same folders. One that fails does not stop the others.
Every training goes on where it was stopped, and so does this: the same command again.
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import configargparse

REPOSITORY: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # started as a file, Python looks beside it only

logger = logging.getLogger("avatar328")

PROGRAM: Final = REPOSITORY / "training_328.sh"
_STOPPED: Final = 130
_LOOK_S: Final = 0.2
_SAVE_S: Final = 60.0  # for trainings that are stopped to save what they learnt


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended."""

    code: int  # of training_328.sh; 130 if it was stopped
    seconds: float
    machine: str
    said: str  # the last line


def parse_options(arguments: Sequence[str] | None = None) -> configargparse.Namespace:
    """Command line over environment (AVATAR328_RAY_...) over default."""
    parser = configargparse.ArgParser(
        prog="ray_train.py",
        description="Train many avatars on Ray. PRESET and the like are told as to training_328.sh.",
        auto_env_var_prefix="AVATAR328_RAY_",
        allow_abbrev=False,
    )
    parser.add("names", nargs="+", metavar="NAME", help="people; the recording of each is dataset/NAME/NAME.mp4")
    parser.add("--cpus", type=int, default=0, help="train without a GPU, on so many processors each")
    parser.add("--address", default="", help="a Ray cluster to join: auto, HOST:PORT (default: an own one)")
    parser.add("--logs", type=Path, default=REPOSITORY / "logs" / "training", help="default: logs/training, here")
    parser.add("--program", type=Path, default=PROGRAM, help=configargparse.SUPPRESS)  # tests have their own
    options = parser.parse_args(arguments)
    twice = sorted({name for name in options.names if options.names.count(name) > 1})
    if twice:
        parser.error(f"{', '.join(twice)}: named more than once; one training writes to one folder")
    if options.cpus < 0:
        parser.error(f"--cpus {options.cpus}: expected 0 (a GPU each) or more")
    return options


def train(name: str, device: str, log: Path, program: Path, threads: int) -> Outcome:
    """One training, in a process of Ray's; stopped, it passes that on and waits until what was learnt is saved.

    Args:
        name: the person.
        device: index of a GPU, or cpu.
        log: where all that it says goes, after what it said before.
        program: training_328.sh.
        threads: processors that it may use; 0 leaves that to it.
    """
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **({"AVATAR328_THREADS": str(threads)} if threads else {})}
    with log.open("ab") as told:
        process = subprocess.Popen(
            ["bash", str(program), name, device],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            env=environment,
        )
        try:
            while (found := process.poll()) is None:  # Ray stops a task by KeyboardInterrupt, which does not end `wait`
                time.sleep(_LOOK_S)
            code = found
        except KeyboardInterrupt:
            process.terminate()
            code = process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return Outcome(code, time.monotonic() - started, platform.node(), said)


def train_all(options: configargparse.Namespace) -> dict[str, Outcome]:
    """All trainings; how each ended, by name. Ctrl-C stops them.

    Args:
        options: see `parse_options`.
    """
    import ray

    needs = {"num_cpus": options.cpus} if options.cpus else {"num_gpus": 1, "num_cpus": 1}
    # Ray shows a task no GPU but its own, which therefore has the index 0.
    device, task = "cpu" if options.cpus else "0", ray.remote(train).options(**needs, max_retries=0)
    running = {
        task.remote(name, device, options.logs / f"{name}.log", options.program, options.cpus): name
        for name in options.names
    }
    outcomes: dict[str, Outcome] = {}
    try:
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            name = running.pop(done)
            outcomes[name] = _outcome(done)
            logger.info("%s: %s; %d to go", name, _verdict(outcomes[name]), len(running))
    except KeyboardInterrupt:
        logger.info("stopping; the same command goes on")
        for reference in running:
            ray.cancel(reference)
        ray.wait(list(running), num_returns=len(running), timeout=_SAVE_S)
        outcomes |= {name: _outcome(reference) for reference, name in running.items()}
    return {name: outcomes[name] for name in options.names}


def _outcome(reference: Any) -> Outcome:
    """What became of a training, also where its process or its machine died."""
    import ray

    try:
        return ray.get(reference, timeout=1)  # type: ignore[no-any-return, unused-ignore]
    except ray.exceptions.TaskCancelledError:
        return Outcome(_STOPPED, 0.0, "-", "")
    except ray.exceptions.GetTimeoutError:
        return Outcome(_STOPPED, 0.0, "-", f"it had not saved after {_SAVE_S:g} s")
    except ray.exceptions.RayError as error:
        return Outcome(1, 0.0, "-", str(error).splitlines()[0])


def _verdict(outcome: Outcome) -> str:
    if outcome.code == 0:
        return "done"
    return "stopped" if outcome.code == _STOPPED else f"failed ({outcome.code})"


def table(outcomes: dict[str, Outcome]) -> str:
    """What became of everybody, one line each."""
    rows = [
        (name, _verdict(outcome), f"{outcome.seconds / 60:.1f}", outcome.machine, outcome.said[:100])
        for name, outcome in outcomes.items()
    ]
    rows.insert(0, ("name", "result", "minutes", "machine", "said last"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit code: 0, 1 if one failed, 2, or 130 if they were stopped."""
    options = parse_options(arguments)
    from deploy.ray_cluster import missing, ray_started
    from services.runtimes.processor import this_processor

    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    cores = max(1, int(this_processor().cores))
    if not options.address and options.cpus > cores:
        sys.stderr.write(f"error: --cpus {options.cpus}: this machine has {cores} processors\n")
        return 2
    try:
        with ray_started(options.address, cores):
            outcomes = train_all(options)
    except ImportError as error:
        sys.stderr.write(missing(error))
        return 2
    sys.stdout.write(f"{table(outcomes)}\n(all they said: {options.logs})\n")
    codes = {outcome.code for outcome in outcomes.values()}
    return _STOPPED if _STOPPED in codes else int(codes != {0})


if __name__ == "__main__":
    sys.exit(main())
