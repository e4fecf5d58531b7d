"""A language model behind OpenAI's /v1/chat/completions, whose answer is taken while it is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import httpx2 as httpx

from services.errors import RemoteError
from services.remote import Remote

Message = dict[str, str]

_DATA: Final = "data:"
_DONE: Final = "[DONE]"


class LanguageModel:
    """Writes answers; of one event loop."""

    def __init__(self, remote: Remote, model: str, most_characters: int) -> None:
        """Nothing is asked yet.

        Args:
            remote: where it is.
            model: its name there.
            most_characters: of an answer; the rest is left unsaid.
        """
        self._remote, self._model, self._most_characters = remote, model, most_characters
        self._client = httpx.AsyncClient(**remote.options)

    async def answer(self, messages: Sequence[Message]) -> AsyncIterator[str]:
        """The answer in pieces, cut anywhere; closing the iterator stops the model.

        Raises:
            RemoteError: it cannot be reached, refuses, or breaks off.
        """
        asked = {"model": self._model, "messages": list(messages), "stream": True}
        written = 0
        try:
            async with self._client.stream("POST", self._remote.address("chat/completions"), json=asked) as answer:
                if answer.status_code != 200:
                    raise self._remote.refused(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    if not line.startswith(_DATA):
                        continue
                    data = line.removeprefix(_DATA).strip()
                    if data == _DONE:
                        return
                    if piece := self._piece(data)[: self._most_characters - written]:
                        written += len(piece)
                        yield piece
                    if written >= self._most_characters:
                        return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._remote.failed(error) from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    def _piece(self, data: str) -> str:
        try:
            told: dict[str, Any] = json.loads(data)
            if "error" in told:
                raise self._remote.refused(200, data.encode())
            choices = told.get("choices") or []
            return str((choices[0].get("delta") or {}).get("content") or "") if choices else ""
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise RemoteError(f"the {self._remote.what} does not answer as OpenAI's would") from error
