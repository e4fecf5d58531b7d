"""Text as a language model writes it, in pieces of any length: a sentence comes out as soon as it is complete.

    sentences = SentenceStream()
    for piece in answer:
        for sentence in sentences.push(piece): ...
    for sentence in sentences.finish(): ...

What comes out does not depend on where the text was cut. A mark ends a sentence only if what follows says so
("Dr. Who", "3.5"), so a sentence waits for the beginning of the next word.
"""

from __future__ import annotations

import re
from typing import Final

from services.speech.sentences import OPENING, sentence_ends
from services.speech.text import sentences_in

_STRAY: Final = re.compile(r"(?<!\w)\*+(?=\w)|(?<=\S)\*+(?!\w)")
_PARAGRAPH: Final = re.compile(r"\n\s*\n")


class SentenceStream:
    """One text on its way to a voice."""

    def __init__(self) -> None:
        """Nothing was written yet."""
        self._held = ""

    @property
    def held_characters(self) -> int:
        """Of the sentence that is not complete."""
        return len(self._held)

    def push(self, text: str) -> list[str]:
        """More of the text; returns the sentences that are complete now, ready to be spoken."""
        self._held += text
        complete: list[str] = []
        while (end := self._first_end()) is not None:
            complete += _plain(self._held[:end])
            self._held = self._held[end:]
        return complete

    def finish(self) -> list[str]:
        """The text is over; returns what is left of it."""
        rest, self._held = self._held, ""
        return _plain(rest)

    def _first_end(self) -> int | None:
        paragraph = _PARAGRAPH.search(self._held)
        stop = len(self._held) if paragraph is None else paragraph.start()
        line = re.sub(r"\s", " ", self._held[:stop])
        end = next(iter(sentence_ends(line)), None)
        if end is None or end == stop:
            # A paragraph ends its sentence; whether another newline follows the last one has to be seen.
            return paragraph.end() if paragraph is not None and paragraph.end() < len(self._held) else None
        follows = line[end:].lstrip()
        decided = follows.lstrip(OPENING) != "" and (" " in follows or not _after_digit(line[:end]))
        return end if decided or paragraph is not None else None


def _plain(text: str) -> list[str]:
    """Its sentences, also without emphasis that began or ends in another one."""
    return [_STRAY.sub("", sentence) for sentence in sentences_in(text)]


def _after_digit(sentence: str) -> bool:
    return sentence.rstrip(" .!?\"'”’)")[-1:].isdigit()
