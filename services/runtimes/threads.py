"""Threads of one frame do not wait for one another: docs/decisions/0020-serving-threads.md."""

from __future__ import annotations

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

_LINEAR_ALGEBRA = (np, cv2)  # each brings a BLAS of its own; only one that is loaded can be told


def draw_on_one_thread() -> None:
    """Pictures are cut, moved and pasted on the thread that asks; others of the process do the same for other frames.

    OpenCV's own threads, and those of the BLAS libraries under it and under NumPy, are switched off: for the small
    systems of a frame the latter spin at barriers for far longer than they compute.
    """
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")
