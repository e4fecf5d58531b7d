"""An utterance as pictures that replace each other, for a plain `<img>`: multipart/x-mixed-replace, without sound.

An `<img>` has no clock: it shows a part when it arrives. So here, and nowhere else, pictures are sent by the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final

from recipe.recipe_328 import FPS
from services.streaming.events import Event, Frame
from services.streaming.jpeg import encode_jpeg

BOUNDARY: Final = "frame"
MEDIA_TYPE: Final = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


def encode_mjpeg(
    events: Generator[Event, None, None],
    jpeg_quality: int,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[bytes, None, None]:
    """A part for every frame, 25 a second; after a delay it goes on at that rate, it does not hurry.

    Args:
        events: of the utterance.
        jpeg_quality: 1 to 100.
        now_s, sleep: the clock.
    """
    due_s: float | None = None
    with closing(events):
        for event in events:
            if not isinstance(event, Frame):
                continue
            jpeg = encode_jpeg(event.frame_rgb_HWC, jpeg_quality)
            early_s = 0.0 if due_s is None else due_s - now_s()
            if early_s > 0:
                sleep(early_s)
            due_s = (now_s() if due_s is None or early_s < 0 else due_s) + 1 / FPS
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            yield head.encode() + jpeg + b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()  # the part before it is shown only now
