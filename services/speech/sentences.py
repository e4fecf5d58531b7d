"""Where a text is cut, so that its first sentence is heard while the others are still being made.

A cut too few costs a moment of waiting, a cut too many a wrong intonation: in doubt there is none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

MAX_SENTENCE: Final = 250  # characters; longer ones are cut at clauses
_MIN_PIECE: Final = 60
_LOOK: Final = 60  # characters around a mark that decide


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# An end mark, more of them, closing quotes and brackets; then a space, unless the script writes none.
_CLOSING: Final = r"""["'”’»›)\]}」』）】]*"""
_END: Final = re.compile(rf"([.!?؟۔।॥…]+)({_CLOSING})(?=\s)|[。！？｡][。！？｡…]*{_CLOSING}")
_CLAUSE: Final = re.compile(r"[,;:،؛—–…)](?=\s)|\s[—–-](?=\s)|[、，；：。！？]")
OPENING: Final = "\"'“‘«‹([{„¿¡「『"

# In lower case, without their last dot. A sentence goes on after these...
_ABBREVIATIONS: Final = _words(
    """mr mrs ms mx dr prof st mt ft rev hon gen maj capt cmdr lt sgt cpl pvt gov pres sen supt messrs mmes
    vs viz cf ca approx dept est eds ibid resp jan feb apr jun jul aug sep sept oct nov dec tue tues wed thu thur thurs
    ave blvd rd hwy bzw evtl ggf inkl exkl hr fr hrn frl ing dipl str geb gest tsd mio mrd vgl abs anm
    sr sra srta srs dña ud uds av avda mme mlle mgr env éd sig sigg dott avv geom dra exmo mevr dhr drs"""
)
# ...after these if a number follows...
_COUNTED: Final = _words("no nos nr nro num núm fig figs vol vols pp pg pág págs ch chap sec art ext tel")
# ...and after these unless a capital follows.
_MAY_END: Final = _words("etc inc ltd co corp jr usw usf bros llc plc a.m p.m a.d b.c ff")
_DOTTED: Final = re.compile(r"(?:\w\.)+\w", re.UNICODE)
_GERMAN_MONTHS: Final = _words(
    "januar jänner februar märz april mai juni juli august september oktober november dezember"
)


def split_sentences(text: str) -> list[str]:
    """Cut a text, one line per paragraph, into sentences; the pieces joined are the text but for spaces."""
    sentences: list[str] = []
    for paragraph in text.split("\n"):
        start = 0
        for end in sentence_ends(paragraph):
            sentences.extend(_pieces(paragraph[start:end].strip()))
            start = end
        sentences.extend(_pieces(paragraph[start:].strip()))
    return sentences


def sentence_ends(paragraph: str) -> Iterator[int]:
    """Where the sentences of one paragraph end, as far as marks say so."""
    start = 0
    for found in _END.finditer(paragraph):
        if found[1] is None or _ends_here(paragraph, start, found):
            yield found.end()
            start = found.end()


def _ends_here(paragraph: str, start: int, found: re.Match[str]) -> bool:
    """Whether a mark that a space follows ends the sentence that began at `start`."""
    marks, closing = found[1], found[2]
    follows = paragraph[found.end() : found.end() + _LOOK].lstrip().lstrip(OPENING)
    goes_on = follows[:1].islower()
    if "?" in marks or "!" in marks:
        return not (closing and goes_on)  # "Really?" he asked.
    if marks.strip(".") == "" and len(marks) == 1:
        return (closing != "" and not goes_on) or _dot_ends(
            paragraph[max(start, found.start() - _LOOK) : found.start()], follows, goes_on
        )
    return "…" not in marks and ".." not in marks


def _dot_ends(before: str, follows: str, goes_on: bool) -> bool:
    words = before.split()
    word = words[-1].lstrip(OPENING) if words else ""
    plain = word.lower()
    if plain in _MAY_END:
        return not goes_on
    if plain in _ABBREVIATIONS or _DOTTED.fullmatch(word):
        return False
    if plain in _COUNTED:
        return not follows[:1].isdigit()
    if len(word) == 1 and word.isalpha():  # an initial, "z. B."
        return False
    if word.isdigit() and len(word) <= 2:  # "1. First", "am 3. Mai", "le 1. janvier"
        month = re.match(r"\w*", follows)
        return len(words) > 1 and not goes_on and (month is None or month[0].lower() not in _GERMAN_MONTHS)
    return not (goes_on and len(word) <= 4)  # an abbreviation that is not in the list


def _pieces(sentence: str) -> Iterator[str]:
    """The sentence, or its clauses where it is too long to wait for."""
    while len(sentence) > MAX_SENTENCE:
        cut = _cut(sentence)
        yield sentence[:cut].rstrip()
        sentence = sentence[cut:].lstrip()
    if sentence:
        yield sentence


def _cut(sentence: str) -> int:
    clauses = [found.end() for found in _CLAUSE.finditer(sentence, 0, MAX_SENTENCE)]
    if clauses and clauses[-1] >= _MIN_PIECE:
        return clauses[-1]
    space = sentence.rfind(" ", _MIN_PIECE, MAX_SENTENCE)
    if space > 0:
        return space
    cut = MAX_SENTENCE
    while cut > _MIN_PIECE and (unicodedata.combining(sentence[cut]) or sentence[cut] in "\u200c\u200d"):
        cut -= 1
    return cut
