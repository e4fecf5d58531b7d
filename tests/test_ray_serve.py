"""The server on Ray Serve, for real: two replicas of the toy avatar on this machine, one of which is killed.

Ray is an extra of its own (`uv sync --extra ray`), and the suite is usually run without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest

from clients.python.avatar328_client import Frame, LiveClient
from tests.conftest import REPOSITORY
from tests.service_material import wait_for
from tests.toy_avatar import NAME, toy_avatars  # noqa: F401

# ruff: noqa: F811

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),  # in ray.serve itself
]

WORDS = "a secretword is said here by nobody at all today. " * 8
START_S, RECOVERY_S = 180, 120  # on two cores that others use, too


@dataclass
class Cluster:
    """A server that was started as its documentation says."""

    process: subprocess.Popen[str]
    address: str
    folder: Path  # of Ray's files

    def processes(self, title: str = "") -> list[int]:
        """What runs below it, and of that whatever is called so."""
        parents, titles = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    titles[int(entry.name)] = (entry / "cmdline").read_text(errors="replace")
        below, last = {self.process.pid}, 0
        while len(below) > last:
            last = len(below)
            below |= {pid for pid, parent in parents.items() if parent in below}
        return [pid for pid in sorted(below) if titles[pid].startswith(title)]


@pytest.fixture(scope="module")
def cluster(toy_avatars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    work, folder = tmp_path_factory.mktemp("work"), Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    chosen = {
        "MODELS__AVATARS_DIR": toy_avatars, "MODELS__DEFAULT_AVATAR": NAME, "MODELS__DEVICE": "cpu",
        "MODELS__RUNTIME": "onnxruntime", "MODELS__CACHE_DIR": work, "TTS__CACHE_DIR": work / "speech",
        "SERVER__CACHE_DIR": work / "animations", "LIMITS__SESSIONS": 4, "LIMITS__STOP_S": 2,
    }  # fmt: skip
    environment = {**os.environ, **{f"AVATAR328_{name}": str(value) for name, value in chosen.items()}}
    command = [sys.executable, "deploy/ray_serve.py", "--port", "0", "--replicas", "2", "--cpus", "0.5"]
    log = folder / "told.txt"
    with (
        log.open("w") as told,
        subprocess.Popen(
            command, cwd=REPOSITORY, env={**environment, "RAY_TMPDIR": str(folder)}, stdout=told, stderr=told, text=True
        ) as process,
    ):
        try:
            wait_for(lambda: process.poll() is not None or "listening on" in log.read_text(), START_S)
            found = re.search(r"listening on (\S+): 2 to 2 replicas", log.read_text())
            assert found is not None, log.read_text()
            yield Cluster(process, found[1], folder)
        finally:
            process.terminate()
            process.wait(60)
    shutil.rmtree(folder)


@dataclass
class Stream:
    """An answer that is being read."""

    route: str
    lines: AsyncIterator[str]
    told: list[str]  # types of the messages so far

    async def read(self, frames: int | None = None) -> None:
        """Read so many more, or to the end."""
        count = 0
        async for line in self.lines:
            self.told.append(json.loads(line)["type"])
            count += 1
            if count == frames:
                return


@contextlib.asynccontextmanager
async def streaming(client: httpx.AsyncClient) -> AsyncIterator[Stream]:
    async with client.stream("GET", "/generate", params={"text": WORDS}) as answer:
        assert answer.status_code == 200
        yield Stream(answer.headers["avatar328-route"], answer.aiter_lines(), [])


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, RECOVERY_S))


def test_the_whole_server_is_there(cluster: Cluster) -> None:
    with httpx.Client(base_url=cluster.address) as client:
        for path in ("/", "/static/app.js", "/readyz", "/voices", "/avatar"):
            assert client.get(path).status_code == 200, path
        refused = client.get("/generate", params={"text": "hello", "avatar": "nobody"})
        assert (refused.status_code, refused.json()["type"]) == (404, "/problems/avatar-not-found")
        health = client.get("/health").json()
        assert health["avatars"][0]["name"] == NAME and not health["creation"]["enabled"]


def test_two_replicas_stream_and_each_is_found_again(cluster: Cluster) -> None:
    async def both() -> None:
        async with httpx.AsyncClient(base_url=cluster.address, timeout=60) as client:
            async with streaming(client) as first, streaming(client) as second:
                await asyncio.gather(first.read(), second.read())
            assert first.route != second.route  # the one with less to do
            assert first.told[-1] == second.told[-1] == "end"
            for _ in range(5):
                named = await client.get("/livez", params={"route": first.route})
                also = await client.get("/livez", headers={"avatar328-route": second.route})
                assert (named.headers["avatar328-route"], also.headers["avatar328-route"]) == (
                    first.route,
                    second.route,
                )

    run(both())


def test_who_comes_back_to_a_live_session_finds_its_replica(cluster: Cluster) -> None:
    async def talk() -> None:
        async with await LiveClient.connect(cluster.address) as avatar:
            session, route = avatar.welcome["session"], avatar.welcome["route"]
            await avatar.speak(WORDS)
            shown = []
            async for event in avatar:
                if isinstance(event, Frame):
                    shown.append(event.sequence)
                    await avatar.shown(event)
                    if len(shown) % 20 == 0 and len(shown) <= 120:  # by chance, six times: one in 64
                        await avatar.reconnect()
                        assert avatar.welcome["resumed"]
                        assert (avatar.welcome["session"], avatar.welcome["route"]) == (session, route)
                elif event["type"] == "finished":
                    break
            assert shown == list(range(len(shown))) and len(shown) > 120

    run(talk())


def test_who_leaves_gives_the_place_back(cluster: Cluster) -> None:
    async def leave() -> None:
        async with httpx.AsyncClient(base_url=cluster.address, timeout=60) as client:
            async with streaming(client) as left:
                await left.read(3)
                busy = await client.get("/health", params={"route": left.route})
                assert busy.json()["sessions"]["active"] == 1
            for _ in range(100):
                free = await client.get("/health", params={"route": left.route})
                if free.json()["sessions"]["active"] == 0:
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("the place is still taken")

    run(leave())


def test_nobody_else_can_reach_ray_and_it_tells_nobody(cluster: Cluster) -> None:
    mine = set()
    for pid in cluster.processes():
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                mine |= set(re.findall(r"socket:\[(\d+)\]", str(file.readlink())))
    heard = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        heard += [row[1] for row in rows if row[3] == "0A" and row[9] in mine]
    assert len(heard) > 5
    loopback = re.compile(r"0100007F:|0{16}FFFF00000100007F:|0{24}01000000:")
    assert [address for address in heard if not loopback.match(address)] == []
    assert [address for address in heard if int(address.rpartition(":")[2], 16) == 8265] == []  # no dashboard
    (scheduler,) = (pid for pid in cluster.processes() if b"/raylet" in Path(f"/proc/{pid}/cmdline").read_bytes()[:300])
    told = Path(f"/proc/{scheduler}/environ").read_bytes().split(b"\0")
    assert b"RAY_USAGE_STATS_ENABLED=0" in told


def test_a_killed_replica_is_noticed_and_comes_back(cluster: Cluster) -> None:
    async def kill() -> None:
        async with httpx.AsyncClient(base_url=cluster.address, timeout=60) as client:
            async with streaming(client) as first, streaming(client) as second:
                await asyncio.gather(first.read(10), second.read(10))
                assert first.route != second.route
                live = await LiveClient.connect(cluster.address)
                os.kill(cluster.processes("ray::ServeReplica")[0], signal.SIGKILL)
                ends = await asyncio.gather(first.read(), second.read(), return_exceptions=True)
            (cut,) = [stream for stream, end in zip((first, second), ends, strict=True) if end is not None]
            (whole,) = [stream for stream in (first, second) if stream is not cut]
            assert next(end for end in ends if end is not None).args[0].endswith("(incomplete chunked read)")
            assert "end" not in cut.told and whole.told[-1] == "end"
            async with streaming(client) as new:
                assert new.route == whole.route
                await new.read()
            assert new.told[-1] == "end"
            await live.close()
            since, routes = time.monotonic(), {whole.route}
            while len(routes) < 2:
                assert time.monotonic() < since + RECOVERY_S
                answer = await client.get("/livez")
                routes.add(answer.headers["avatar328-route"])
                await asyncio.sleep(0.2)
            assert cut.route not in routes

    run(kill())


def test_what_is_said_is_in_no_log_and_nothing_stays_behind(cluster: Cluster) -> None:
    logs = [
        path for path in cluster.folder.rglob("*") if path.is_file() and path.suffix in {".log", ".out", ".err", ".txt"}
    ]
    assert len(logs) > 10
    assert [path for path in logs if "secretword" in path.read_text(errors="replace")] == []
    started = cluster.processes()
    cluster.process.terminate()
    assert cluster.process.wait(60) == 0
    wait_for(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], 30)


# --- decisions, without Ray -----------------------------------------------------------------------
def replica(name: str, **stats: Any) -> Any:
    return SimpleNamespace(replica_id=SimpleNamespace(unique_id=name), routing_stats=stats)


def test_places_and_avatars_decide_where_a_request_goes() -> None:
    from deploy.ray_routing import Wish, ranked

    full, other = replica("full", free=0, avatars=["ada"]), replica("other", free=2, avatars=["demo"])
    fits, new = replica("fits", free=1, avatars=["demo", "ada"]), replica("new")
    everybody = [full, other, fits, new]
    best = ranked(everybody, Wish(avatar="ada"))
    assert best[0] == [fits] and full not in best[1] and len(best[1]) == len(best[2]) == 2
    assert ranked(everybody, Wish(route="full")) == [[full]]
    assert ranked([full], Wish(route="gone")) == [[full]]  # which says that the session is not there
    assert {found.replica_id.unique_id for _ in range(50) for found in ranked(everybody, Wish())[0]} == {
        "other",
        "fits",
        "new",
    }


def test_replicas_are_as_many_as_the_requests_need() -> None:
    from deploy.ray_routing import FULL, replicas_wanted

    def wanted(requests: float, *places: float) -> float:
        told = {"places": dict(enumerate(places))} if places else {}
        context = SimpleNamespace(aggregated_metrics=told, total_num_requests=requests, target_num_replicas=3)
        return replicas_wanted(context)[0]  # type: ignore[arg-type]

    assert wanted(8, 5, 5) == pytest.approx(8 / (FULL * 5))
    assert wanted(0, 5, 5) == 0  # Ray keeps to the least number
    assert wanted(7) == 3  # nothing is known yet


def test_a_replica_counts_on_its_own_processors(tmp_path: Path) -> None:
    from config import load_settings
    from deploy.ray_replica import Shape, settings_of_replica

    settings = load_settings(access={"provenance_file": tmp_path / "log.jsonl"})
    mine = settings_of_replica(settings, Shape(2, 4, 1.5, 0), "r1")
    assert (mine.limits.cores, mine.models.threads, mine.create.enabled) == (1.5, 1, False)
    assert mine.access.provenance_file == tmp_path / "log-r1.jsonl"
    chosen = load_settings(limits={"cores": 1.0}, models={"threads": 3})
    kept = settings_of_replica(chosen, Shape(2, 4, 1.5, 0), "r1")
    assert (kept.limits.cores, kept.models.threads) == (1.0, 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--replicas", "3", "--most_replicas", "2"], "expected 1 or more, rising"),
        (["--cpus", "0"], "more than 0 processors"),
        (["--replicas", "1000"], "do not fit this machine"),
    ],
)
def test_what_cannot_be_is_said_before_ray_starts(options: list[str], says: str) -> None:
    command = [sys.executable, "deploy/ray_serve.py", "--port", "0", *options]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2 and says in ran.stderr, ran.stderr
