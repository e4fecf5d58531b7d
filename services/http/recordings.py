"""The recording in a form: `file`, or as SyncTalk_2D's clients call it, `audio_file` or `audio`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import File, Request, UploadFile
from fastapi.exceptions import RequestValidationError

from services.http import schemas


@dataclass(frozen=True, slots=True)
class Recording:
    """An upload, and by which name it came."""

    file: UploadFile
    name: str

    def wants_pictures(self, request: Request, delivery: schemas.Delivery) -> bool:
        """Whether its client expects MJPEG: it uses the names of one that knows nothing else, and asks for nothing."""
        accept = request.headers.get("accept", "*/*")
        return self.name != "file" and delivery.format is None and accept in ("", "*/*")


def recording(
    file: Annotated[UploadFile | None, File(description="the recording")] = None,
    audio_file: Annotated[UploadFile | None, File(description="the same, as other systems call it")] = None,
    audio: Annotated[UploadFile | None, File(description="the same, as other systems call it")] = None,
) -> Recording:
    """The one that was sent.

    Raises:
        RequestValidationError: there is none, or more than one.
    """
    sent = {"file": file, "audio_file": audio_file, "audio": audio}
    found = [Recording(upload, name) for name, upload in sent.items() if upload is not None]
    if len(found) != 1:
        message = "Field required" if not found else f"send one recording, not {len(found)}"
        raise RequestValidationError([{"type": "value_error", "loc": ("body", "file"), "msg": message}])
    return found[0]
