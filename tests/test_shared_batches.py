"""Callers share runs, and yet each gets what it would get alone: its own rows, its own errors, no delay."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from services.avatars.loaded import LoadedAvatar
from services.errors import ModelRuntimeError
from services.frame_generation_service import FrameGenerationService
from services.model_service import ModelService
from services.runtimes.onnx import OnnxGraph, OnnxRuntime, cuda_device_count
from services.runtimes.runtime import Arrays, Graph, TensorSpec, Trial
from services.runtimes.shared_batches import SharedBatches
from services.types import VideoFrame
from tests.toy_avatar import NAME, toy_avatars, toy_model, toy_services, write_audio_encoder  # noqa: F401

# ruff: noqa: F811

BATCH = 4
WAIT_S = 30  # how long a hanging test takes to fail; no result depends on it
ROOM = 1 << 30


class FakeGraph:
    """y = 3 x + 1 row by row; can be held up, and fails on rows that ask for it."""

    provider, batch_frames = "fake", BATCH
    inputs = (TensorSpec("x", np.dtype(np.int64), (None, 2)),)
    outputs = (TensorSpec("y", np.dtype(np.int64), (None, 2)),)

    def __init__(self) -> None:
        self.runs: list[list[int]] = []  # first column of every run
        self.threads: list[int] = []
        self.raises: dict[int, list[BaseException]] = {}  # by a row's first number, once each
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()
        self.takes_s = 0.0

    def run(self, feeds: Arrays) -> dict[str, np.ndarray]:
        numbers = feeds["x"][:, 0].tolist()
        self.runs.append(numbers)
        self.threads.append(threading.get_ident())
        self.entered.release()
        assert self.free.wait(WAIT_S)
        time.sleep(self.takes_s)
        assert 1 <= len(numbers) <= BATCH
        for number in numbers:
            if self.raises.get(number):
                raise self.raises[number].pop(0)
        padded = np.concatenate([feeds["x"], np.full((BATCH - len(numbers), 2), -7)])
        return {"y": (3 * padded + 1)[: len(numbers)]}


def rows(*numbers: int) -> dict[str, np.ndarray]:
    return {"x": np.array([[number, number + 1000] for number in numbers], np.int64)}


def expected(*numbers: int) -> np.ndarray:
    return 3 * rows(*numbers)["x"] + 1


def until(holds: Callable[[], bool]) -> None:
    stop = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < stop, "what the test waits for did not happen"
        time.sleep(0.001)


class Line:
    """Calls that come one after the other while the graph is busy with a first one, of row 0."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.graph = FakeGraph()
        self.shared = SharedBatches(self.graph)
        self._pool = pool
        self.graph.free.clear()
        self.calls = [pool.submit(self.shared.run, rows(0))]
        assert self.graph.entered.acquire(timeout=WAIT_S)

    def join(self, *numbers: int) -> Future[dict[str, np.ndarray]]:
        waiting = len(self.shared._line)
        self.calls.append(self._pool.submit(self.shared.run, rows(*numbers)))
        until(lambda: len(self.shared._line) == waiting + 1)
        return self.calls[-1]

    def let_go(self) -> list[list[int]]:
        """The runs, when every call has ended."""
        self.graph.free.set()
        for call in self.calls:
            call.exception(WAIT_S)
        assert not self.shared._line and self.shared._leader is None
        np.testing.assert_array_equal(self.shared.run(rows(99))["y"], expected(99))  # works on
        assert self.graph.runs[-1] == [99]
        return self.graph.runs[:-1]


@pytest.fixture
def line() -> Iterator[Line]:
    with ThreadPoolExecutor(16) as pool:
        line = Line(pool)
        yield line
        line.graph.free.set()


def test_every_caller_gets_its_own_rows() -> None:
    graph = FakeGraph()
    graph.takes_s = 0.0005  # so that calls do gather; without, the test would be weaker, not wrong
    shared = SharedBatches(graph)

    def work(thread: int) -> int:
        random, asked = np.random.default_rng(thread), 0
        for call in range(60):
            numbers = [1000 * thread + 10 * call + row for row in range(random.integers(1, BATCH + 1))]
            results = shared.run(rows(*numbers))
            assert list(results) == ["y"]
            np.testing.assert_array_equal(results["y"], expected(*numbers))
            asked += len(numbers)
        return asked

    with ThreadPoolExecutor(8) as pool:
        asked = sum(pool.map(work, range(8)))
    computed = [number for run in graph.runs for number in run]
    assert len(computed) == len(set(computed)) == asked  # each once


def test_callers_that_come_while_the_graph_is_busy_share_the_next_run(line: Line) -> None:
    calls = [line.join(number) for number in (3, 1, 4, 2)]
    assert line.let_go() == [[0], [3, 1, 4, 2]]
    for number, call in zip((3, 1, 4, 2), calls, strict=True):
        result = call.result()["y"]
        np.testing.assert_array_equal(result, expected(number))
        assert result.base is None  # the others' rows are not kept alive


def test_rows_of_a_call_stay_together_and_nobody_overtakes(line: Line) -> None:
    """3 does not fit beside 1 2, so the small call after it waits for the batch after, although it would fit."""
    sizes = [line.join(*numbers) for numbers in ((1, 2), (3, 4, 5), (6,), (7,), (8, 9, 10, 11), (12,))]
    assert line.let_go() == [[0], [1, 2], [3, 4, 5, 6], [7], [8, 9, 10, 11], [12]]
    np.testing.assert_array_equal(sizes[1].result()["y"], expected(3, 4, 5))


