"""How many utterances this machine can draw at a time: measured with the default avatar, not assumed.

A few frames are drawn as for a client, once on template frames that were never seen and then on the same again, and the
processor's time is taken, not the clock's: a neighbour that is busy now would else decide for as long as the server
lives. It waits for a moment in which nothing else is drawn.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np

from recipe.recipe_328 import FPS, SAMPLES_PER_FRAME
from services.frame_generation_service import FrameGenerationService
from services.streaming.jpeg import encode_jpeg
from services.streaming.slots import Slots
from services.types import AvatarModel

logger = logging.getLogger(__name__)

_FRAMES: Final = 8  # in a round
_ROUNDS: Final = 3  # on seen template frames; the least counts
# Utterances that run side by side reach so much of what one frame's processor time promises: four reached 73 %, eight
# 77 % (docs/speed.md). A fifth of that is left to the voice, the clients and the neighbours.
_REACHED: Final = 0.75
_GIVEN_OUT: Final = 0.8


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was measured."""

    frame_ms: float  # processor time of a frame, from sound to JPEG, on a template frame that was seen
    new_frame_ms: float  # on one that was not
    frames_per_s: float  # that all utterances together get, once the template was seen if its frames are kept

    @property
    def sessions(self) -> int:
        """Utterances to admit; one even where it cannot be drawn in time."""
        return max(1, int(_GIVEN_OUT * self.frames_per_s / FPS))

    @property
    def problem(self) -> str | None:
        """What to tell where even one utterance is too much."""
        if self.frames_per_s >= FPS:
            return None
        return (
            f"this machine draws about {self.frames_per_s:.0f} frames/s of the {FPS} that one utterance needs: "
            "pictures come late; use a smaller avatar, more cores or a GPU"
        )

    def __str__(self) -> str:
        return (
            f"a frame takes {self.frame_ms:.1f} ms of processor time ({self.new_frame_ms:.1f} the first time), all "
            f"utterances together get about {self.frames_per_s:.0f} frames/s"
        )


class CapacityMeter:
    """Measures once and sets the number of places; where an operator set that number, it measures nothing."""

    def __init__(
        self,
        frames: FrameGenerationService,
        slots: Slots,
        idle_slots: Slots,
        *,
        fixed: bool,
        cores: float,
        jpeg_quality: int,
    ) -> None:
        """Take over what it works with.

        Args:
            frames: draws.
            slots: of utterances; their number is set.
            idle_slots: of streams of idle frames, which would disturb.
            fixed: the number of places is as an operator wants it.
            cores: that this process may use.
            jpeg_quality: of streamed pictures.
        """
        self._frames, self._slots, self._idle_slots = frames, slots, idle_slots
        self._cores, self._jpeg_quality = cores, jpeg_quality
        self.fixed = fixed
        self.found: Capacity | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is something left to measure."""
        return not self.fixed and self.found is None

    def measure(self, model: AvatarModel) -> None:
        """Measure, and set the number of places; nothing happens while anything is drawn for a client."""
        if not self._quiet():
            return
        first = self._round(model)
        rounds = []
        for _ in range(_ROUNDS):
            rounds.append(self._round(model))
            if not self._quiet():
                return
        seen_ms, seen_wall_ms = (min(values) for values in zip(*rounds, strict=True))
        each_ms, wall_ms = (seen_ms, seen_wall_ms) if model.keeps_template else first
        rate = _REACHED * 1000 * self._cores / max(each_ms, 1e-3)
        if "CPU" not in model.provider:  # a GPU's time is not the processor's
            rate = min(rate, 1000 / wall_ms)
        self.found = Capacity(round(seen_ms, 2), round(max(first[0], seen_ms), 2), round(rate, 1))
        self._slots.resize(self.found.sessions)
        logger.info("capacity: %s; %d at a time", self.found, self.found.sessions)
        if self.found.problem:
            logger.warning("%s", self.found.problem)

    def _quiet(self) -> bool:
        return self._slots.used == 0 and self._idle_slots.used == 0

    def _round(self, model: AvatarModel) -> tuple[float, float]:
        """Processor and wall milliseconds per frame; the same template frames every time."""
        sound_S = np.random.default_rng(0).normal(0, 0.1, _FRAMES * SAMPLES_PER_FRAME).astype(np.float32)
        start = model.avatar.manifest.frames // 2
        cpu, wall = time.process_time(), time.perf_counter()
        with closing(self._frames.generate(model, [sound_S], start)) as frames:
            for frame in frames:
                encode_jpeg(frame.frame_rgb_HWC, self._jpeg_quality)
        return 1000 * (time.process_time() - cpu) / _FRAMES, 1000 * (time.perf_counter() - wall) / _FRAMES


def provisional_sessions(cores: float) -> int:
    """Places until it is known better."""
    return max(1, int(cores))
