"""What is spoken of a text: plain sentences, without markup, pictographs and characters nobody can say.

Numbers, signs and abbreviations stay as they are written, for captions; `spoken_form` says them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from services.errors import TextRejectedError
from services.speech.markdown import without_markdown
from services.speech.sentences import split_sentences

MIN_SPEED: Final = 0.5
MAX_SPEED: Final = 2.0

# A comment, or a name with attributes that have values: "a<b and c>d" is no markup.
_VALUE: Final = r"""(?:"[^"<]*"|'[^'<]*'|[^\s"'<>=]+)"""
_TAG: Final = re.compile(rf"<!--[^<]*?-->|</?([A-Za-z][\w:.-]*)(?:\s+[\w:.-]+\s*=\s*{_VALUE})*\s*/?>|<[?!][^<>]*>")
# Tags that stand inside a word or beside a comma; every other tag parts words.
_INLINE: Final = ("a", "abbr", "b", "big", "code", "em", "emphasis", "font", "i", "mark", "phoneme", "prosody",
                  "say-as", "small", "span", "strong", "sub", "sup", "u", "voice", "w")  # fmt: skip
_JOINERS: Final = "\u200c\u200d"  # part of the spelling in Persian and the languages of India
_LOOSE_JOINERS: Final = re.compile(rf"(?:(?<=\s)|^)[{_JOINERS}]+|[{_JOINERS}]+(?=\s|$)")  # held emoji together
_FIRST_PICTOGRAPH: Final = 0x2190  # symbols below are read: degrees, copyright
_KEPT_SYMBOLS: Final = range(0x3200, 0x3400)  # units of measure in East Asian texts
_EMOJI: Final = range(0x1F000, 0x1FB00)
_EMOJI_MARKS: Final = frozenset("\u20e3\ufe0e\ufe0f")


def sentences_to_speak(text: str, max_characters: int | None, speed: float) -> list[str]:
    """Check a request and cut its text into what is spoken at a time.

    Args:
        text: as somebody wrote it; anything.
        max_characters: that it may have; None takes any number.
        speed: 1 is the voice's own.
    Returns:
        At least one sentence; none is longer than 250 characters.
    Raises:
        TextRejectedError: the speed is outside 0.5 to 2, the text is too long or holds nothing that can be spoken.
    """
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise TextRejectedError(f"speed is {speed:g}; choose {MIN_SPEED:g} to {MAX_SPEED:g}")
    if max_characters is not None and len(text) > max_characters:
        raise TextRejectedError(
            f"the text has {len(text)} characters, at most {max_characters} are spoken at once; send it in parts"
        )
    sentences = sentences_in(text)
    if not sentences:
        raise TextRejectedError("the text holds nothing that can be spoken: it needs at least one letter or digit")
    return sentences


def sentences_in(text: str) -> list[str]:
    """What is spoken of a text at a time; none where there is nothing to speak."""
    return [sentence for sentence in split_sentences(spoken_text(text)) if _speakable(sentence)]


def spoken_text(text: str) -> str:
    """The text without what is not spoken: NFC, single spaces, one line per paragraph."""
    text = _TAG.sub(lambda tag: "" if (tag[1] or "").lower() in _INLINE else " ", text)
    text = without_markdown(text)
    text = _LOOSE_JOINERS.sub("", "".join(map(_spoken_character, text)))
    text = unicodedata.normalize("NFC", text)
    paragraphs = re.split(r"\n\s*\n", text)
    lines = (" ".join(paragraph.split()) for paragraph in paragraphs)
    return "\n".join(line for line in lines if line)


def _spoken_character(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if character == "\n" or character in "\u2028\u2029":
        return "\n"
    if character.isspace() or category == "Cc":
        return " "
    if category[0] == "C":  # formatting, surrogates, private and unassigned
        return character if character in _JOINERS else ""
    if code in _EMOJI or character in _EMOJI_MARKS:
        return ""
    return " " if category == "So" and code >= _FIRST_PICTOGRAPH and code not in _KEPT_SYMBOLS else character


def _speakable(sentence: str) -> bool:
    return any(unicodedata.category(character)[0] in "LN" for character in sentence)
