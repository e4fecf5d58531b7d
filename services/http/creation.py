"""Avatars made of a photo or a recording, by jobs that may take hours, and removed again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, UploadFile
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from services.creation.jobs import Job, Kind, Preset, State
from services.creation.service import Creation, Wish
from services.creation.told import read_log
from services.http import openapi, schemas
from services.http.dependencies import Creator, content_type
from services.http.photos import Film, Picture

router = APIRouter(tags=["avatars"])

# The page is self-contained: pictures and styles lie inside it, and nothing else of it may work.
_REPORT_CSP: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
_ONLY_STAGE: Final = {"photo": "look at the photo", "copy": "put something else behind the person"}
Name = Annotated[str, InPath(description="of the avatar", max_length=200)]


class JobInfo(BaseModel):
    """How far the making of an avatar is."""

    name: str
    kind: Kind = Field(description="what it is made of")
    preset: Preset | None = Field(description="how long is trained; null for a photo")
    state: State = Field(
        description="interrupted: the server ended meanwhile; like cancelled and failed, POST /avatars resumes it"
    )
    position: int | None = Field(description="how many are before it in the queue; null: it does not wait")
    stage: str = Field(description="what is done at the moment, or was last", examples=["fit the ears"])
    stage_number: int = Field(description="from 1; 0 before the first")
    stages: int
    progress: float = Field(ge=0, le=1, description="every stage counts alike, however long it takes")
    eta_s: int | None = Field(description="seconds until the stage's present part is done, as far as it is known")
    log: list[str] = Field(description="the last lines that the program said")
    problem: str | None = Field(description="why it failed")
    speaks: bool = Field(description="its avatar can be used, as it is while a face network is still trained")
    report: str | None = Field(description="where the report on the recording is, once it is there")
    preview: str | None = Field(
        description="where the newest picture of the training is, once there is one: held-out frames as filmed, as "
        "drawn from the sound, as drawn in silence"
    )
    queued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@router.post(
    "/avatars",
    status_code=202,
    responses=openapi.JOB_BEGUN,
    dependencies=[content_type("multipart/form-data")],
)
def create(
    creation: Creator,
    name: Annotated[str, Form(max_length=200, description="the avatar will be called that", examples=["ada"])],
    image: Picture = None,
    video: Film = None,
    consent: Annotated[schemas.Consent, Form()] = "",
    synthetic: Annotated[bool, Form(description="nobody real is shown")] = False,
    preset: Annotated[Preset, Form(description="of a recording: how long is trained")] = "film",
    of: Annotated[str, Form(max_length=200, description="an avatar that is copied, instead of a file")] = "",
    background: Annotated[
        str, Form(pattern=r"^(blur|#[0-9a-f]{6})?$", description="of a copy: blur, or a colour as #rrggbb")
    ] = "",
) -> JobInfo:
    """Begin a job that makes an avatar of a photo or a recording, or copies one before another background; without
    any of them, resume the one of that name."""
    sent: list[tuple[Kind, UploadFile]] = []
    if image is not None:
        sent.append(("photo", image))
    if video is not None:
        sent.append(("video", video))
    if len(sent) > 1:
        message = "send one of image and video, or neither to resume"
        raise RequestValidationError([{"type": "value_error", "loc": ("body", "image"), "msg": message}])
    if bool(of) != bool(background) or (of and sent):
        message = "a copy needs the fields of and background, and no file"
        raise RequestValidationError([{"type": "value_error", "loc": ("body", "background"), "msg": message}])
    if of:
        return _told(creation, creation.copy(name, of, background))
    if not sent:
        return _told(creation, creation.resume(name))
    kind, upload = sent[0]
    return _told(creation, creation.begin(Wish(name, consent, synthetic, preset), kind, upload.file))


@router.get("/avatars/{name}/job", responses=openapi.JOB)
def job(name: Name, creation: Creator) -> JobInfo:
    """How far the making of an avatar is."""
    return _told(creation, creation.workshop.store.find(name))


@router.get("/avatars/{name}/job/report", responses=openapi.REPORT, response_class=FileResponse)
def report(name: Name, creation: Creator) -> FileResponse:
    """What preparation found out about the recording: a page."""
    creation.workshop.store.find(name)
    path = creation.report(name)
    if path is None:
        raise HTTPException(404, f"there is no report on the recording of {name!r} (yet)")
    return FileResponse(
        path, media_type="text/html", headers={"Content-Security-Policy": _REPORT_CSP, "Cache-Control": "no-store"}
    )


@router.get("/avatars/{name}/job/preview", responses=openapi.PREVIEW, response_class=FileResponse)
def preview(name: Name, creation: Creator) -> FileResponse:
    """What the face network draws so far: held-out frames as filmed, as drawn from the sound, as drawn in silence."""
    creation.workshop.store.find(name)
    path = creation.preview(name)
    if path is None:
        raise HTTPException(404, f"there is no picture of the training of {name!r} (yet); a film or a photo has none")
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.delete("/avatars/{name}/job", status_code=202, responses=openapi.JOB_CHANGED)
def cancel(name: Name, creation: Creator) -> JobInfo:
    """Take a job out of the queue, or ask it to end; what it has trained stays, and it can be resumed."""
    creation.check_on()
    return _told(creation, creation.workshop.cancel(name))


@router.delete("/avatars/{name}", status_code=204, responses=openapi.JOB_CHANGED)
def remove(
    name: Name, creation: Creator, confirm: Annotated[str, Query(description="the name again", max_length=200)]
) -> None:
    """Remove an avatar, its recording, what was made and trained of it, its job, and all kept answers."""
    if confirm != name:
        message = f"to remove {name!r}, send its name: confirm={name}"
        raise RequestValidationError([{"type": "value_error", "loc": ("query", "confirm"), "msg": message}])
    creation.remove(name)


def _told(creation: Creation, job: Job) -> JobInfo:
    told = read_log(creation.workshop.store.log(job.name))
    done = job.state == "done"
    report = job.kind == "video" and creation.report(job.name) is not None
    preview = creation.preview(job.name) if job.kind == "video" else None
    return JobInfo(
        name=job.name,
        kind=job.kind,
        preset=job.preset if job.kind == "video" else None,
        state=job.state,
        position=creation.workshop.position(job) if job.state == "queued" else None,
        stage=told.stage or _ONLY_STAGE.get(job.kind, ""),
        stage_number=told.number,
        stages=told.stages,
        progress=1.0 if done else round(told.progress, 3),
        eta_s=told.left_s if job.state == "running" else None,
        log=list(told.lines),
        problem=(told.problem or f"the program ended with code {job.exit_code}") if job.state == "failed" else None,
        speaks=creation.speaks(job.name),
        report=f"/avatars/{job.name}/job/report" if report else None,
        preview=f"/avatars/{job.name}/job/preview?of={preview.stem.removeprefix('preview_')}" if preview else None,
        queued_at=job.queued_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
    )
