"""What routes say of their answers in OpenAPI, as far as their types cannot."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from services.http.problems import documented
from services.http.schemas import Problem

Responses = dict[int | str, dict[str, Any]]

_NDJSON: Final = (
    '{"type":"header","version":1,"utterance":"u-0123456789abcdef","avatar":"demo","fps":25,"width":512,"height":512,'
    '"sample_rate":16000,"samples_per_frame":640,"start_frame":0,"direction":1,"voice":"flite:slt","engine":"flite",'
    '"ai_generated":true,"consent":"synthetic"}\n'
    '{"type":"frame","index":0,"pts":0.0,"template_index":0,"image":"<base64 JPEG>","audio":"<base64 PCM s16le>"}\n'
    '{"type":"end","frames":1,"duration_s":0.04,"template_index":1,"direction":1}\n'
)
_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_LINES: Final = {"schema": {"type": "string"}, "example": _NDJSON}
_GENERATED_HEADERS: Final = {
    "X-Utterance-Id": {"description": "name of the utterance", "schema": {"type": "string"}},
    "X-AI-Generated": {"description": "picture and sound are generated", "schema": {"type": "string"}},
}
_CONSENT_HEADER: Final = {
    "X-Avatar-Consent": {
        "description": "of the person that is shown: recorded, synthetic (it is nobody) or none",
        "schema": {"type": "string", "enum": ["recorded", "synthetic", "none"]},
    }
}

ANIMATION: Final[Responses] = {
    200: {
        "description": "the animation, sent while it is generated; Accept chooses the format",
        "content": {"application/x-ndjson": _LINES, "video/mp4": _BINARY, "multipart/x-mixed-replace": _BINARY},
        "headers": _GENERATED_HEADERS,
    },
    **documented(404, 406, 410, 413, 415, 422, 503),
}
ANIMATED_PHOTO: Final[Responses] = {
    **ANIMATION,
    200: ANIMATION[200] | {"headers": _GENERATED_HEADERS | _CONSENT_HEADER},
    **documented(403, 404, 406, 410, 413, 415, 422, 501, 503),
}
MOVIE: Final[Responses] = {
    200: {
        "description": "the take as a file, sent while it is coded",
        "content": {"video/mp4": _BINARY},
        "headers": _GENERATED_HEADERS,
    },
    **documented(413, 415, 422, 503),
}
PRELOAD: Final[Responses] = documented(410, 413, 415, 422, 501, 503)
TOKEN: Final[Responses] = documented(404, 422)
JOB_BEGUN: Final[Responses] = documented(403, 404, 409, 413, 415, 422, 501, 503)
JOB: Final[Responses] = documented(404, 422)
JOB_CHANGED: Final[Responses] = documented(403, 404, 409, 422)
REPORT: Final[Responses] = {
    200: {"description": "what preparation found out about the recording", "content": {"text/html": {}}},
    **documented(404, 422),
}
PREVIEW: Final[Responses] = {
    200: {"description": "a picture of the training", "content": {"image/jpeg": _BINARY}},
    **documented(404, 422),
}
IDLE: Final[Responses] = {
    200: {
        "description": "template frames with the mouth closed, one line each; JPEG, or WebP with transparency",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    },
    304: {"description": "what the client has is still right"},
    **documented(404, 410, 422, 503),
}
POSTER: Final[Responses] = {
    200: {"description": "a still picture", "content": {"image/jpeg": _BINARY}},
    304: {"description": "what the client has is still right"},
    **documented(404, 410, 422, 503),
}
SPEECH: Final[Responses] = {
    200: {"description": "the speech, 16 bit PCM, mono", "content": {"audio/wav": _BINARY}},
    **documented(404, 410, 422, 503),
}
PLAIN: Final[Responses] = documented()
READY: Final[Responses] = documented(503)
METRICS: Final[Responses] = {
    200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **documented(),
}
DEBUG: Final[Responses] = documented(413, 415, 422)


def describe_problems(app: FastAPI) -> None:
    """Add the problem document to the description; FastAPI itself would call it application/json."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**problem.pop("$defs", {}), "Problem": problem}
        return document

    app.openapi = described  # type: ignore[method-assign]
