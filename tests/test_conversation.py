"""Conversation: a language model, a recogniser and a voice of another server, all of them real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from clients.python.avatar328_client import Frame, LiveClient
from config import ConfigError, Tts
from recipe.sound import to_pcm16
from services.container import Services
from services.speech.engines import build_speech
from tests.openai_server import KEY, Told, other, told  # noqa: F401
from tests.service_material import RATE_HZ, app_for, hum, served, settings_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def app(
    other: tuple[str, Told], toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory
) -> FastAPI:
    work = tmp_path_factory.mktemp("work")
    conversation = {
        "url": other[0], "key": KEY, "model": "small", "turns": 2, "answer_characters": 400, "timeout_s": 4.0,
        "recogniser_url": other[0], "recogniser_key": KEY, "recogniser_model": "ears",
        "system_prompt": "You are {avatar}.",
    }  # fmt: skip
    return app_for(settings_for(toy_avatars, work, conversation=conversation), toy_services)


@pytest.fixture(scope="module")
def server(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


async def until(avatar: LiveClient, kind: str, most: int = 2000) -> list[Any]:
    events: list[Any] = []
    async for event in avatar:
        events.append(event)
        if isinstance(event, Frame):
            await avatar.shown(event)
        elif event["type"] == kind:
            return events
        else:
            assert event["type"] != "error", event
        assert len(events) < most
    raise AssertionError(f"the session ended before {kind}")


async def until_whole(avatar: LiveClient) -> list[Any]:
    """Up to the end of an utterance that nobody interrupted."""
    events = await until(avatar, "finished")
    while events[-1]["interrupted"]:
        events += await until(avatar, "finished")
    return events


def texts(events: list[Any], kind: str) -> list[str]:
    return [event["text"] for event in events if isinstance(event, dict) and event["type"] == kind]


def test_an_answer_is_said_while_it_is_written_and_remembered(server: str, told: Told) -> None:
    told.pace_s = 0.2

    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            assert avatar.welcome["conversation"] == {"text": True, "speech": True}
            await avatar.ask("Who are you?")
            events = await until(avatar, "finished")
            assert "".join(texts(events, "answer")) == "Good morning everybody. It is late today."
            kinds = [event["type"] if isinstance(event, dict) else "frame" for event in events]
            assert kinds.index("frame") < len(kinds) - 1 - kinds[::-1].index("answer")  # spoken before it was whole
            assert texts(events, "caption") == ["Good morning everybody", "It is late today"]
            assert (events[-1]["epoch"], events[-1]["interrupted"]) == (1, False)
            for question in ("And now?", "And then?"):
                await avatar.ask(question)
                await until(avatar, "finished")

    run(talk())
    first, _, third = told.chats
    assert first == {
        "model": "small",
        "messages": [{"role": "system", "content": "You are toy."}, {"role": "user", "content": "Who are you?"}],
        "stream": True,
    }
    assert [message["content"] for message in third["messages"]] == [
        "You are toy.", "And now?", "Good morning everybody. It is late today.", "And then?",
    ]  # fmt: skip


def test_a_question_may_be_spoken(server: str, told: Told) -> None:
    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            await avatar.listen(16_000)
            pcm = to_pcm16(hum("what time is it")).tobytes()
            for at in range(0, len(pcm), 6400):
                await avatar.append_audio(pcm[at : at + 6400])
            await avatar.ask()
            events = await until(avatar, "finished")
            assert texts(events, "heard") == ["What time is it?"]
            assert told.recordings == [("ears", 16_000, len(pcm) // 2)]
            assert told.chats[0]["messages"][-1]["content"] == "What time is it?"
            await avatar.begin_audio(RATE_HZ)  # and now sound is said again
            await avatar.append_audio(pcm)
            await avatar.end()
            assert (await until(avatar, "finished"))[-1]["samples"] == len(pcm) // 2

    run(talk())


def test_who_interrupts_stops_model_voice_and_mouth(server: str, told: Told) -> None:
    told.answer, told.pace_s = [f"Sentence number {i}. " for i in range(100)], 0.05

    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            await avatar.ask("Tell me everything.")
            await until(avatar, "caption")
            cancelled = await avatar.cancel()
            assert cancelled["interrupted"]
            written = told.written
            await asyncio.sleep(0.4)
            assert told.written <= written + 2
            told.answer, told.pace_s = ["Short. ", "Answer."], 0.0
            await avatar.ask("Shorter!")
            events = await until_whole(avatar)
            assert texts(events, "caption") == ["Short", "Answer"]
            assert {event["turn"] for event in events if isinstance(event, dict) and event["type"] == "answer"} == {2}
            told.answer, told.pace_s = ["First part. ", *["More "] * 50], 0.1
            await avatar.ask("Again.")
            await until(avatar, "caption")
            told.answer, told.pace_s = ["New."], 0.0
            await avatar.ask("No, this.")  # what was given of the answer before is said, the rest is not written
            events = await until(avatar, "finished") + await until(avatar, "finished")
            assert texts(events, "caption")[-1] == "New"
            assert len(told.chats) == 4
            assert told.written < 40

    run(talk())


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"status": 500}, "the language model answered with status 500"),
        ({"redirects": True}, "the language model answered with status 307"),
        ({"answer": []}, "the language model answered nothing"),
        ({"pace_s": 20.0}, "the language model did not answer in time"),
        ({"breaks_after": 2}, "the language model answered with status 200"),
    ],
)
def test_a_model_that_fails_is_told_of_and_the_session_goes_on(
    server: str, told: Told, change: dict[str, Any], detail: str
) -> None:
    vars(told).update(change)

    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            await avatar.ask("Who are you?")
            failed = (await until(avatar, "error"))[-1]
            assert not failed["fatal"]
            assert failed["problem"]["type"] == "/problems/remote-failed"
            assert failed["problem"]["detail"].startswith(detail)
            assert "secret" not in str(failed)
            told.__init__()  # type: ignore[misc]
            await avatar.cancel()
            await avatar.speak("Never mind.")
            assert texts(await until_whole(avatar), "caption")[-1] == "Never mind"

    run(talk())


def test_a_long_answer_ends_where_the_setting_says(server: str, told: Told) -> None:
    told.answer = ["word " * 60, "and " * 60]

    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            await avatar.ask("Everything?")
            events: list[Any] = []
            while not any(isinstance(event, dict) and event.get("done") for event in events):
                events += await until(avatar, "answer")
            assert len("".join(texts(events, "answer"))) == 400

    run(talk())


def test_without_a_model_nobody_answers(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    async def talk(address: str) -> None:
        async with await LiveClient.connect(address) as avatar:
            assert avatar.welcome["conversation"] == {"text": False, "speech": False}
            await avatar.ask("Hello?")
            assert (await until(avatar, "error"))[-1]["problem"]["type"] == "/problems/out-of-order"
            await avatar.listen(16_000)
            assert "nobody answers here" in (await until(avatar, "error"))[-1]["problem"]["detail"]

    with served(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as address:
        run(talk(address))
        with httpx2.Client() as client:
            assert client.get(f"{address}/health").json()["conversation"] == {"text": False, "speech": False}


def test_an_avatar_may_have_a_prompt_of_its_own(
    other: tuple[str, Told], told: Told, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    (tmp_path / "toy.txt").write_text("You are a toy, and say so.\n", encoding="utf-8")
    conversation = {"url": other[0], "key": KEY, "prompts_dir": tmp_path}

    async def talk(address: str) -> None:
        async with await LiveClient.connect(address) as avatar:
            await avatar.ask("Who?")
            await until(avatar, "caption")

    with served(app_for(settings_for(toy_avatars, tmp_path, conversation=conversation), toy_services)) as address:
        run(talk(address))
    assert told.chats[0]["messages"][0] == {"role": "system", "content": "You are a toy, and say so."}


@pytest.mark.parametrize("url", ["localhost:1234/v1", "file:///etc/passwd", "http://", "http://me:secret@host/v1"])
def test_an_address_that_is_none_is_refused_at_the_start(
    url: str, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="AVATAR328_CONVERSATION"):
        app_for(settings_for(toy_avatars, tmp_path, conversation={"url": url}), toy_services)
    with pytest.raises(ConfigError, match="AVATAR328_TTS__REMOTE_URL"):
        build_speech(Tts(remote_url=url, cache_mb=0))
