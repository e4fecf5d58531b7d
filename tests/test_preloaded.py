"""Photos that are kept under tokens: within a budget, for a time, and never pulled from under who uses them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.avatars.preloaded import PreloadedPhotos
from services.errors import TokenNotFoundError, TooMuchError


def of_bytes(count: int) -> Any:
    return SimpleNamespace(memory_bytes=count)


def test_what_was_used_longest_ago_makes_room() -> None:
    photos = PreloadedPhotos(100, 60)
    first, second = photos.keep(of_bytes(40)), photos.keep(of_bytes(40))
    assert photos.find(first.token) is first
    third = photos.keep(of_bytes(40))
    with pytest.raises(TokenNotFoundError, match="POST /preload"):
        photos.find(second.token)
    assert photos.find(first.token) is first and photos.find(third.token) is third
    assert photos.used_bytes == 80


def test_one_that_never_fits_is_refused_and_the_others_stay() -> None:
    photos = PreloadedPhotos(100, 60)
    kept = photos.keep(of_bytes(60))
    with pytest.raises(TooMuchError, match="takes 101 bytes, and 100 are there"):
        photos.keep(of_bytes(101))
    assert photos.find(kept.token) is kept


def test_each_goes_when_its_time_is_over_however_often_it_is_used() -> None:
    now = [1000.0]
    photos = PreloadedPhotos(100, 60, lambda: now[0])
    kept = photos.keep(of_bytes(10))
    assert kept.expires_at == 1060
    now[0] = 1059.9
    assert photos.find(kept.token) is kept
    now[0] = 1060.0
    with pytest.raises(TokenNotFoundError):
        photos.find(kept.token)
    other = photos.keep(of_bytes(10))
    now[0] = 1120.0
    photos.forget_expired()  # nobody asked for it
    assert photos.used_bytes == 0
    with pytest.raises(TokenNotFoundError):
        photos.drop(other.token)


def test_tokens_cannot_be_guessed_or_used_twice() -> None:
    photos = PreloadedPhotos(10_000, 60)
    tokens = {photos.keep(of_bytes(1)).token for _ in range(100)}
    assert len(tokens) == 100 and min(map(len, tokens)) >= 32
    photos.drop(min(tokens))
    with pytest.raises(TokenNotFoundError):
        photos.drop(min(tokens))
    assert photos.clear() == 99 and photos.used_bytes == 0
