"""Stands in for the server in tests of the page: speaks its protocol, draws numbers instead of faces.

Every picture carries a barcode (frame index, template index, speech or idle), a mouth that is open while the tone
sounds, and noise that makes it as heavy as a photograph. The sound has a loud burst at the start of every second.
What an utterance does is said in its text: "seconds=30", "stall=1.0@2.0" (nothing arrives for 1 s from 2.0 s on),
"fail@1.0", "busy", "rate=22050", "pace=0.02" (seconds per frame), "own words" (as captions).

Axes: S audio samples, H W C picture (BGR, uint8).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
import socket
import threading
import time
import wave
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, File, Form, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from recipe.sound import to_pcm16
from tests.conftest import REPOSITORY

SIZE = 256
CELL = 16
FPS = 25
TEMPLATE = 120
LOW, HIGH = 4, 110
BITS = 12
BURST_LEVEL = 0.8
MOUTH_XYXY = (96, 160, 160, 208)
PORTRAIT = [60, 0, 144, SIZE]  # left, top, width, height
VOICED_FRAMES = 15  # then as many silent ones
STATIC = REPOSITORY / "static"
CSP = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:"

# Tells the page when a burst passes through the sound, by the context's own sample count.
TAP = """registerProcessor("tap", class extends AudioWorkletProcessor {
  process([[samples]]) {
    for (let i = 0; i < (samples?.length ?? 0); i += 1) {
      const at = currentFrame + i;
      if (Math.abs(samples[i]) > 0.5 && at - (this.last ?? -1e9) > sampleRate / 10) {
        this.last = at;
        this.port.postMessage(at / sampleRate);
      }
    }
    return true;
  }
});"""

_BACKGROUND_HWC = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 0.7
)


def draw(index: int, template_index: int, speech: bool, opening: int) -> bytes:
    """A JPEG that says which frame it is."""
    picture_HWC = _BACKGROUND_HWC.copy()
    codes = [index + (int(speech) << BITS), template_index]
    for row, code in enumerate(codes):
        for bit in range(SIZE // CELL):
            value = 255 if code >> bit & 1 else 0
            picture_HWC[row * CELL : (row + 1) * CELL, bit * CELL : (bit + 1) * CELL] = value
    left, top, right, bottom = MOUTH_XYXY
    picture_HWC[top - 8 : bottom + 8, left - 8 : right + 8] = (150, 170, 210)
    cv2.ellipse(picture_HWC, ((left + right) // 2, (top + bottom) // 2), (28, 2 + opening), 0, 0, 360, (30, 20, 60), -1)
    return cv2.imencode(".jpg", picture_HWC, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def is_voiced(index: int) -> bool:
    return index // VOICED_FRAMES % 2 == 0


def sound(index: int, rate_hz: int) -> bytes:
    """The samples of a frame: a soft tone or silence, and a burst of 10 ms where a second begins."""
    count = rate_hz // FPS
    t_S = (index * count + np.arange(count)) / rate_hz
    pcm_S = 0.1 * np.sin(2 * np.pi * 300 * t_S) * is_voiced(index)
    if index % FPS == 0:
        burst = rate_hz // 100
        pcm_S[:burst] = BURST_LEVEL * np.sign(np.sin(2 * np.pi * 2000 * t_S[:burst] + 0.1))
    return to_pcm16(pcm_S).tobytes()


def walk(start: int, direction: int, count: int) -> tuple[list[int], int, int]:
    """Like services.avatars.template.TemplateWalk."""
    shown, index = [], start
    for _ in range(count):
        shown.append(index)
        if index >= HIGH:
            direction = -1
        elif index <= LOW:
            direction = 1
        index += direction
    return shown, index, direction


@dataclass
class Told:
    """What the stand-in has been asked and has done."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    active: int = 0
    freed_at: list[float] = field(default_factory=list)
    sent_frames: int = 0
    idle_broken: bool = False
    made: dict[str, Any] = field(default_factory=dict)  # the job of the one avatar that is made
    recording: bytes = b""  # what it is made of
    sessions: dict[str, Any] = field(default_factory=lambda: {"limit": 4, "source": "setting", "measured": None})
    debug: dict[str, bool] = field(default_factory=lambda: {"enabled": False, "save_frames": True, "save_audio": True})


class Said(BaseModel):
    text: str
    avatar: str | None = None
    voice: str | None = None
    speed: float = 1.0
    start_frame: int = 0
    direction: int = 1


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _number(text: str, name: str, default: float) -> float:
    found = re.search(rf"{name}=([\d.]+)", text)
    return float(found.group(1)) if found else default


def problem(status: int, title: str, detail: str, voices: list[str] | None = None, **headers: str) -> Response:
    content = {"type": "/problems/test", "title": title, "status": status, "detail": detail, "instance": "/"}
    content |= {"voices": voices} if voices else {}
    return JSONResponse(content, status, headers=headers, media_type="application/problem+json")