def test_a_lone_caller_is_served_at_once_by_its_own_thread() -> None:
    graph = FakeGraph()
    shared = SharedBatches(graph)
    threads, took_s = threading.active_count(), []
    for number in range(50):
        started = time.perf_counter()
        np.testing.assert_array_equal(shared.run(rows(number))["y"], expected(number))
        took_s.append(time.perf_counter() - started)
    assert graph.runs == [[number] for number in range(50)]
    assert set(graph.threads) == {threading.get_ident()} and threading.active_count() == threads
    assert min(took_s) < 0.002  # the least of many: a delay would be in every one


def test_an_error_reaches_its_own_batch_and_nobody_else(line: Line) -> None:
    first, second, third, other = line.join(1), line.join(2), line.join(3, 4), line.join(5, 6, 7)
    line.graph.raises[2] = [ModelRuntimeError("out of memory")]
    assert line.let_go() == [[0], [1, 2, 3, 4], [5, 6, 7]]
    errors = [call.exception() for call in (first, second, third)]
    assert [(type(error), str(error)) for error in errors] == [(ModelRuntimeError, "out of memory")] * 3
    assert len({id(error) for error in errors}) == 3
    np.testing.assert_array_equal(line.calls[0].result()["y"], expected(0))
    np.testing.assert_array_equal(other.result()["y"], expected(5, 6, 7))


def test_a_waiting_caller_that_is_interrupted_leaves_the_line(line: Line) -> None:
    before, main = line.join(1), threading.get_ident()

    def interrupt() -> None:
        until(lambda: len(line.shared._line) == 3)
        signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        line.shared.run(rows(2))
    interrupter.join()
    after = line.join(3)
    assert line.let_go() == [[0], [1, 3]]
    np.testing.assert_array_equal(before.result()["y"], expected(1))
    np.testing.assert_array_equal(after.result()["y"], expected(3))


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), RuntimeError("a fault of the program")])
def test_the_companions_of_an_interrupted_leader_are_computed_again(line: Line, interrupt: BaseException) -> None:
    leader, companions = line.join(1), [line.join(2), line.join(3)]
    line.graph.raises[1] = [interrupt]
    assert line.let_go() == [[0], [1, 2, 3], [2, 3]]
    assert leader.exception() is interrupt
    for number, call in zip((2, 3), companions, strict=True):
        np.testing.assert_array_equal(call.result()["y"], expected(number))


def test_calls_of_another_form_are_refused() -> None:
    shared = SharedBatches(FakeGraph())
    for feeds in (rows(*range(BATCH + 1)), {"x": np.zeros((0, 2))}, {**rows(1, 2), "z": np.zeros((1, 2))}):
        with pytest.raises(AssertionError):
            shared.run(feeds)


def test_the_bits_are_those_of_the_graph_alone(tmp_path: Path) -> None:
    write_audio_encoder(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    graph = OnnxGraph(session, tmp_path / "net.onnx")
    graph.batch_frames = BATCH
    shared = SharedBatches(graph)
    assert (shared.provider, shared.batch_frames) == (graph.provider, BATCH)
    assert (shared.inputs, shared.outputs) == (graph.inputs, graph.outputs)
    random = np.random.default_rng(2)
    pcm_BS = random.normal(0, 0.1, (120, 8032)).astype(np.float32)
    gate_B = random.uniform(0, 1, 120).astype(np.float32)

    def piece(start: int, count: int, graph: Graph) -> np.ndarray:
        picked = slice(start, start + count)
        return graph.run({"pcm_BS": pcm_BS[picked], "gate_B": gate_B[picked]})["embedding_BD"]

    alone = np.concatenate([piece(row, 1, graph) for row in range(120)])
    assert len(np.unique(alone, axis=0)) == 120

    def all_rows(thread: int) -> np.ndarray:
        size = 1 + thread % BATCH
        return np.concatenate([piece(start, min(size, 120 - start), shared) for start in range(0, 120, size)])

    with ThreadPoolExecutor(6) as pool:
        for together in pool.map(all_rows, range(6)):
            np.testing.assert_array_equal(together, alone)


class SharingRuntime(OnnxRuntime):
    """What a CUDA device gets, on the CPU."""

    def __init__(self) -> None:
        super().__init__("cpu", threads=1)

    def load(self, path: Path, trial: Trial | None = None) -> Graph:
        graph = super().load(path)
        graph.batch_frames = BATCH  # type: ignore[misc]
        return SharedBatches(graph)


def test_sessions_that_share_batches_show_what_one_alone_shows(toy_avatars: Path, toy_model: LoadedAvatar) -> None:
    model = ModelService(toy_avatars, SharingRuntime(), ROOM, features_bytes=0, template_bytes=ROOM).open(NAME)
    assert (model.first_batch_frames, model.batch_frames) == (1, BATCH)
    assert (toy_model.first_batch_frames, toy_model.batch_frames) == (1, 1)
    pcm_S = np.random.default_rng(3).normal(0, 0.1, 4800).astype(np.float32)
    starts = (0, 20, 41)  # template frames of three sessions

    def frames(model: LoadedAvatar, start: int) -> list[VideoFrame]:
        return list(FrameGenerationService().generate(model, [pcm_S], start))

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda start: frames(model, start), starts))
    for start, got in zip(starts, together, strict=True):
        alone = frames(toy_model, start)
        assert len(got) == len(alone) == 8
        for one, other in zip(got, alone, strict=True):
            np.testing.assert_array_equal(one.frame_rgb_HWC, other.frame_rgb_HWC)


@pytest.mark.gpu
@pytest.mark.skipif(cuda_device_count() == 0, reason="no CUDA device")
def test_callers_on_a_gpu_share_batches(tmp_path: Path) -> None:
    write_audio_encoder(tmp_path / "net.onnx")
    graph = OnnxRuntime("cuda").load(tmp_path / "net.onnx")
    assert isinstance(graph, SharedBatches) and graph.provider == "CUDAExecutionProvider"
