"""Markdown as somebody would read it aloud: its words without its marks.

What a language model writes is Markdown more often than not. Words are never left out: a link is its text, a picture
its description, code is read as it stands. Of an ordered list the numbers stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

# A star, or a mark at the head of a line, that belongs to a number is arithmetic.
_ARITHMETIC: Final = re.compile(r"(?<=[\d)])(\s*)\*(?=\s*[\d(])")
_SIGNED: Final = re.compile(r"(?m)^(\s*)([-+>])(?=[ \t]*\d)")


def without_markdown(text: str) -> str:
    """The text without the marks of Markdown; every block is a paragraph of its own.

    Args:
        text: of any kind, without HTML; plain text stays as it is, but for spaces.
    """
    text = _SIGNED.sub(r"\1\\\2", _ARITHMETIC.sub(r"\1×", text))
    return "\n\n".join(part for part in _blocks(_parser().parse(text)) if part.strip())


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # Indented text is no code here, "[Note]: this" is no definition, and tags were taken out before.
    parser = MarkdownIt("commonmark", {"html": False})
    return parser.enable(["table", "strikethrough"]).disable(["code", "reference"])


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    number = ""
    row: list[str] | None = None  # of a table
    for token in tokens:
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            yield ", ".join(cell for cell in row or () if cell)
            row = None
        elif token.type == "list_item_open":
            number = f"{token.info}{token.markup} " if token.info else ""
        elif token.type == "list_item_close" and number:
            yield number.strip()  # "5." is a number, not an empty list
            number = ""
        elif token.type == "fence":
            yield token.content
        elif token.type == "inline":
            words, number = number + _words(token.children or ()), ""
            if row is None:
                yield words
            else:
                row.append(words)


def _words(tokens: Sequence[Token]) -> str:
    parts = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif token.type == "image":
            parts.append(_words(token.children or []))
        else:
            parts.append(token.content)
    return "".join(parts)
