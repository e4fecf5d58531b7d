"""Web and mail addresses, sign by sign."""

from __future__ import annotations

import re
from typing import Final

from services.speech.spoken.words import ADDRESS_SIGNS

_ADDRESS: Final = re.compile(
    r"(?:https?://|www\.)[^\s<>\"]+|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+|"
    r"\b[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.(?:com|org|net|edu|gov|io|ai|de|fr|es|it|uk|eu|info)\b"
    r"(?:/[^\s<>\"]*)?"
)
_CLOSING: Final = ".,;:!?)'\"”’»"


def with_addresses(text: str, language: str) -> str:
    """Addresses with their signs in words. "https://" is not said: nobody says it.

    Args:
        text: with them.
        language: primary, "en"; one that has no words for the signs leaves them to its engine.
    """
    signs = ADDRESS_SIGNS.get(language)
    if signs is None:
        return text

    def said(found: re.Match[str]) -> str:
        address = found[0].rstrip(_CLOSING)
        rest = found[0][len(address) :]
        bare = re.sub(r"^https?://", "", address).rstrip("/") or address
        return "".join(f" {signs[sign]} " if sign in signs else sign for sign in bare) + rest

    return _ADDRESS.sub(said, text)
