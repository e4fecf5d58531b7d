"""What is said, in parts of at most two lines, as static/captions.js cuts it; a wide character counts as two."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LINE: Final = 42  # units: the usual limit of subtitles, and half as many Chinese characters
MOST: Final = 2 * LINE
_PAUSES: Final = (re.compile(r"[.!?;:,…—]\s|[。！？；：，、]"), re.compile(r"\s"))


def units(text: str) -> int:
    """How wide a text is: a letter is one, a Chinese character two, an accent above a letter nothing."""
    return sum(map(_width, text))


def parts_of(text: str, most: int = MOST) -> list[str]:
    """A sentence in parts of at most so many units, cut where one would pause."""
    parts, rest = [], text.strip()
    while units(rest) > most:
        head = _head(rest, most)
        cut = _cut(head)
        parts.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [*parts, rest] if rest else parts


def in_lines(text: str) -> list[str]:
    """A part on one line, or on two of like length."""
    if units(text) <= LINE:
        return [text]
    middle = len(_head(text, (units(text) + 1) // 2))
    after, before = text.find(" ", middle), text.rfind(" ", 0, middle + 1)
    if after < 0 and before < 0:
        return [text[:middle], text[middle:]]
    near_after = after >= 0 and (before < 0 or after - middle <= middle - before)
    cut = after if near_after else before
    return [text[:cut], text[cut + 1 :]]


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _head(text: str, most: int) -> str:
    """The longest beginning of at most so many units."""
    used = 0
    for at, character in enumerate(text):
        used += _width(character)
        if used > most:
            return text[:at]
    return text


def _cut(head: str) -> int:
    """After the last pause of the second half, else after the last space there, else at the end."""
    for pattern in _PAUSES:
        found = [match.end() for match in pattern.finditer(head) if match.end() > len(head) / 2]
        if found:
            return found[-1]
    return len(head)
