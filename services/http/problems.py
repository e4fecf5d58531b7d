"""Errors as problem documents (RFC 9457): the one place that gives an exception its status.

A kind marked private keeps its own message for the log, because that may tell how this machine is laid out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from recipe.errors import (
    BadNameError,
    BrokenAvatarError,
    ConsentFormatError,
    InUseError,
    NoAudioError,
    NotAVideoError,
    PhotoRefusedError,
    RevokedError,
)
from recipe.face_restorer import RestorerError
from services import errors
from services.avatars.catalogue import without_folder
from services.http.schemas import FieldError, Problem

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem."""

    status: int
    slug: str
    title: str
    private: str = ""  # what to say instead of the exception's message

    @property
    def type(self) -> str:
        return f"/problems/{self.slug}"


_SEE_LOG: Final = "the server's log says more"
KINDS: Final[dict[type[Exception], Kind]] = {
    BadNameError: Kind(422, "name-not-allowed", "Not a possible name"),
    errors.AvatarNotFoundError: Kind(404, "avatar-not-found", "No such avatar"),
    errors.WrongKindError: Kind(422, "avatar-kind", "Avatar of another kind"),
    BrokenAvatarError: Kind(503, "avatar-broken", "Avatar is broken"),
    RevokedError: Kind(410, "avatar-revoked", "Avatar was revoked"),
    PhotoRefusedError: Kind(422, "photo-refused", "No avatar can be made of this photo"),
    ConsentFormatError: Kind(422, "consent-not-readable", "Consent does not say who agreed, when, and to what"),
    RestorerError: Kind(503, "restorer-failed", "Restoring failed", f"the face could not be restored; {_SEE_LOG}"),
    errors.PhotosUnavailableError: Kind(501, "photos-not-made", "No avatars of photos are made here"),
    errors.TokenNotFoundError: Kind(404, "token-not-found", "Nothing is kept under this token"),
    errors.CreationOffError: Kind(403, "creation-off", "No avatars are made here"),
    errors.NameTakenError: Kind(409, "name-taken", "The name is taken"),
    errors.JobNotFoundError: Kind(404, "job-not-found", "No such job"),
    errors.JobStateError: Kind(409, "job-state", "Does not fit what the job is doing"),
    InUseError: Kind(409, "in-use", "A program is working on it", "a program is writing it; wait for it, or stop it"),
    errors.ConsentMissingError: Kind(403, "consent-missing", "Avatar has no consent record"),
    errors.NotCutOutError: Kind(422, "not-cut-out", "Avatar has no outline"),
    errors.TemplateRangeError: Kind(422, "frame-out-of-range", "No such template frame"),
    errors.TextRejectedError: Kind(422, "text-rejected", "Text cannot be spoken"),
    errors.VoiceNotFoundError: Kind(404, "voice-not-found", "No such voice"),
    errors.SpeechError: Kind(503, "speech-failed", "Speech failed", f"no engine could speak this; {_SEE_LOG}"),
    errors.ModelRuntimeError: Kind(500, "model-failed", "Network failed", f"a network failed here; {_SEE_LOG}"),
    errors.UploadRejectedError: Kind(415, "upload-not-readable", "Upload is no recording"),
    NotAVideoError: Kind(415, "upload-not-readable", "Upload is no recording"),
    NoAudioError: Kind(422, "no-sound", "Upload has no sound"),
    errors.TakeRejectedError: Kind(422, "take-rejected", "Take cannot be read"),
    errors.CaptionRejectedError: Kind(422, "captions-not-drawn", "Captions cannot be drawn"),
    errors.TooMuchError: Kind(413, "too-large", "Too large or too long"),
    errors.BusyError: Kind(503, "busy", "All places are taken"),
    errors.VideoWriteError: Kind(503, "not-written", "Result cannot be written", f"the disk refused it; {_SEE_LOG}"),
    errors.LiveOrderError: Kind(409, "out-of-order", "Does not fit what the session is doing"),
    errors.SessionNotFoundError: Kind(404, "session-not-found", "No such session to go on with"),
    errors.RemoteError: Kind(502, "remote-failed", "Another server failed"),
    errors.OfferRejectedError: Kind(422, "offer-rejected", "Offer cannot be answered"),
    errors.StoppingError: Kind(503, "server-stopping", "Server is stopping"),
    errors.QuotaError: Kind(429, "quota-used-up", "Asked too often or for too much"),
    errors.StalledError: Kind(408, "stalled", "Client stopped reading"),
}
MALFORMED_JSON: Final = Kind(400, "malformed-json", "Body is not JSON")
INVALID: Final = Kind(422, "invalid-request", "Request is not valid")
INTERNAL: Final = Kind(500, "internal-error", "Internal error", f"this is a fault of the server; {_SEE_LOG}")
_OF_STATUS: Final = {
    400: Kind(400, "bad-request", "Bad request"),
    401: Kind(401, "key-needed", "A key is needed"),
    403: Kind(403, "forbidden", "Not allowed"),
    404: Kind(404, "not-found", "Nothing at this address"),
    405: Kind(405, "method-not-allowed", "Method not allowed"),
    406: Kind(406, "not-acceptable", "No such format"),
    408: Kind(408, "too-slow", "Body came too slowly"),
    413: KINDS[errors.TooMuchError],
    415: Kind(415, "unsupported-media-type", "Wrong content type"),
    421: Kind(421, "unknown-host", "Not a name of this server"),
    501: Kind(501, "not-installed", "Not installed here"),
    503: Kind(503, "not-ready", "Not ready"),
}


