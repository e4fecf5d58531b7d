"""What English needs beside the rules for every language: fractions, hours, dotted numbers, abbreviations."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from services.speech.spoken.words import ABBREVIATIONS, COUNTED, DENOMINATORS

_VULGAR: Final = re.compile(r"(\d*)\s?([¼-¾⅐-⅞↉])")
_FRACTION: Final = re.compile(
    r"(?<![\w/.,⁄])(?:(?P<whole>\d+)[ -])?(?P<above>\d{1,3})[/⁄](?P<below>\d{1,3})(?![\w/⁄]|[.,]\d)"
)
_DOTTED: Final = re.compile(r"(?<!\d\.)\d+(?:\.\d+){2,}(?!\.?\d)")
_HOURS: Final = re.compile(r"(?<![\d:.])(\d|[01]\d|2[0-4]):00(?![\d:])(\s?[ap]\.?m\b)?", re.IGNORECASE)
_NAMES: Final = "|".join(re.escape(name) for name in sorted(ABBREVIATIONS, key=len, reverse=True))
_ABBREVIATION: Final = re.compile(rf"\b({_NAMES})\.(?=(\s+\S)?)", re.IGNORECASE)
_COUNTED: Final = re.compile(rf"\b({'|'.join(COUNTED)})\.\s?(?=\d)", re.IGNORECASE)
_RANGE: Final = re.compile(r"(?<=\d)(?:\s?–\s?| - )(?=\d)")
_MARKS: Final = (  # that mean something else beside a letter or before a number
    (re.compile(r"\b([CF])#(?!\w)"), r"\1 sharp"),
    (re.compile(r"#(?!\s?\d)"), " hash "),
    (re.compile(r"~\s?(?=\d)"), "about "),
)


def in_words(text: str) -> str:
    """English with its fractions, ranges, full hours, version numbers and abbreviations in words."""
    for pattern, words in _MARKS:
        text = pattern.sub(words, text)
    if "=" not in text:
        text = _RANGE.sub(" to ", text)
    text = _VULGAR.sub(lambda found: f"{found[1]} {unicodedata.normalize('NFKC', found[2])}", text)
    text = _DOTTED.sub(lambda found: found[0].replace(".", " point "), text)
    text = _FRACTION.sub(_fraction, text)
    text = _HOURS.sub(_hours, text)
    text = _COUNTED.sub(lambda found: f"{COUNTED[found[1].lower()]} ", text)
    return _ABBREVIATION.sub(_abbreviation, text)


def _fraction(found: re.Match[str]) -> str:
    """3 1/4 -> 3 and a quarter; 9/11 and 24/7 are none."""
    above, below = int(found["above"]), int(found["below"])
    if below not in DENOMINATORS or not 0 < above < below:
        return found[0].replace("⁄", "/")
    name = DENOMINATORS[below]
    if above > 1:
        name = name + "s"
    article = f"{found['whole']} and " if found["whole"] else ""
    return f"{article}{'one' if above == 1 and not article else 'a' if above == 1 else above} {name}"


def _hours(found: re.Match[str]) -> str:
    hour = int(found[1])
    if found[2]:
        return f"{hour}{found[2]}"
    return f"{hour} o'clock" if 0 < hour <= 12 else f"{hour} hundred hours"


def _abbreviation(found: re.Match[str]) -> str:
    """Its dot stays where it also ends the sentence."""
    return ABBREVIATIONS[found[1].lower()] + ("" if found[2] else ".")
