"""A sentence as it is said: money, units, dates, fractions, powers, signs, addresses and abbreviations in words.

Done once, before any engine, for an engine reads "½ cup" as "12 cup" or leaves a sign out without a word. Plain
numbers and ordinals stay digits: every engine reads those of its language. Nothing is left out here; what no rule
says stays in the sentence, and the engine is asked whether it can say it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from services.speech.languages import locale_of, primary_language
from services.speech.spoken import english
from services.speech.spoken.addresses import with_addresses
from services.speech.spoken.quantities import with_dates, with_money, with_units
from services.speech.spoken.signs import with_powers, with_signs

_SPACE_BEFORE_MARK: Final = re.compile(r" (?=[,.;:!?](?:\s|$))")
_OWN_MEANING: Final = ("<super>", "<fraction>")  # 10³ is no 103, ½ no 12


def spoken_form(sentence: str, language: str) -> str:
    """What an engine is given for a sentence.

    Args:
        sentence: one, as it was written, without markup.
        language: of the voice, BCP 47.
    Returns:
        The sentence in single spaces. Characters that no rule says are still in it.
    """
    primary = primary_language(language)
    said = with_addresses("".join(map(_plain, sentence)), primary)
    locale = locale_of(language)
    if locale is not None:
        said = with_units(with_money(with_dates(said, locale), locale), locale)
    if primary == "en":
        said = english.in_words(said)
    said = " ".join(with_signs(with_powers(said, primary), primary).split())
    return _SPACE_BEFORE_MARK.sub("", said)


def _plain(character: str) -> str:
    """Letters, digits and signs of typesetting as everybody writes them: ﬁ, Ⅳ, ㎏, Ａ, ٣."""
    if character.isascii() or character in "µΩ":
        return character
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category[0] not in "LNS" or unicodedata.decomposition(character).startswith(_OWN_MEANING):
        return character
    return unicodedata.normalize("NFKC", character)
