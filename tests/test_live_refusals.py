"""/ws when something is wrong: what is answered, and that sessions beside it go on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from clients.python.avatar328_client import Frame, LiveClient, ProblemError
from services.access.keys import new_key
from services.container import Services
from services.live import wire
from tests.live_material import SPEECH, app, frames_of, give, nothing_is_left, run, server, until  # noqa: F401
from tests.service_material import Humming, app_for, served, settings_for
from tests.toy_avatar import FRAMES, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

HELLO = '{"type":"hello","version":1}'


async def _talked(server: str, *messages: str | bytes, **headers: Any) -> list[Any]:
    """What a server says to raw messages before it closes, and its close code."""
    answers: list[Any] = []
    async with connect(server.replace("http", "ws") + "/ws", **headers) as socket:
        for message in messages:
            await socket.send(message)
        try:
            while True:
                answers.append(await socket.recv())
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            answers.append(closed.rcvd.code)
    return answers


def test_a_newcomer_at_capacity_is_told_and_running_sessions_go_on(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        inside = [await LiveClient.connect(server) for _ in range(3)]
        with pytest.raises(ProblemError) as busy:
            await LiveClient.connect(server)
        assert busy.value.problem["type"] == "/problems/busy"
        assert busy.value.retry_after_s == 1
        answer = await asyncio.to_thread(httpx2.get, f"{server}/generate", params={"text": "hello"})
        assert answer.status_code == 503
        await asyncio.gather(*(give(avatar, SPEECH.tobytes()) for avatar in inside))
        ends = await asyncio.gather(*(until(avatar, "finished") for avatar in inside))
        assert frames_of(ends[0]) == frames_of(ends[1]) == frames_of(ends[2])
        for avatar in inside:
            await avatar.close()

    run(talk())


@pytest.mark.parametrize(
    ("hello", "problem"),
    [
        ("not json", "malformed-json"),
        (b"\x00", "malformed-json"),
        ('{"type":"speak","text":"a"}', "invalid-request"),
        ('{"type":"hello","version":9}', "http-error"),
        ('{"type":"hello","version":1,"tiers":["av9"]}', "http-error"),
        ('{"type":"hello","version":1,"avatar":"../etc"}', "name-not-allowed"),
        ('{"type":"hello","version":1,"avatar":"nobody"}', "avatar-not-found"),
        ('{"type":"hello","version":1,"resume":{"session":"guess","sequence":0}}', "session-not-found"),
    ],
)
def test_a_wrong_hello_is_answered_by_a_problem(server: str, app: FastAPI, hello: str, problem: str) -> None:
    answers = run(_talked(server, hello))
    assert len(answers) == 2
    assert f'"/problems/{problem}"' in answers[0]
    assert '"fatal":true' in answers[0]
    assert answers[1] == 1008


def test_wrong_messages_are_answered_and_the_session_goes_on(server: str, app: FastAPI) -> None:
    wrong: list[str | bytes] = [
        "{", '{"type":"dance"}', '{"type":"speak"}', '{"type":"speak","text":"..."}',
        '{"type":"speak","text":"hello","voice":"nobody"}', b"\x10\x00", wire.HEADER.pack(16, 0, 0, 0, 0, 2, 0) + b"ab",
        '{"type":"append_audio","sample_rate":1}', '{"type":"idle","frame":999}', '{"type":"shown","sequence":77}',
        '{"type":"cancel"}', '{"type":"bye"}',
    ]  # fmt: skip
    answers = run(_talked(server, HELLO, *wrong))
    kinds = [answer.split('"type":"/problems/')[1].split('"')[0] for answer in answers if '"error"' in str(answer)[:20]]
    assert kinds == [
        "malformed-json", "invalid-request", "invalid-request", "text-rejected", "voice-not-found",
        "upload-not-readable", "out-of-order", "invalid-request", "frame-out-of-range",
    ]  # fmt: skip
    assert '"type":"cancelled"' in answers[-2]
    assert answers[-1] == 1000


def test_pages_of_other_sites_and_other_names_are_refused_before_anything(server: str, app: FastAPI) -> None:
    port = int(server.rsplit(":", 1)[1])

    async def refused(address: str, **how: Any) -> int:
        with pytest.raises(InvalidStatus) as error:
            await _talked(address, HELLO, '{"type":"bye"}', **how)
        assert b"/problems/" in error.value.response.body
        return error.value.response.status_code

    assert run(refused(server, additional_headers={"Origin": "http://evil.example"})) == 403
    assert run(refused(f"http://evil.example:{port}", host="127.0.0.1", port=port)) == 421
    answers = run(_talked(server, HELLO, '{"type":"bye"}', additional_headers={"Origin": server}))
    assert answers[-1] == 1000


def test_a_failing_voice_is_a_problem_of_its_utterance(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    tts = Humming()
    tts.fail_after_sentences = 0
    with served(app_for(settings_for(toy_avatars, tmp_path), toy_services, tts=tts)) as address:

        async def talk() -> None:
            async with await LiveClient.connect(address) as avatar:
                await avatar.speak("hello")
                async for event in avatar:
                    if isinstance(event, dict) and event["type"] == "error":
                        assert event["problem"]["type"] == "/problems/speech-failed"
                        assert "secret" not in str(event)
                        assert (event["fatal"], event["epoch"]) == (False, 1)
                        break
                await give(avatar, SPEECH.tobytes())
                assert (await until(avatar, "finished"))[-1]["samples"] == len(SPEECH)

        run(talk())


def test_where_there_are_keys_a_session_needs_one_and_is_counted_to_it(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    file = tmp_path / "keys.txt"
    key = new_key(file, "caller", ("speak",))
    settings = settings_for(toy_avatars, tmp_path, access={"keys_file": file, "seconds_per_day": 1})
    with served(app_for(settings, toy_services)) as address:

        async def talk() -> None:
            with pytest.raises(InvalidStatus) as refused:
                await LiveClient.connect(address)
            assert refused.value.response.status_code == 401
            async with await LiveClient.connect(address, key=key) as avatar:
                assert len(await avatar.template()) == FRAMES
                await give(avatar, SPEECH.tobytes())
                await until(avatar, "finished")
                await avatar.speak("hello")
                async for event in avatar:
                    assert isinstance(event, dict)
                    assert event["problem"]["type"] == "/problems/quota-used-up"
                    break

        run(talk())


def test_a_server_that_stops_takes_no_session_and_ends_those_that_say_nothing(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    app = app_for(settings_for(toy_avatars, tmp_path), toy_services)
    with served(app) as address:

        async def talk() -> None:
            silent, speaking = await LiveClient.connect(address), await LiveClient.connect(address)
            await give(speaking, SPEECH.tobytes())
            async for event in speaking:
                if isinstance(event, Frame):
                    break
            app.state.parts.animations.work.stop(5)
            app.state.parts.live.stop(5)
            assert [event async for event in silent] == []
            with pytest.raises(ProblemError, match="stopping"):
                await LiveClient.connect(address)
            await speaking.shown(event)
            assert (await until(speaking, "finished"))[-1]["interrupted"] is False
            await speaking.close()

        run(talk())
