"""One batch for the rows of concurrent callers: for a network that computes a full batch however few rows it is given.

    calls of any thread -> waiting, in order of arrival -> one run for as many as fit -> each caller's own rows

The first in line leads: its thread runs the network for itself and for those behind it that fit, and then makes the
next in line the leader. Why no thread of its own: nothing has to be ended with the graph, a lone caller is not handed
from thread to thread, and an interrupt needs nobody else's help. Nobody waits for company: calls gather while
the network is busy, and the next run takes what has gathered. A caller's rows stay together and nobody overtakes, so a
call that does not fit into what is left of a batch begins the next one.

The line needs no bound of its own: a thread stands in it once at most, with rows that it would hold anyway, and the
service counts its sessions.

The bits are those of the graph alone, for any grouping, as long as a row's result there depends neither on its place
nor on its neighbours. That is what the fixed batch size is for (services/runtimes/runtime.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import ModelRuntimeError
from services.runtimes.runtime import Arrays, Graph

_Outcome = dict[str, NDArray[Any]] | ModelRuntimeError


@dataclass(eq=False, slots=True)
class _Call:
    feeds: Arrays
    rows: int
    turn: threading.Event = field(default_factory=threading.Event)  # set when it has its outcome or leads
    outcome: _Outcome | None = None


class SharedBatches:
    """A graph whose runs are shared; `run` may be called from any number of threads."""

    def __init__(self, graph: Graph) -> None:
        """Stand in front of a graph.

        Args:
            graph: run by one thread at a time, on at most its `batch_frames` rows.
        """
        self._graph = graph
        self.provider, self.batch_frames = graph.provider, graph.batch_frames
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self._lock = threading.Lock()  # held for bookkeeping only, never while the graph runs
        self._line: dict[_Call, None] = {}  # in order of arrival; a call stays in it until it has its outcome
        self._leader: _Call | None = None  # the first in line; None when there is none

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Run on rows, together with those of other callers.

        Args:
            feeds: 1 to `batch_frames` rows per input, rows first.
        Returns:
            The outputs, rows first, of these rows alone; they keep no other caller's arrays alive.
        Raises:
            ModelRuntimeError: the graph failed on a batch that held these rows; every caller of that batch gets one.
        """
        rows = len(next(iter(feeds.values())))
        assert 1 <= rows <= self.batch_frames, (rows, self.batch_frames)
        assert all(len(array) == rows for array in feeds.values()), {name: len(array) for name, array in feeds.items()}
        call = _Call(feeds, rows)
        try:
            with self._lock:
                self._line[call] = None
                if self._leader is None:
                    self._appoint()
            call.turn.wait()
            if call.outcome is None:
                self._lead()
        finally:  # also when interrupted: those whose rows it was computing are still in line and are computed again
            with self._lock:
                self._line.pop(call, None)
                if self._leader is call:
                    self._appoint()
        if isinstance(call.outcome, ModelRuntimeError):
            raise ModelRuntimeError(str(call.outcome)) from call.outcome  # threads do not share a traceback
        assert call.outcome is not None
        return call.outcome

    def _appoint(self) -> None:
        self._leader = next(iter(self._line), None)
        if self._leader is not None:
            self._leader.turn.set()

    def _lead(self) -> None:
        with self._lock:
            batch = list(self._first_in_line())
        outcomes = self._outcomes(batch)
        with self._lock:
            for call, outcome in zip(batch, outcomes, strict=True):
                call.outcome = outcome
                self._line.pop(call, None)  # it may have left
                call.turn.set()

    def _first_in_line(self) -> Iterator[_Call]:
        room = self.batch_frames
        for call in self._line:
            room -= call.rows
            if room < 0:
                return
            yield call

    def _outcomes(self, batch: list[_Call]) -> Sequence[_Outcome]:
        feeds = batch[0].feeds
        if len(batch) > 1:
            feeds = {name: np.concatenate([call.feeds[name] for call in batch]) for name in feeds}
        try:
            results = self._graph.run(feeds)
        except ModelRuntimeError as error:
            return [error] * len(batch)
        if len(batch) == 1:
            return [results]
        stops = np.cumsum([call.rows for call in batch]).tolist()
        return [
            {name: array[stop - call.rows : stop].copy() for name, array in results.items()}
            for call, stop in zip(batch, stops, strict=True)
        ]
