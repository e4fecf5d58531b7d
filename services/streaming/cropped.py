"""A part of every picture: the same utterance, square, upright or wide.

Axes: H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

import numpy as np

from recipe.aspect import Window, window
from recipe.aspect_names import Aspect
from services.streaming.events import Event, Frame, Header


def part_shown(header: Header, aspect: Aspect) -> Window:
    """What an aspect shows of an utterance's pictures."""
    assert header.face is not None, "an utterance that is generated says where the face is"
    return window(header.width, header.height, header.face, aspect)


def cropped(events: Generator[Event, None, None], part_of: Callable[[Header], Window]) -> Generator[Event, None, None]:
    """The same events, of a part of the pictures.

    Args:
        events: of an utterance.
        part_of: which part.
    """
    part: Window | None = None
    with closing(events):
        for event in events:
            if isinstance(event, Header):
                part = part_of(event)
                event = replace(event, width=part.width, height=part.height)
            elif isinstance(event, Frame):
                assert part is not None
                picture_HWC = np.ascontiguousarray(event.frame_rgb_HWC[part.rows, part.columns])
                event = replace(event, frame_rgb_HWC=picture_HWC)
            yield event
