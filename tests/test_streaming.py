"""The parts of a stream by themselves: the pump, the MP4 encoder's clock, negotiation.

Axes: S audio samples, H W C picture.
"""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Generator

import av
import numpy as np
import pytest
from starlette.exceptions import HTTPException

from services.errors import StalledError
from services.http.negotiation import preferred
from services.streaming.events import End, Event, Frame, Header
from services.streaming.mp4 import encode_fragmented_mp4
from services.streaming.pump import Pump
from tests.service_material import wait_for


class Counting:
    """A generator that tells how far it is, and where it was closed."""

    def __init__(self, count: int = 1000) -> None:
        self.made = 0
        self.closed_in = ""
        self._count = count

    def items(self) -> Generator[int, None, None]:
        try:
            for number in range(self._count):
                self.made += 1
                yield number
        finally:
            self.closed_in = threading.current_thread().name


def test_a_pump_stays_a_few_items_ahead() -> None:
    work = Counting()
    pump = Pump(work.items(), ahead=3, name="pumped")
    wait_for(lambda: work.made == 4)  # three wait, one is in hand
    time.sleep(0.05)
    assert work.made == 4
    assert [next(pump), next(pump)] == [0, 1]
    wait_for(lambda: work.made == 6)
    pump.close(wait_s=5)
    assert pump.ended
    assert (work.made, work.closed_in) == (6, "pumped")


def test_a_pump_gives_everything_in_order_to_threads_and_loops() -> None:
    assert list(Pump(Counting(50).items(), 2, "x")) == list(range(50))

    async def taken() -> list[int]:
        return [item async for item in Pump(Counting(50).items(), 2, "x")]

    assert asyncio.run(taken()) == list(range(50))


def test_an_error_comes_out_after_what_was_made_before_it() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise LookupError("over")

    ended: list[int] = []
    pump = Pump(failing(), 5, "x", on_end=lambda: ended.append(1))
    assert next(pump) == 1
    with pytest.raises(LookupError, match="over"):
        next(pump)
    assert ended == [1]


def test_a_pump_nobody_takes_from_gives_up() -> None:
    work = Counting()
    ended = threading.Event()
    pump = Pump(work.items(), 1, "x", stall_s=0.05, on_end=ended.set)
    assert ended.wait(5)
    assert next(pump) == 0
    with pytest.raises(StalledError, match="nobody took"):
        next(pump)


def events(rate_hz: int, flash_at: int, count: int) -> Generator[Event, None, None]:
    yield Header("u-1", "toy", 64, 64, rate_hz, 0, 1)
    for index in range(count):
        lit = index == flash_at
        tone_S = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(rate_hz // 25) / rate_hz).astype(np.float32)
        picture_HWC = np.full((64, 64, 3), 255 if lit else 0, np.uint8)
        yield Frame(index, index, picture_HWC, tone_S if lit else np.zeros_like(tone_S))
    yield End(count, 0, 1)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_flash_and_beep_of_a_frame_are_at_its_time_in_the_mp4(rate_hz: int) -> None:
    """Sound coders put something before the sound: the file has to say so, or lips are late by 64 ms at 16 kHz."""
    data = b"".join(encode_fragmented_mp4(events(rate_hz, flash_at=20, count=50)))
    assert data.count(b"moof") >= 50
    with av.open(io.BytesIO(data)) as container:
        pictures = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    assert [time_s for time_s, _ in pictures] == pytest.approx([i / 25 for i in range(50)], abs=1e-3)
    assert [time_s for time_s, level in pictures if level > 128] == pytest.approx([0.8], abs=1e-3)
    with av.open(io.BytesIO(data)) as container:
        blocks = list(container.decode(audio=0))
    heard_S = np.concatenate([block.to_ndarray()[0] for block in blocks])
    loud = np.flatnonzero(np.abs(heard_S) > 0.3)
    assert blocks[0].time + loud[0] / blocks[0].sample_rate == pytest.approx(0.8, abs=0.004)
    assert blocks[0].time + loud[-1] / blocks[0].sample_rate == pytest.approx(0.84, abs=0.004)


OFFERED = ("application/x-ndjson", "video/mp4")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, 0),
        ("", 0),
        ("*/*", 0),
        ("video/mp4", 1),
        ("video/*", 1),
        ("VIDEO/MP4", 1),
        ("text/html, video/mp4;q=0.5", 1),
        ("application/x-ndjson;q=0.2, video/mp4;q=0.9", 1),
        ("application/x-ndjson;q=0, */*", 1),
        ("video/mp4, application/x-ndjson", 0),
        ("application/json, */*;q=0.1", 0),
    ],
)
def test_preferred_format(accept: str | None, chosen: int) -> None:
    assert preferred(accept, OFFERED) == OFFERED[chosen]


@pytest.mark.parametrize("accept", ["image/png", "video/webm", "video/mp4;q=0", "*/*;q=0", "video/mp4;q=nonsense"])
def test_no_format_that_is_wanted(accept: str) -> None:
    with pytest.raises(HTTPException) as raised:
        preferred(accept, OFFERED)
    assert raised.value.status_code == 406
