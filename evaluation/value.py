"""A measured number, or the reason why there is none. A metric never answers with NaN."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """One metric's answer: `number` is finite, or None with the reason in `why`."""

    number: float | None
    why: str = ""


def known(number: float) -> Value:
    """Wrap a number; one that is not finite becomes a value without a number."""
    if not math.isfinite(number):
        return Value(None, "the measurement gave no finite number")
    return Value(float(number))


def unknown(why: str) -> Value:
    """A metric that cannot be computed here, and why."""
    return Value(None, why)
