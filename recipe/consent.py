"""Who agreed to be an avatar: how it is said, and how it is recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Literal

from recipe.errors import BrokenAvatarError, ConsentFormatError

ConsentState = Literal["recorded", "synthetic", "none"]  # of the person that an avatar shows
_CONSENT_PATTERN = re.compile(r"\s*(?P<who>\S.*?)\s*,\s*(?P<date>\d{4}-\d{2}-\d{2})\s*,\s*(?P<scope>\S.*?)\s*", re.S)


@dataclass(frozen=True, slots=True)
class Consent:
    """Who agreed to be an avatar, when, for what use, and on which recording."""

    who: str
    date: str
    scope: str
    source_sha256: str


def parse_consent(text: str, source_sha256: str) -> Consent:
    """Read "who, date, scope", e.g. "Ada Lovelace, 2026-11-20, product videos and live demos".

    Args:
        text: the date is YYYY-MM-DD; commas may stand in the name and in the scope.
        source_sha256: hash of the recording the avatar was trained on.
    Raises:
        ConsentFormatError: a part is missing, or there is no such day.
    """
    match = _CONSENT_PATTERN.fullmatch(text)
    try:
        if match is None:
            raise ValueError("it is not of that form")
        date.fromisoformat(match["date"])
    except ValueError as error:
        raise ConsentFormatError(
            f'consent {text!r}: {error}; write "who, YYYY-MM-DD, scope", '
            'for example "Ada Lovelace, 2026-11-20, product videos"'
        ) from error
    return Consent(match["who"], match["date"], match["scope"], source_sha256)


def recorded_consent(value: object, where: Path) -> Consent | None:
    """The field `consent` of a decoded avatar.json, which is `where`.

    Raises:
        BrokenAvatarError: it is neither null nor such a record.
    """
    if value is None:
        return None
    names = [field.name for field in fields(Consent)]
    if not isinstance(value, dict) or any(not isinstance(value.get(name), str) or not value[name] for name in names):
        raise BrokenAvatarError(
            f"{where}: field 'consent' is {value!r}, expected null or {', '.join(names)}; "
            'record it again with python -m services.avatars consent NAME "who, date, scope"'
        )
    return Consent(**{name: value[name] for name in names})
