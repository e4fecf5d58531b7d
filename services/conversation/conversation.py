"""One conversation: what somebody says or writes is answered by a language model, and the avatar says the answer while
it is still being written.

A new question, or `cancel`, stops the model; clearing the session stops the voice and the mouth.

Axes: S audio samples.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from recipe.errors import UserError
from services.conversation.language_model import LanguageModel, Message
from services.conversation.recogniser import Recogniser
from services.errors import LiveOrderError, RemoteError, TooMuchError
from services.live.session import LiveSession

_LONGEST_SPEECH_S: Final = 60.0  # of one question
_AGAIN_S: Final = 0.25  # what is written faster than it is said waits
_PIECE: Final = 500  # characters given to the voice at once


class Listener(Protocol):
    """Who is told how the conversation goes."""

    async def heard(self, turn: int, text: str) -> None:
        """The question, as it was understood; turns are counted from 1."""

    async def answer(self, turn: int, text: str, done: bool) -> None:
        """A piece of the answer, as it is written."""

    async def failed(self, error: Exception) -> None:
        """There is no answer, or no more of it."""

    def given(self, epoch: int, text: str) -> None:
        """A piece of it is to be said."""


class Conversation:
    """Of one session; all methods are called in one event loop."""

    def __init__(
        self,
        session: LiveSession,
        model: LanguageModel,
        recogniser: Recogniser | None,
        prompt: str,
        turns: int,
    ) -> None:
        """Nobody said anything yet.

        Args:
            session: says the answers.
            model: writes them.
            recogniser: writes down what is said; None where there is none.
            prompt: tells the model who it is.
            turns: questions and answers that it is reminded of.
        """
        self._session, self._model, self._recogniser = session, model, recogniser
        self._prompt: Message = {"role": "system", "content": prompt}
        self._turns = turns
        self._messages: list[Message] = []
        self._heard: list[NDArray[np.float32]] = []
        self._rate_hz = self._turn = 0
        self._answering: asyncio.Task[None] | None = None

    def listen(self, rate_hz: int) -> None:
        """A question follows as sound.

        Raises:
            LiveOrderError: nothing here understands speech.
        """
        if self._recogniser is None:
            raise LiveOrderError("this server has no recogniser; write instead")
        self._heard, self._rate_hz = [], rate_hz

    def hear(self, pcm_S: NDArray[np.float32]) -> None:
        """More of the question.

        Raises:
            TooMuchError: it is too long.
        """
        if sum(map(len, self._heard)) + len(pcm_S) > _LONGEST_SPEECH_S * self._rate_hz:
            raise TooMuchError(f"a question of more than {_LONGEST_SPEECH_S:g} s is not listened to")
        self._heard.append(pcm_S)

    async def ask(self, text: str | None, listener: Listener, voice: str | None, speed: float) -> None:
        """Answer a question; returns at once. An answer that is still being written is broken off; what was given of
        it is said first, unless the session is cleared before.

        Args:
            text: of the question; None: what was heard.
            listener: is told how it goes.
            voice, speed: of the answer; see services.types.TTSService.
        Raises:
            LiveOrderError: nothing was heard.
        """
        if text is None and not self._heard:
            raise LiveOrderError("nothing was heard; send listen and sound before ask, or a text with it")
        await self.cancel()
        self._turn += 1
        self._answering = asyncio.create_task(self._answer(text, listener, voice, speed))

    async def cancel(self) -> None:
        """Whoever is asking or answering stops; what was given to the session is its business."""
        task, self._answering = self._answering, None
        if task is not None and not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _answer(self, text: str | None, listener: Listener, voice: str | None, speed: float) -> None:
        try:
            question = await self._understood(listener) if text is None else text.strip()
            if question:
                await self._say_answer(question, listener, voice, speed)
        except UserError as error:
            await listener.failed(error)

    async def _understood(self, listener: Listener) -> str:
        assert self._recogniser is not None
        pcm_S, self._heard = np.concatenate(self._heard), []
        text = await self._recogniser.transcribe(pcm_S, self._rate_hz)
        await listener.heard(self._turn, text)
        return text

    async def _say_answer(self, question: str, listener: Listener, voice: str | None, speed: float) -> None:
        self._messages.append({"role": "user", "content": question})
        written: list[str] = []
        try:
            async with contextlib.aclosing(self._model.answer(self._asked())) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    written.append(piece)
                    await listener.answer(self._turn, piece, False)
                    for at in range(0, len(piece), _PIECE):
                        await self._give(piece[at : at + _PIECE], listener, voice, speed)
            if not "".join(written).strip():
                raise RemoteError("the language model answered nothing")
        finally:
            self._session.end()
            if "".join(written).strip():
                self._messages.append({"role": "assistant", "content": "".join(written)})
            else:
                self._messages.pop()
        await listener.answer(self._turn, "", True)

    def _asked(self) -> list[Message]:
        return [self._prompt, *self._messages[1 - 2 * self._turns :]]

    async def _give(self, piece: str, listener: Listener, voice: str | None, speed: float) -> None:
        while True:
            try:
                epoch = self._session.append_text(piece, voice, speed)
            except TooMuchError:
                await asyncio.sleep(_AGAIN_S)
            else:
                listener.given(epoch, piece)
                return


class Conversations:
    """What every conversation of a server has in common."""

    def __init__(
        self, model: LanguageModel, recogniser: Recogniser | None, prompt: str, prompts_dir: Path | None, turns: int
    ) -> None:
        """Take over.

        Args:
            model, recogniser, turns: see Conversation.
            prompt: for every avatar that has none of its own; "{avatar}" in it becomes its name.
            prompts_dir: has NAME.txt for those that have.
        """
        self._model, self._recogniser, self._turns = model, recogniser, turns
        self._prompt, self._prompts_dir = prompt, prompts_dir

    @property
    def understands_speech(self) -> bool:
        """Whether there is a recogniser."""
        return self._recogniser is not None

    def begin(self, session: LiveSession, avatar: str) -> Conversation:
        """A new conversation with an avatar, whose name is known to be one."""
        return Conversation(session, self._model, self._recogniser, self._prompt_of(avatar), self._turns)

    async def close(self) -> None:
        """Give the connections back."""
        await self._model.close()
        if self._recogniser is not None:
            await self._recogniser.close()

    def _prompt_of(self, avatar: str) -> str:
        own = None if self._prompts_dir is None else self._prompts_dir / f"{avatar}.txt"
        if own is not None and own.is_file():
            return own.read_text(encoding="utf-8").strip()
        return self._prompt.replace("{avatar}", avatar)
