"""Two data-parallel processes take the step that one process with both batches would take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, torch
from training.distributed import join_workers, leave_workers
workers, device = join_workers(torch.device("cpu"))
torch.manual_seed(0)
net = torch.nn.Linear(3, 2)
data = torch.arange(12.0).view(4, 3)
part = data if workers.count == 1 else data[2 * workers.rank : 2 * workers.rank + 2]
net(part).square().mean().backward()
workers.average_gradients(net.parameters())
assert workers.any(workers.rank == workers.count - 1, device) and not workers.any(False, device)
if workers.is_main:
    torch.save([p.grad for p in net.parameters()], sys.argv[1])
leave_workers(workers)
"""


def test_averaged_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    import torch

    script = tmp_path / "step.py"
    script.write_text(SCRIPT)
    repository = Path(__file__).resolve().parent.parent
    launchers = {
        "one.pt": [sys.executable],
        "two.pt": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"],
    }
    for name, launcher in launchers.items():
        done = subprocess.run(
            [*launcher, str(script), str(tmp_path / name)],
            cwd=repository,
            env={"PYTHONPATH": str(repository), "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    for one, two in zip(torch.load(tmp_path / "one.pt"), torch.load(tmp_path / "two.pt"), strict=True):
        torch.testing.assert_close(one, two)