class ProblemMap:
    """Turns exceptions into problem documents."""

    def __init__(self, avatars_dir: Path) -> None:
        """Set what is to be left out of messages: where the avatars lie."""
        self._avatars_dir = avatars_dir

    def of(self, error: Exception, instance: str) -> Problem:
        """Describe an error; one that nobody foresaw is logged whole and described as internal.

        Args:
            error: of any kind.
            instance: path of the request.
        """
        if isinstance(error, HTTPException):
            kind = _OF_STATUS.get(error.status_code, Kind(error.status_code, "http-error", "HTTP error"))
            return _problem(kind, str(error.detail), instance)
        if isinstance(error, RequestValidationError):
            return _invalid(error, instance)
        kind = next((KINDS[base] for base in type(error).__mro__ if base in KINDS), INTERNAL)
        if kind.private:
            logger.error("%s: %s", instance, error, exc_info=error)
            return _problem(kind, kind.private, instance)
        problem = _problem(kind, without_folder(str(error), self._avatars_dir), instance)
        voices = error.voices if isinstance(error, errors.TextRejectedError) else ()
        return problem.model_copy(update={"voices": list(voices)}) if voices else problem

    async def answer(self, request: Request, error: Exception) -> JSONResponse:
        """An exception handler."""
        problem = self.of(error, request.url.path)
        request.app.state.metrics.errors.labels(type=problem.type).inc()
        headers = dict(getattr(error, "headers", None) or {})
        if problem.status == 503:
            headers.setdefault("Retry-After", "1" if isinstance(error, errors.BusyError) else "10")
        return JSONResponse(
            problem.model_dump(exclude_none=True), problem.status, headers=headers, media_type=MEDIA_TYPE
        )


def _problem(kind: Kind, detail: str, instance: str, fields: list[FieldError] | None = None) -> Problem:
    return Problem(
        type=kind.type, title=kind.title, status=kind.status, detail=detail, instance=instance, errors=fields
    )


def _invalid(error: RequestValidationError, instance: str) -> Problem:
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return _problem(MALFORMED_JSON, "the body is not JSON; send an object as /openapi.json describes it", instance)
    fields = [FieldError(field=_field(item["loc"]), message=str(item["msg"])) for item in found]
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields[:3])
    return _problem(INVALID, detail, instance, fields)


def _field(location: tuple[Any, ...]) -> str:
    inner = [str(part)[:64] for part in location if part not in ("body", "query", "path", "header")]
    return ".".join(inner) or "body"


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` of a route that may answer with these problems."""
    every = [*KINDS.values(), MALFORMED_JSON, INVALID, INTERNAL, *_OF_STATUS.values()]
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({400, 401, 403, 408, 421, 429, 500, *statuses}):
        titles = dict.fromkeys(f"{kind.title} (`{kind.type}`)" for kind in every if kind.status == status)
        schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
        described[status] = {"description": "; ".join(titles), "content": {MEDIA_TYPE: schema}}
    return described
