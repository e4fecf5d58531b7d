"""The live session over a WebSocket: docs/protocol.md. A thin adapter; services/live/ does the work.

hello -> LiveService.open -> (what the client asks -> session) beside (session -> messages)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, MutableMapping
from functools import partial
from typing import Any, Final

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from recipe.errors import UserError
from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, FPS, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from services.access.quotas import Quotas
from services.avatars.template import TemplateStep, turning_frames
from services.conversation.conversation import Conversations
from services.errors import BusyError, LiveOrderError
from services.http import live_schemas as asked
from services.http.live_talk import Told, answering, conversation_of
from services.live.events import Failed
from services.live.ledger import AHEAD_FRAMES
from services.live.service import RESUME_S, Line, LiveService
from services.live.wire import HEADER, TIERS, VERSION, Message, sound_given, text

router = APIRouter()
logger = logging.getLogger(__name__)

_HELLO_S: Final = 10.0  # for a client to say who it is
_POLICY, _TRY_AGAIN, _TAKEN_OVER, _NORMAL = 1008, 1013, 4001, 1000  # why a connection is closed
_GONE: Final = 1006  # nothing can be sent any more; why, is read behind all that the client sent before


@router.websocket("/ws")
async def live(websocket: WebSocket) -> None:
    """One connection."""
    await websocket.accept()
    connection = _Connection(websocket)
    with contextlib.suppress(WebSocketDisconnect):
        await connection.run()


class _Connection:
    """A client, from its hello to its end."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._settings = websocket.app.state.settings
        self._service: LiveService = websocket.app.state.parts.live
        self._conversations: Conversations | None = websocket.app.state.parts.conversations
        self._sending = asyncio.Lock()
        self._replaced, self._left = asyncio.Event(), asyncio.Event()
        gate, key = websocket.app.state.gate, getattr(websocket.state, "key", None)
        self._quotas: Quotas | None = gate.quotas if gate is not None and key is not None else None
        self._key_name = "" if key is None else key.name
        self._rate_hz = 0  # of the sound that comes; 0 while none is announced
        self._is_question = False  # that sound is not said, but answered

    async def run(self) -> None:
        try:
            hello = await asyncio.wait_for(self._hello(), _HELLO_S)
            line = await self._line(hello)
        except (UserError, HTTPException, RequestValidationError, TimeoutError, ValueError) as error:
            known = HTTPException(408, "no hello came; send it first") if isinstance(error, TimeoutError) else error
            await self._tell_problem(known, fatal=True)
            await self._websocket.close(_TRY_AGAIN if isinstance(error, BusyError) else _POLICY)
            return
        line.connection, line.lost_at = self, None
        if self._conversations is not None and line.conversation is None:
            line.conversation = self._conversations.begin(line.session, line.model.avatar.name)
        received = None if hello.resume is None else hello.resume.sequence
        for_good = False
        try:
            forward = self._forward(line, received, self._welcome(line, hello))
            for_good = await self._first_of(forward, self._answer(line), self._until_replaced())
        finally:
            if for_good and line.conversation is not None:
                await line.conversation.cancel()
            self._service.leave(line, self, for_good)
            self._left.set()
        if self._replaced.is_set():  # a network that is gone may keep this waiting, but nobody else
            await self._close(_TAKEN_OVER)

    async def _first_of(self, *work: Coroutine[Any, Any, bool]) -> bool:
        """Whichever is over first decides; True if the session is over with the connection."""
        tasks = [asyncio.create_task(one) for one in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return any(task.result() for task in done)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- handshake --------------------------------------------------------------------------------
    async def _hello(self) -> asked.Hello:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", _NORMAL))
        try:
            hello = asked.HELLO.validate_json(message.get("text") or "")
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error
        if hello.version != VERSION:
            raise HTTPException(422, f"protocol version {hello.version} is not spoken here; speak version {VERSION}")
        if hello.tier is None:
            raise HTTPException(422, f"none of the tiers {hello.tiers} is known here; there are {', '.join(TIERS)}")
        return hello

    async def _line(self, hello: asked.Hello) -> Line:
        if hello.resume is not None:
            line = self._service.resume(hello.resume.session)
            if isinstance(line.connection, _Connection):
                await line.connection.taken_over()
            return line
        avatar = self._settings.models.default_avatar if hello.avatar is None else hello.avatar
        assert hello.tier is not None
        who = self._key_name or ("anyone" if self._settings.public else "local")
        spend = None if self._quotas is None else partial(self._quotas.spend, self._key_name)
        return await run_in_threadpool(self._service.open, avatar, hello.tier, hello.idle, spend, who)

    async def _until_replaced(self) -> bool:
        await self._replaced.wait()
        return False

    async def taken_over(self) -> None:
        """Another connection of the same client goes on; returns when this one takes nothing of the session any more.

        The client may have lost this connection without a word, so nothing that is sent over it is waited for.
        """
        self._replaced.set()
        await self._left.wait()

    def _welcome(self, line: Line, hello: asked.Hello) -> str:
        avatar = line.model.avatar
        manifest, (low, high) = avatar.manifest, turning_frames(avatar.motion_T)
        route = self._websocket.app.state.route
        return text(
            "welcome",
            version=VERSION,
            session=line.key,
            **({"route": route} if route else {}),
            resumed=hello.resume is not None,
            resume_s=RESUME_S,
            avatar=avatar.name,
            tier=line.tier,
            idle=line.idle,
            fps=FPS,
            width=manifest.width,
            height=manifest.height,
            frames=manifest.frames,
            low=low,
            high=high,
            template=f"/avatar/frames?avatar={avatar.name}",
            ahead_frames=AHEAD_FRAMES,
            lookahead_s=round((SAMPLES_PER_FRAME + AUDIO_LOOKAHEAD_SAMPLES) / SAMPLE_RATE_HZ, 3),
            epoch=line.session.epoch,
            conversation=conversation_of(self._conversations),
            ai_generated=True,
            consent=avatar.consent,
        )

    # --- out --------------------------------------------------------------------------------------
    async def _forward(self, line: Line, received: int | None, welcome: str) -> bool:
        """Send what happens; True when the session is over."""
        try:
            await self._send([welcome])
            async for event, messages in line.outgoing(received):
                if isinstance(event, Failed):
                    await self._tell_problem(event.error, fatal=False, epoch=event.epoch)
                async with self._sending:
                    for message in messages:
                        if not line.is_stale(event):
                            await self._put(message)
        except WebSocketDisconnect as left:
            if left.code == _GONE:
                await asyncio.sleep(RESUME_S)  # `_answer` reads how it was closed, and ends this
            raise
        except Exception as error:  # the session's outer edge
            await self._tell_problem(error, fatal=True)
            await self._close(_POLICY)
            return True
        await self._close(_NORMAL)
        return True

    async def _close(self, code: int) -> None:
        """Say goodbye, unless nothing can be sent any more."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.close(code)

    async def send(self, messages: list[Message]) -> None:
        """What does not belong to the stream of frames."""
        await self._send(messages)

    async def tell_problem(self, error: Exception) -> None:
        """Something went wrong, and the session goes on."""
        await self._tell_problem(error, fatal=False)

    async def _send(self, messages: list[Message]) -> None:
        async with self._sending:
            for message in messages:
                await self._put(message)

    async def _put(self, message: Message) -> None:
        """A client that reads nothing for too long is left."""
        send = self._websocket.send_bytes if isinstance(message, bytes) else self._websocket.send_text
        try:
            async with asyncio.timeout(self._settings.limits.stall_s):  # wait_for of 3.11 may lose a cancellation
                await send(message)  # type: ignore[arg-type]
        except TimeoutError:
            raise WebSocketDisconnect(_POLICY, "the client stopped reading") from None
        except RuntimeError as error:  # it was closed here meanwhile
            raise WebSocketDisconnect(_GONE, str(error)) from None

    async def _tell_problem(self, error: Exception, fatal: bool, **fields: Any) -> None:
        state = self._websocket.app.state
        problem = state.problems.of(error, self._websocket.url.path)
        state.metrics.errors.labels(type=problem.type).inc()
        if problem.status == 503:
            fields["retry_after_s"] = 1 if isinstance(error, BusyError) else 10
        await self._send([text("error", fatal=fatal, problem=problem.model_dump(exclude_none=True), **fields)])

    # --- in ---------------------------------------------------------------------------------------
    async def _answer(self, line: Line) -> bool:
        """Do what is asked; True when the client says goodbye, False when it is cut off."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return message.get("code") in (_NORMAL, 1001)  # it closed the session, or the page went
            try:
                if await self._take(line, message):
                    await self._close(_NORMAL)
                    return True
            except WebSocketDisconnect as left:
                if left.code != _GONE:  # else it goes on to how it was closed
                    raise

    async def _take(self, line: Line, message: MutableMapping[str, Any]) -> bool:
        """True when it says goodbye."""
        try:
            if message.get("text") is not None:
                return await self._do(line, message["text"])
            self._hear(line, message["bytes"])
        except (UserError, RequestValidationError, ValueError) as error:
            await self._tell_problem(error, fatal=False)
        return False

    def _hear(self, line: Line, message: bytes) -> None:
        pcm_S = sound_given(message)
        if not self._rate_hz:
            raise LiveOrderError("sound came unannounced; send append_audio with its sample_rate first")
        if self._is_question and line.conversation is not None:
            line.conversation.hear(pcm_S)
            return
        line.record.given(line.session.push(pcm_S, self._rate_hz), "sound", message[HEADER.size :])

    async def _do(self, line: Line, message: str) -> bool:
        try:
            wish = asked.ASKED.validate_json(message)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error
        session = line.session
        if self._quotas is not None and isinstance(
            wish, asked.Speak | asked.AppendText | asked.AppendAudio | asked.Ask
        ):
            self._quotas.check_seconds(self._key_name)
        if isinstance(wish, asked.Shown):
            line.acknowledge(wish.sequence)
        elif isinstance(wish, asked.Speak | asked.AppendText):
            say = session.speak if isinstance(wish, asked.Speak) else session.append_text
            epoch = await run_in_threadpool(say, wish.text, wish.voice, wish.speed)
            line.record.given(epoch, "text", wish.text.encode())
        elif isinstance(wish, asked.AppendAudio):
            session.end()
            self._rate_hz, self._is_question = wish.sample_rate, False
        elif isinstance(wish, asked.Listen):
            answering(line).listen(wish.sample_rate)
            self._rate_hz, self._is_question = wish.sample_rate, True
        elif isinstance(wish, asked.Ask):
            await answering(line).ask(wish.text, Told(line), wish.voice, wish.speed)
        elif isinstance(wish, asked.End):
            session.end()
        elif isinstance(wish, asked.Cancel):
            with self._websocket.app.state.metrics.cancel_s.time():
                if line.conversation is not None:
                    await line.conversation.cancel()
                finished = session.clear(wish.samples)
                stopped = {"epoch": finished.epoch, "samples": finished.samples, "interrupted": finished.interrupted}
                await self._send([text("cancelled", valid_from=session.epoch, **stopped)])
        elif isinstance(wish, asked.Idle):
            session.stands_at(TemplateStep(wish.frame, wish.direction), wish.lead)
        return isinstance(wish, asked.Bye)
