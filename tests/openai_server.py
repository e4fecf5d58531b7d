"""A small server that speaks OpenAI's protocol: it writes, listens and speaks as its tests tell it."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Form, Request, UploadFile
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from tests.page_server import serve

KEY = "sk-test"


@dataclass
class Told:
    """What it was asked, and how it answers."""

    answer: list[str] = field(default_factory=lambda: ["Good mor", "ning every", "body. It", " is late", " today."])
    pace_s: float = 0.0
    heard: str = "What time is it?"
    status: int = 200
    breaks_after: int | None = None
    chats: list[dict[str, Any]] = field(default_factory=list)
    recordings: list[tuple[str, int, int]] = field(default_factory=list)  # model, rate, samples
    speeches: list[dict[str, Any]] = field(default_factory=list)
    written: int = 0  # pieces that were sent
    redirects: bool = False


def openai_server() -> tuple[FastAPI, Told]:
    app, told = FastAPI(), Told()

    def refusal(request: Request) -> Response | None:
        if told.redirects:
            return RedirectResponse("http://169.254.169.254/latest", 307)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": f"wrong key {KEY}"}}, 401)
        return None if told.status == 200 else JSONResponse({"error": {"message": "secret detail"}}, told.status)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        told.chats.append(await request.json())
        if (refused := refusal(request)) is not None:
            return refused

        async def pieces() -> AsyncIterator[str]:
            yield ": a comment\n\n"
            yield 'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
            for number, piece in enumerate(told.answer):
                if number == told.breaks_after:
                    yield 'data: {"error": {"message": "secret detail"}}\n\n'
                    return
                told.written += 1
                yield f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n"
                await asyncio.sleep(told.pace_s)
            yield 'data: {"choices":[],"usage":{}}\n\ndata: [DONE]\n\n'

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @app.post("/v1/audio/transcriptions")
    async def transcribe(request: Request, file: UploadFile, model: str = Form()) -> Response:
        if (refused := refusal(request)) is not None:
            return refused
        with wave.open(io.BytesIO(await file.read())) as sound:
            told.recordings.append((model, sound.getframerate(), sound.getnframes()))
        return JSONResponse({"text": f" {told.heard} "})

    @app.post("/v1/audio/speech")
    async def speech(request: Request) -> Response:
        asked = await request.json()
        told.speeches.append(asked)
        if (refused := refusal(request)) is not None:
            return refused
        samples = np.arange(24_000 * len(asked["input"].split()) // 4)
        tone = (8000 * np.sin(samples / 9)).astype("<i2").tobytes()

        async def sound() -> AsyncIterator[bytes]:
            for at in range(0, len(tone), 4801):  # an odd number: samples are cut
                yield tone[at : at + 4801]

        return StreamingResponse(sound(), media_type="audio/pcm")

    return app, told


@pytest.fixture(scope="module")
def other() -> Iterator[tuple[str, Told]]:
    app, told = openai_server()
    with serve(app) as address:
        yield f"{address}/v1", told


@pytest.fixture
def told(other: tuple[str, Told]) -> Told:
    """As it was at first."""
    told = other[1]
    told.__init__()  # type: ignore[misc]
    return told