async def _speak(told: Told, text: str, seconds: float, start_frame: int, direction: int) -> AsyncIterator[bytes]:
    rate_hz = int(_number(text, "rate", 16000))
    stall = re.search(r"stall=([\d.]+)@([\d.]+)", text)
    fail = re.search(r"fail@([\d.]+)", text)
    pace_s = _number(text, "pace", 0.01)
    frames = round(seconds * FPS)
    shown, index, direction_after = walk(start_frame, direction, frames)
    told.active += 1
    try:
        yield _line(
            {"type": "header", "version": 1, "utterance": "u-1", "avatar": "drawn", "fps": FPS, "width": SIZE}
            | {"height": SIZE, "sample_rate": rate_hz, "samples_per_frame": rate_hz // FPS, "start_frame": start_frame}
            | {"direction": direction, "voice": None, "engine": None, "ai_generated": True, "consent": "synthetic"}
        )
        due_s = time.monotonic()
        for i, template_index in enumerate(shown):
            if stall and i == round(float(stall.group(2)) * FPS):
                await asyncio.sleep(float(stall.group(1)))
                due_s += float(stall.group(1))
            if fail and i == round(float(fail.group(1)) * FPS):
                told_problem = {"title": "The voice broke", "detail": "The engine stopped.", "status": 500}
                yield _line({"type": "error", "problem": told_problem})
                return
            if i % 50 == 0:
                sentence = "So many words, " * 20 if "long words" in text else f"Sentence {i // 50}."
                if "own words" in text:
                    sentence = text[len(text) * i // frames : len(text) * (i + 50) // frames]
                yield _line({"type": "caption", "index": i // 50, "text": sentence.strip()})
            jpeg = draw(i, template_index, True, 14 if is_voiced(i) else 0)
            picture, pcm = (base64.b64encode(data).decode() for data in (jpeg, sound(i, rate_hz)))
            yield _line(
                {"type": "frame", "index": i, "pts": i / FPS, "template_index": template_index}
                | {"image": picture, "audio": pcm}
            )
            told.sent_frames += 1
            due_s += pace_s
            # With its own words by the clock, so that a busy machine is not slower than it says.
            await asyncio.sleep(max(due_s - time.monotonic(), 0) if "own words" in text else pace_s)
        last = {"frames": frames, "duration_s": frames / FPS, "template_index": index, "direction": direction_after}
        yield _line({"type": "end"} | last)
    finally:
        told.active -= 1
        told.freed_at.append(time.monotonic())


def create_stand_in() -> tuple[FastAPI, Told]:
    """The app and its memory."""
    app, told = FastAPI(), Told()

    @app.middleware("http")
    async def protect(request: Any, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        return response

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/health")
    def health() -> dict[str, Any]:
        speech = {"engine": "flite", "default_voice": "flite:slt", "fallback_reason": None, "degraded": False}
        return {
            "status": "ok",
            "reasons": [],
            "speech": speech,
            "creation": {"enabled": True, "reason": None},
            "limits": {"text_characters": 300, "upload_mb": 8, "upload_s": 600.0},
            "sessions": told.sessions,
        }

    @app.get("/voices")
    def voices() -> dict[str, Any]:
        names = [
            ("flite:slt", "flite", "en-US", "Slt, American"),
            ("espeak:en-gb", "espeak", "en-GB", "British"),
            ("espeak:de", "espeak", "de", "German"),
            ("espeak:cmn", "espeak", "cmn", "Mandarin"),
        ]
        listed = [dict(zip(("name", "engine", "language", "label"), voice, strict=True)) for voice in names]
        return {"voices": listed, "default": "flite:slt"}

    @app.get("/get-tts-audio")
    def speech(text: str, voice: str, speed: float) -> Response:
        told.requests.append({"heard": voice, "text": text, "speed": speed})
        memory = io.BytesIO()
        with wave.open(memory, "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(b"".join(sound(i, 16000) for i in range(10)))
        return Response(memory.getvalue(), media_type="audio/wav")

    @app.get("/avatars")
    def avatars() -> dict[str, Any]:
        metrics = {"generated.opening_r": 0.93, "generated.sharpness_ratio": 0.6}
        drawn = {"name": "drawn", "status": "ok", "default": True, "width": SIZE, "height": SIZE, "synthetic": True}
        drawn["crops"] = {"original": [0, 0, SIZE, SIZE], "portrait": PORTRAIT}
        why = "frames.mp4 is not what avatar.json promises: its hash differs; copy the avatar again"
        broken = {"name": "damaged", "status": "broken", "problem": why, "default": False, "metrics": {}}
        listed = [drawn | {"metrics": metrics, "poster": "/avatar?avatar=drawn"}, broken]
        if told.made.get("state") == "done" or told.made.get("speaks"):
            listed.append(drawn | {"name": told.made["name"], "default": False, "metrics": {}, "poster": "/avatar"})
        return {"avatars": listed}

    @app.post("/avatars", status_code=202)
    async def create(
        name: str = Form(),
        consent: str = Form(""),
        image: UploadFile | None = None,
        video: UploadFile | None = None,
        preset: str | None = Form(None),
        of: str = Form(""),
        background: str = Form(""),
    ) -> Any:
        if name == "taken":
            return problem(409, "The name is taken", "choose another name")
        kind = "image" if image else "video" if video else f"{of} before {background}" if of else "resumed"
        told.requests.append(
            {"create": name, "consent": consent, "kind": kind} | ({"preset": preset} if preset else {})
        )
        told.recording = await video.read() if video else b""
        told.made |= {"name": name, "state": "running", "stage": "fit the ears", "progress": 0.5, "eta_s": 72}
        told.made |= {
            "log": ["It listens."],
            "report": None,
            "problem": None,
            "preview": None,
            "position": None,
            "speaks": False,
        }
        return told.made

    @app.get("/avatars/{name}/job")
    def job(name: str) -> Any:
        return told.made

    @app.get("/avatars/{name}/job/preview")
    def preview(name: str, of: int) -> Response:
        return Response(draw(of, 0, False, 0), media_type="image/jpeg")

    @app.delete("/avatars/{name}/job", status_code=202)
    def cancel(name: str) -> Any:
        told.made["state"] = "cancelled"
        return told.made

    @app.delete("/avatars/{name}", status_code=204)
    def remove(name: str, confirm: str) -> None:
        told.requests.append({"remove": name, "confirm": confirm})
        told.made.clear()

    @app.get("/avatar")
    def still() -> Response:
        return Response(draw(0, 0, False, 0), media_type="image/jpeg")

    @app.get("/avatar/frames")
    def idle(first: int, count: int) -> Response:
        if told.idle_broken:
            return problem(500, "The avatar is damaged", "Its frames cannot be read.")
        lines = [
            {"type": "header", "media": "image/jpeg", "fps": FPS, "width": SIZE, "height": SIZE}
            | {"frames": TEMPLATE, "low": LOW, "high": HIGH}
        ]
        for i in range(first, min(first + count, TEMPLATE)):
            image = base64.b64encode(draw(0, i, False, 0)).decode()
            lines.append({"type": "frame", "template_index": i, "image": image})
        return Response(b"".join(map(_line, [*lines, {"type": "end"}])), media_type="application/x-ndjson")

    @app.post("/generate")
    async def generate(said: Said) -> Response:
        told.requests.append(said.model_dump())
        if "busy" in said.text:
            return problem(503, "The server is busy", "All 4 places are taken.", **{"Retry-After": "2"})
        if "unspeakable" in said.text and said.voice != "espeak:cmn":
            return problem(422, "Text cannot be spoken", "Flite does not speak 你.", ["espeak:cmn"])
        seconds = _number(said.text, "seconds", 3)
        return StreamingResponse(_speak(told, said.text, seconds, said.start_frame, said.direction))

    @app.post("/takes/mp4")
    async def mp4(take: str = Form(), pictures: UploadFile = File(), sound: UploadFile = File()) -> Response:  # noqa: B008
        sent = json.loads(take) | {"pictures": len(await pictures.read()), "sound": len(await sound.read())}
        told.requests.append({"mp4": sent})
        await asyncio.sleep(0.3)
        return Response(b"an mp4", media_type="video/mp4")

    @app.post("/generate-from-audio")
    async def from_audio(file: UploadFile, start_frame: int = Form(0), direction: int = Form(1)) -> Response:
        data = await file.read()
        try:
            with wave.open(io.BytesIO(data)) as recording:
                seconds = recording.getnframes() / recording.getframerate()
        except (wave.Error, EOFError):
            return problem(415, "Not a recording", f"{file.filename} cannot be decoded as sound; send a WAV or MP3.")
        told.requests.append({"file": file.filename, "start_frame": start_frame})
        return StreamingResponse(_speak(told, "", seconds, start_frame, direction))

    @app.get("/debug/status")
    def debug_status() -> dict[str, bool]:
        return told.debug

    @app.post("/debug/config")
    def debug_config(config: dict[str, bool]) -> dict[str, bool]:
        told.debug.update(config)
        return told.debug

    @app.get("/tap.js")
    def tap() -> Response:
        return Response(TAP, media_type="text/javascript")

    app.mount("/static", StaticFiles(directory=STATIC))
    return app, told


@contextlib.contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """Run an app in a thread; its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the test server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
