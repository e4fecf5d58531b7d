"""Signs between and before numbers, and superscripts, in the words of a language."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from services.speech.languages import script_of
from services.speech.spoken.words import SIGNS

_SUPERSCRIPTS: Final = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_POWER: Final = re.compile(rf"(?<=[\w)])[{_SUPERSCRIPTS}]+")
_MINUS: Final = re.compile(r"(?:^|(?<=[\s(=]))-(?=\d)")  # -5, (-5)
_DIFFERENCE: Final = re.compile(r"(?<=\d )-(?= \d)")  # 5 - 3, in an equation
_NAMED: Final = re.compile(r" (?:SIGN|SYMBOL)$")
_GREEK: Final = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?([A-Z]+)")
# Marks that are seen and not said, where they stand alone.
_UNSAID: Final = frozenset('|`´^~¨¸¯˜ˆ"_*•·')


def with_powers(text: str, language: str) -> str:
    """10³ -> 10 to the power of 3; a language that has no words for it leaves the superscript in."""
    word = SIGNS.get(language, {}).get("^")
    if word is None:
        return text

    def said(found: re.Match[str]) -> str:
        power = unicodedata.normalize("NFKC", found[0])
        if language == "en" and power in ("2", "3"):
            return " squared" if power == "2" else " cubed"
        return f" {word} {power}"

    return _POWER.sub(said, re.sub(r"(?<=[\w)])\s?\^\s?(?=[\w(−-])", f" {word} ", text))


def with_signs(text: str, language: str) -> str:
    """Signs in words: those of the language's list; in English also every other one, by its Unicode name.

    Args:
        text: its money, units and powers already in words.
        language: primary, "en".
    """
    signs = SIGNS.get(language, {})
    text = _MINUS.sub("−", text)
    if "=" in text:
        text = _DIFFERENCE.sub("−", text)
    said = []
    for index, character in enumerate(text):
        if character in _UNSAID:
            said.append(" " if character in "_|·•" else character)
        elif character in signs:
            said.append(f" {signs[character]} ")
        elif language == "en" and not character.isascii():
            said.append(_english(character, text[index - 1 : index], text[index + 1 : index + 2]))
        else:
            said.append(character)
    return "".join(said)


def _english(character: str, before: str, after: str) -> str:
    """A sign by its name; a Greek letter by its own where it stands alone."""
    name = unicodedata.name(character, "")
    if unicodedata.category(character)[0] == "S":
        return f" {_NAMED.sub('', name).replace('-', ' ').lower()} " if name else character
    greek = _GREEK.match(name)
    if greek and "GREEK" not in (script_of(before or " "), script_of(after or " ")):
        return f" {greek[1].lower()} "
    return character
