"""A conversation over /ws: what its listener is told goes to whoever is connected at the time."""

from __future__ import annotations

import contextlib
from typing import Protocol

from starlette.websockets import WebSocketDisconnect

from services.conversation.conversation import Conversation, Conversations
from services.errors import LiveOrderError
from services.live.service import Line
from services.live.wire import Message, text


class Connection(Protocol):
    """Of a client."""

    async def send(self, messages: list[Message]) -> None: ...

    async def tell_problem(self, error: Exception) -> None: ...


def conversation_of(conversations: Conversations | None) -> dict[str, bool]:
    """What a client is told of it: whether questions are answered, and whether they may be spoken."""
    return {"text": conversations is not None, "speech": conversations is not None and conversations.understands_speech}


def answering(line: Line) -> Conversation:
    """Whoever answers in a session.

    Raises:
        LiveOrderError: nobody does.
    """
    if line.conversation is None:
        raise LiveOrderError("nobody answers here: this server's operator has named no language model")
    return line.conversation


class Told:
    """A listener; a connection that is gone misses what is told meanwhile, and the answer goes on."""

    def __init__(self, line: Line) -> None:
        """Of this session."""
        self._line = line

    async def heard(self, turn: int, question: str) -> None:
        await self._tell(text("heard", turn=turn, text=question))

    async def answer(self, turn: int, piece: str, done: bool) -> None:
        await self._tell(text("answer", turn=turn, text=piece, done=done))

    async def failed(self, error: Exception) -> None:
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await connection.tell_problem(error)

    def given(self, epoch: int, piece: str) -> None:
        self._line.record.given(epoch, "text", piece.encode())

    @property
    def _connection(self) -> Connection | None:
        return self._line.connection  # type: ignore[return-value]

    async def _tell(self, message: Message) -> None:
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await connection.send([message])
