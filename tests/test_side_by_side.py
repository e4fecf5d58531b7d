"""Frames are drawn on several cores, and nobody who takes them can tell."""

from __future__ import annotations

import threading
import time

import pytest

from services.avatars.side_by_side import SideBySide


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_results_come_in_order(at_once: int) -> None:
    def late_first(number: int) -> int:
        time.sleep(0.01 if number % 3 == 0 else 0)
        return number * number

    assert list(SideBySide(late_first, at_once)(range(20))) == [number * number for number in range(20)]


def test_two_are_made_at_the_same_time_and_no_more() -> None:
    both, working = threading.Barrier(2, timeout=5), []

    def meets_another(number: int) -> int:
        working.append(number)
        both.wait()  # alone it would wait for ever
        return number

    taken = SideBySide(meets_another, 2)(range(100))
    assert next(taken) == 0
    assert sorted(working)[:2] == [0, 1] and len(working) <= 4
    taken.close()  # type: ignore[attr-defined]


def test_an_error_comes_where_its_result_would() -> None:
    def share(number: int) -> int:
        return 10 // number

    results = SideBySide(share, 2)([5, 2, 0, 1])
    assert (next(results), next(results)) == (2, 5)
    with pytest.raises(ZeroDivisionError):
        next(results)
