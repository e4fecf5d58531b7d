"""Which of the formats there are a client prefers (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException


def preferred(accept: str | None, offered: Sequence[str], shown_as: Mapping[str, str] | None = None) -> str:
    """Choose a media type.

    Args:
        accept: the header; None or empty takes anything.
        offered: what there is, the default first; parameters are not compared.
        shown_as: other names of some of them, by which clients may ask.
    Raises:
        HTTPException: 406, the client takes none of them.
    """
    if not (accept or "").strip():
        return offered[0]
    ranges = [_parse(part) for part in (accept or "").split(",") if part.strip()]
    also = shown_as or {}

    def quality(media_type: str) -> float:
        names = (media_type.split(";")[0], also.get(media_type))
        return max(_quality(ranges, name) for name in names if name)

    best = max(offered, key=quality)  # the first of equals
    if quality(best) <= 0:
        raise HTTPException(406, f"Accept asks for none of the formats there are: {', '.join(offered)}")
    return best


def _parse(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                quality = 0.0
    return name, quality if 0 <= quality <= 1 else 0.0


def _quality(ranges: list[tuple[str, float]], media_type: str) -> float:
    """Of the most specific range that matches."""
    whole = media_type.split("/")[0] + "/*"
    for candidate in (media_type, whole, "*/*"):
        found = [quality for name, quality in ranges if name == candidate]
        if found:
            return max(found)
    return 0.0
