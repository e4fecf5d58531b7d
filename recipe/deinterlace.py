"""Interlaced pictures as whole ones: each field completed by FFmpeg's bwdif, one picture per pair of fields."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal

import av
from av.filter import Graph

FieldOrder = Literal["tff", "bff"]

_LOOKED_AT: Final = 75  # pictures, for fields that no flag tells of
_COMBED_SHARE: Final = 0.3  # of those in which anything can be seen
_LEAST: Final = 5


def without_fields(frames: Iterator[av.VideoFrame], order: FieldOrder | None = None) -> Iterator[av.VideoFrame]:
    """Pictures, those flagged as interlaced made whole; with their times, in order.

    Args:
        frames: decoded, in order of display.
        order: of the fields, where the pictures are interlaced without a flag (`hidden_fields`).
    """
    graph: Graph | None = None
    form: tuple[int, int, str] | None = None
    for frame in frames:
        if graph is None and order is None and not frame.interlaced_frame:
            yield frame
            continue
        now = frame.width, frame.height, frame.format.name
        if graph is None or now != form:
            yield from _rest(graph)
            options = "deint=interlaced" if order is None else f"deint=all:parity={order}"
            graph, form = _graph(frame, f"bwdif=mode=send_frame:{options}"), now
        graph.push(frame)
        yield from _ready(graph)
    yield from _rest(graph)


def hidden_fields(frames: Iterator[av.VideoFrame]) -> FieldOrder | None:
    """The order of the fields of interlaced pictures that no flag tells of; None where there are none.

    Args:
        frames: decoded, in order of display; the first three seconds are looked at.
    """
    graph: Graph | None = None
    seen = {"tff": 0, "bff": 0, "progressive": 0}
    for frame in islice(frames, _LOOKED_AT):
        if frame.interlaced_frame:
            return None
        graph = graph or _graph(frame, "idet")
        graph.push(frame)
        for looked in _ready(graph):
            kind = looked.metadata.get("lavfi.idet.multiple.current_frame", "")
            seen[kind] = seen.get(kind, 0) + 1
    combed = seen["tff"] + seen["bff"]
    if combed < _LEAST or combed < _COMBED_SHARE * (combed + seen["progressive"]):
        return None
    return "tff" if seen["tff"] >= seen["bff"] else "bff"


def _graph(frame: av.VideoFrame, description: str) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    name, _, options = description.partition("=")
    looks = graph.add(name, options)
    sink = graph.add("buffersink")
    source.link_to(looks)
    looks.link_to(sink)
    graph.configure()
    return graph


def _ready(graph: Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, av.VideoFrame)
        yield frame


def _rest(graph: Graph | None) -> Iterator[av.VideoFrame]:
    if graph is not None:
        graph.push(None)
        yield from _ready(graph)
