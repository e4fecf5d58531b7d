"""What a language is written in, and the CLDR's knowledge of it (through Babel)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

# The CLDR's script names whose letters Unicode names otherwise.
_LETTERS = {
    "Hans": ("CJK",), "Hant": ("CJK",), "Hani": ("CJK",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "Kore": ("HANGUL", "CJK"), "Beng": ("BENGALI",),
    "Cans": ("CANADIAN",),
}  # fmt: skip


def primary_language(language: str) -> str:
    """de-DE -> de."""
    return language.split("-")[0].lower()


@lru_cache(maxsize=512)
def locale_of(language: str) -> Locale | None:
    """What the CLDR knows about a BCP 47 language, with its region if it knows that; None for a language without.

    A voice of no known language ("und") has none.
    """
    if primary_language(language) == "und":
        return None
    for known in ("-".join(language.split("-")[:2]), primary_language(language)):
        try:
            return Locale.parse(known, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return None


@lru_cache(maxsize=512)
def scripts_of(language: str) -> frozenset[str]:
    """The scripts a language is written in, as the first word of its letters' Unicode names; empty where unknown."""
    primary = primary_language(language)
    if primary == "und":
        return frozenset()
    primary = get_global("language_aliases").get(primary, primary)
    likely = str(get_global("likely_subtags").get(primary, "")).split("_")[1:2]
    said = [part.title() for part in language.split("-")[1:] if len(part) == 4 and part.isalpha()]  # zh-Latn-pinyin
    for script in [*said, *likely]:
        name: str = Locale("en").scripts.get(script, script)
        return frozenset(_LETTERS.get(script, (name.split()[0].upper(),)))
    return frozenset()


@lru_cache(maxsize=1)
def _known_scripts() -> frozenset[str]:
    names = (str(name).split()[0].upper() for name in Locale("en").scripts.values())
    return frozenset(names).union(*_LETTERS.values())


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """The script of a letter, as in `scripts_of`; empty for what belongs to every script, and for what is no letter."""
    if unicodedata.category(letter)[0] != "L":
        return ""
    word = unicodedata.name(letter, "").split(" ")[0]
    return word if word in _known_scripts() else ""


def foreign_letters(text: str, language: str) -> str:
    """Letters of scripts in which the language is not written, each once; of a language that is not known, none.

    Latin letters are at home everywhere; so is a Greek one that stands alone, as in formulas.
    """
    own = scripts_of(language)
    if not own:
        return ""
    return unique(
        letter
        for index, letter in enumerate(text)
        if (script := script_of(letter)) and script != "LATIN" and script not in own
        if script != "GREEK" or "GREEK" in map(script_of, text[max(index - 1, 0) : index] + text[index + 1 : index + 2])
    )


def needs_a_sound(character: str) -> bool:
    """Whether something is lost where a character has no sound: letters, digits, signs; not punctuation."""
    category = unicodedata.category(character)
    return (
        category[0] in "LN"
        or character in "&@%§‰"
        or (category[0] == "S" and category != "Sk" and character not in "|~")
    )


def unique(characters: Iterable[str]) -> str:
    """Each of the characters once, in order."""
    return "".join(dict.fromkeys(characters))


@lru_cache(maxsize=64)
def likely_language(script: str) -> str:
    """The language that most probably is written in a script: CYRILLIC -> ru; empty where unknown."""
    for known, likely in get_global("likely_subtags").items():
        code = known.removeprefix("und_")
        if known.startswith("und_") and len(code) == 4:
            language = str(likely).split("_")[0]
            if script in scripts_of(language):
                return language
    return ""
