"""Endpoints by which clients of portrait systems on Gradio call: gradio itself, without its pages.

    process_talking_head(sound, picture) -> video
    process_talking_head_optimized(sound, picture, token) -> video     of the one or the other
    preload_avatar(picture) -> token
    clear_cache() -> a sentence

gradio keeps uploads and answers in its own temporary folder; they go when their time is over, and when the server
stops. These clients send no consent, so a server that others can reach refuses what they ask.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator
from dataclasses import replace
from io import BytesIO
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import Scope

from services.animation_service import AnimationService
from services.avatars.photo_studio import PhotoWish
from services.http.problems import ProblemMap
from services.streaming.events import Event
from services.streaming.mp4 import MEDIA_TYPE, encode_fragmented_mp4
from services.streaming.results import ResultFolder
from services.utterance import UploadedSound, new_utterance

T = TypeVar("T")

UPLOAD: Final = "/gradio_api/upload"
# What its clients call. gradio's pages, its proxy and its history are not to be had.
_ALLOWED: Final = re.compile(
    r"/config/?|/gradio_api/(upload|call/\w+(/\w+)?|info/?|queue/(join|data)|file=(?!https?:).*|heartbeat/\w+|cancel|reset/?)"
)
_TIDY_S: Final = 60


def in_event_loop(work: Callable[[], T]) -> T:
    """What `work` returns; where no event loop runs, gradio would make several and close none."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:

        async def within() -> T:
            return work()

        return asyncio.run(within())
    return work()


class _ClientsOnly(Mount):
    """gradio's application, as far as its clients need it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        allowed = scope["type"] == "http" and _ALLOWED.fullmatch(scope["path"])
        return super().matches(scope) if allowed else (Match.NONE, {})


def mount_gradio(
    app: FastAPI,
    animations: AnimationService,
    results: ResultFolder,
    problems: ProblemMap,
    *,
    at_once: int,
    upload_mb: int,
    keep_s: float,
    public: bool,
) -> None:
    """Add the endpoints to an application.

    Args:
        app: the routes it has already go first.
        animations: does the work.
        results: where the videos are written first.
        problems: says what went wrong.
        at_once: calls of one endpoint at a time; more wait.
        upload_mb: largest upload, MiB.
        keep_s: how long gradio keeps what came and went.
        public: others can reach this server.
    Raises:
        ImportError: gradio is not installed.
    """
    import gradio

    calls = _Calls(animations, results, public)

    def told(work: Callable[..., T]) -> Callable[..., T]:
        """With its errors as gradio's clients get them."""

        def call(*given: Any) -> T:
            try:
                return work(*given)
            except Exception as error:  # a call's outer edge
                raise gradio.Error(problems.of(error, UPLOAD).detail, print_exception=False) from error

        return call

    def mount() -> None:
        with gradio.Blocks(analytics_enabled=False, delete_cache=(_TIDY_S, max(int(keep_s), 1))) as blocks:
            first, second = (gradio.File(type="binary", visible=False) for _ in range(2))  # by path leaves a file
            text, video = gradio.Textbox(visible=False), gradio.Video(visible=False)
            for name, work, given, answer in (
                ("process_talking_head", calls.speak, [first, second], video),
                ("process_talking_head_optimized", calls.speak, [first, second, text], video),
                ("preload_avatar", calls.preload, [first], text),
                ("clear_cache", calls.clear, [], text),
            ):
                gradio.on(None, told(work), given, answer, api_name=name)
        blocks.queue(default_concurrency_limit=at_once)
        gradio.mount_gradio_app(
            app,
            blocks,
            "",
            allowed_paths=[str(results.folder)],
            max_file_size=upload_mb << 20,
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
        )

    in_event_loop(mount)
    mounted = app.router.routes.pop()
    assert isinstance(mounted, Mount)
    app.router.routes.append(_ClientsOnly("", mounted.app))


class _Calls:
    """What the endpoints do, in gradio's threads."""

    def __init__(self, animations: AnimationService, results: ResultFolder, public: bool) -> None:
        self._animations = animations
        self._results = results
        self._public = public

    def speak(self, first: bytes | None, second: bytes | None, token: str = "") -> str:
        """A picture, or what is kept under a token, says a sound; clients send the two in either order."""
        sound, picture = (second, first) if _is_sound(second) and not _is_sound(first) else (first, second)
        if not sound or not (picture or token):
            raise HTTPException(422, "send a sound, and a picture or a token")
        utterance = new_utterance()

        def encode(events: Generator[Event, None, None]) -> Generator[bytes, None, None]:
            coded = self._animations.finished_file(encode_fragmented_mp4(events), MEDIA_TYPE, f"{utterance}.mp4")
            return self._results.written(utterance, coded)

        if token:
            begin = self._animations.photos.again(self._animations.photos.kept.find(token))
        else:
            begin = self._animations.photos.once(BytesIO(picture or b""), PhotoWish())
        return b"".join(
            self._animations.start(utterance, UploadedSound(BytesIO(sound)), replace(begin, who="gradio"), encode)
        ).decode()

    def preload(self, picture: bytes | None) -> str:
        """Keep a photo's avatar; gives its token."""
        if not picture:
            raise HTTPException(422, "send a picture")
        (token,) = self._animations.photos.preload(BytesIO(picture), PhotoWish())
        return token.decode()

    def clear(self) -> str:
        """Forget all that are kept."""
        if self._public:
            raise HTTPException(403, "this server can be reached by others: what is kept goes when it is started anew")
        return f"{self._animations.photos.kept.clear()} avatars were forgotten"


def _is_sound(content: bytes | None) -> bool:
    """By how the usual sound files begin; others are taken for what stands at their place."""
    begin = (content or b"")[:12]
    return begin.startswith((b"ID3", b"fLaC", b"OggS", b"\xff\xfb")) or (begin[:4], begin[8:]) == (b"RIFF", b"WAVE")
