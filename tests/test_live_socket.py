"""/ws with the Python client against a real server: what comes is what the session gives, whatever the network does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from clients.python import avatar328_client
from clients.python.avatar328_client import Frame, LiveClient, ProblemError
from recipe.colour import decode_rgb
from recipe.sound import to_pcm16
from services.access.keys import new_key
from services.container import Services
from services.http import live
from services.live import service, wire
from services.live.ledger import AHEAD_FRAMES
from services.speech.feed import first_sample
from tests.service_material import RATE_HZ, Gated, Humming, app_for, hum, served, settings_for, wait_for
from tests.toy_avatar import FRAMES, NAME, SIZE, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

SPEECH = to_pcm16(hum("never a dull word today"))  # 30 frames
LONG = np.tile(SPEECH, 4).tobytes()


@pytest.fixture(scope="module")
def app(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    limits = {"sessions": 3, "stall_s": 3.0}
    return app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("work"), limits=limits), toy_services)


@pytest.fixture(scope="module")
def server(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test gives its places back."""
    yield
    if "app" in request.fixturenames:
        wait_for(lambda: request.getfixturevalue("app").state.parts.animations.slots.used == 0)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


async def give(avatar: LiveClient, pcm: bytes, sizes: tuple[int, ...] = (len(LONG),), rate_hz: int = RATE_HZ) -> None:
    await avatar.begin_audio(rate_hz)
    at, turn = 0, 0
    while at < len(pcm):
        size = 2 * sizes[turn % len(sizes)]
        await avatar.append_audio(pcm[at : at + size])
        at, turn = at + size, turn + 1
    await avatar.end()


async def until(avatar: LiveClient, kind: str, shows: Callable[[Frame], bool] = lambda frame: True) -> list[Any]:
    """All events up to one of a kind."""
    events: list[Any] = []
    async for event in avatar:
        events.append(event)
        if isinstance(event, Frame):
            if shows(event):
                await avatar.shown(event)
        elif event["type"] == kind:
            return events
        elif event["type"] == "error":
            raise AssertionError(event)
    raise AssertionError(f"the session ended before {kind}")


def frames_of(events: list[Any]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def said(server: str, sizes: tuple[int, ...], **chosen: Any) -> list[Frame]:
    async def talk() -> list[Frame]:
        async with await LiveClient.connect(server, **chosen) as avatar:
            await give(avatar, SPEECH.tobytes(), sizes)
            return frames_of(await until(avatar, "finished"))

    return run(talk())


@pytest.mark.parametrize("tier", ["patch", "jpeg", "h264"])
def test_any_chunking_gives_the_same_bytes(server: str, app: FastAPI, tier: str) -> None:
    whole = said(server, (len(SPEECH),), tiers=[tier])
    assert said(server, (1, 700, 33), tiers=[tier]) == whole
    assert [frame.sequence for frame in whole] == list(range(34))
    assert [frame.first_sample for frame in whole] == [first_sample(i, RATE_HZ) for i in range(34)]
    assert b"".join(frame.sound for frame in whole)[: 2 * len(SPEECH)] == SPEECH.tobytes()
    assert [frame.last for frame in whole].index(True) == 33


def _decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_patches_over_the_template_are_the_whole_pictures_within_the_coding_s_error(server: str, app: FastAPI) -> None:
    async def template() -> list[bytes]:
        async with await LiveClient.connect(server) as avatar:
            assert avatar.welcome["tier"] == "patch"
            return await avatar.template()

    idle = [_decoded(jpeg) for jpeg in run(template())]
    assert len(idle) == FRAMES
    patches, pictures = said(server, (5000,)), said(server, (5000,), tiers=["av9", "jpeg"])
    for patch, whole in zip(patches, pictures, strict=True):
        assert patch.place is not None
        assert whole.place is None
        left, top, width, height = patch.place
        shown, wanted = idle[patch.avatar_frame].copy(), _decoded(whole.picture)
        shown[top : top + height, left : left + width] = _decoded(patch.picture)
        assert wanted.shape == (SIZE, SIZE, 3)
        difference = shown.astype(int) - wanted
        assert np.sqrt(np.square(difference).mean()) < 2.5  # two codings of one picture; of 255 levels
        without = idle[patch.avatar_frame].astype(int) - wanted
        if patch.sequence in range(8, 24):
            assert np.square(without).mean() > 4 * np.square(difference).mean()  # the patch is what makes them alike
    assert sum(len(p.picture) for p in patches) < 0.6 * sum(len(p.picture) for p in pictures)


def test_the_video_is_the_whole_pictures_within_the_coding_s_error(server: str, app: FastAPI) -> None:
    units, pictures = said(server, (5000,), tiers=["h264"]), said(server, (5000,), tiers=["jpeg"])
    assert {unit.codec for unit in units} == {"h264"}
    assert [unit.sequence for unit in units if unit.key] == [0]
    wanted = np.stack([_decoded(whole.picture) for whole in pictures]).astype(int)
    for index, shown in enumerate(_video(units)):
        errors = np.sqrt(np.square(shown - wanted).mean(axis=(1, 2, 3)))
        assert errors[index] < 3.75  # each coding is 2.65 of 255 levels from this avatar's pictures, in ways of its own
        assert errors.argmin() == index
    assert sum(len(unit.picture) for unit in units) < 0.3 * sum(len(whole.picture) for whole in pictures)


def test_after_an_interruption_the_video_needs_nothing_of_what_was_interrupted(server: str, app: FastAPI) -> None:
    async def talk() -> tuple[list[Frame], list[Frame]]:
        async with await LiveClient.connect(server, tiers=["h264"]) as avatar:
            await give(avatar, np.tile(SPEECH, 3).tobytes())
            before = []
            async for event in avatar:
                if isinstance(event, Frame):
                    before.append(event)
                    await avatar.shown(event)
                    if len(before) == 12:
                        break
            await avatar.cancel()
            await give(avatar, SPEECH.tobytes())
            interrupted, whole = await until(avatar, "finished"), await until(avatar, "finished")
            return before, frames_of(interrupted + whole)

    before, after = run(talk())
    assert before[0].key and after[0].key
    assert len({frame.epoch for frame in after if frame.key}) == sum(frame.key for frame in after)  # one per epoch
    assert len(_video(after)) == len(after)  # a decoder that saw nothing of it


def _video(units: list[Frame]) -> list[np.ndarray]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.video.codeccontext.VideoCodecContext)
    packets = [av.Packet(unit.picture) for unit in units]
    return [decode_rgb(picture)[..., ::-1] for packet in [*packets, None] for picture in decoder.decode(packet)]


def test_text_is_spoken_while_it_is_written(server: str, app: FastAPI) -> None:
    async def talk() -> list[Any]:
        async with await LiveClient.connect(server) as avatar:
            for piece in ("Good mor", "ning every", "body. It", " is", " late"):
                await avatar.append_text(piece)
            await avatar.end()
            first = await until(avatar, "finished")
            await avatar.speak("And now this", voice="hum:high", speed=2.0)
            return [*first, *await until(avatar, "finished")]

    messages = [event for event in run(talk()) if isinstance(event, dict)]
    assert [m["text"] for m in messages if m["type"] == "caption"] == [
        "Good morning everybody",
        "It is late",
        "And now this",
    ]
    begins = [m for m in messages if m["type"] == "begin"]
    assert [(m["epoch"], m["voice"], m["sample_rate"]) for m in begins] == [
        (1, "hum:low", RATE_HZ),
        (2, "hum:high", RATE_HZ),
    ]
    length = len(hum("And now this", 2.0, 2.0))
    assert messages[-1] == {"type": "finished", "epoch": 2, "samples": length, "interrupted": False}


def test_cancel_is_answered_at_once_and_nothing_of_the_old_comes_after(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            for turn in range(3):
                await give(avatar, LONG)
                count = 0
                async for event in avatar:
                    if isinstance(event, Frame) and not event.idle:
                        assert event.epoch == 2 * turn + 1
                        await avatar.shown(event)
                        count += 1
                        if count == 9:
                            break
                started = time.perf_counter()
                answer = await avatar.cancel(samples=7000 if turn == 2 else None)
                assert time.perf_counter() - started < 0.2
                played = 7000 if turn == 2 else first_sample(9, RATE_HZ)
                assert answer["samples"] == played
                assert (answer["epoch"], answer["interrupted"]) == (2 * turn + 1, True)
            await avatar.speak("new words")
            events = await until(avatar, "finished")
            while events[-1]["interrupted"]:  # what became of the last one that was cancelled
                events += await until(avatar, "finished")
            assert events[-1] == {
                "type": "finished", "epoch": 7, "samples": len(hum("new words")), "interrupted": False,
            }  # fmt: skip
            assert {frame.epoch for frame in frames_of(events)} - {6} == {7}

    count = "avatar328_cancel_seconds_count", "avatar328_late_seconds_count"  # of the whole module's server
    before = [app.state.metrics.registry.get_sample_value(name) for name in count]
    run(talk())
    after = [app.state.metrics.registry.get_sample_value(name) for name in count]
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 1]


def test_the_server_stays_two_seconds_ahead_and_drops_who_shows_nothing(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            await give(avatar, LONG)
            frames = 0
            with pytest.raises(ProblemError, match="stopped reading") as refused:
                async for event in avatar:
                    frames += isinstance(event, Frame)
            assert frames == AHEAD_FRAMES
            assert refused.value.problem["status"] == 408

    run(talk())


@pytest.mark.parametrize("cut_after", [0, 5, 12])
def test_who_comes_back_goes_on_where_it_was(server: str, app: FastAPI, cut_after: int) -> None:
    whole = said(server, (5000,))

    async def talk() -> list[Any]:
        async with await LiveClient.connect(server) as avatar:
            await give(avatar, SPEECH.tobytes())
            events: list[Any] = []
            cut = False
            async for event in avatar:
                events.append(event)
                if isinstance(event, Frame):
                    if event.sequence % 3 == 0:
                        await avatar.shown(event)
                    if event.sequence == cut_after and not cut:
                        cut = True
                        avatar._socket.transport.abort()
                        await asyncio.sleep(0.1)
                        await avatar.reconnect()
                        assert avatar.welcome["resumed"]
                    if event.last:
                        await avatar.shown(event)
                elif event["type"] == "finished":
                    return events
            raise AssertionError("it ended early")

    assert frames_of(run(talk())) == whole


@pytest.mark.parametrize("stops_reading_at", [0, 20])
def test_who_comes_back_does_not_wait_for_a_connection_that_hangs(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, stops_reading_at: int
) -> None:
    """A network that is gone tells nobody: to the server the old connection is a good one that reads slowly."""

    async def talk(server: str) -> tuple[list[Frame], float]:
        avatar = await LiveClient.connect(server, tiers=["jpeg"])
        hanging = avatar._socket
        if stops_reading_at == 0:
            hanging.transport.pause_reading()
        await give(avatar, LONG)
        frames: list[Frame] = []
        if stops_reading_at:
            async for event in avatar:
                frames += [event] if isinstance(event, Frame) else []
                if len(frames) == stops_reading_at:
                    break
            await avatar.shown(frames[-1])
            hanging.transport.pause_reading()
        await asyncio.sleep(1.0)  # the server fills what lies between
        began = time.perf_counter()
        # As `reconnect`, without a word to the old connection.
        await avatar._greet({"session": avatar.welcome["session"], "sequence": avatar.received})
        took_s = time.perf_counter() - began
        frames += frames_of(await until(avatar, "finished"))
        await avatar.close()
        hanging.transport.abort()
        return frames, took_s

    app = app_for(settings_for(toy_avatars, tmp_path, limits={"sessions": 1, "stall_s": 10.0}), toy_services)
    with served(app, send_buffer_bytes=8192) as server:
        frames, took_s = run(talk(server))
        assert [frame.sequence for frame in frames] == list(range(4 * 30 + 4))
        assert b"".join(frame.sound for frame in frames)[: len(LONG)] == LONG
        assert took_s < 1
        wait_for(lambda: app.state.parts.animations.slots.used == 0)


def test_a_session_that_nobody_comes_back_to_is_over(
    server: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RESUME_S", 0.2)

    async def talk() -> None:
        avatar = await LiveClient.connect(server)
        assert app.state.parts.animations.slots.used == 1
        avatar._socket.transport.abort()
        await asyncio.sleep(0.4)
        with pytest.raises(ProblemError, match="session is over"):
            await avatar.reconnect()

    run(talk())


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


def test_the_walk_begins_where_the_client_stands(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        async with await LiveClient.connect(server) as avatar:
            await avatar.stands_at(30, -1, lead=4)
            await give(avatar, SPEECH.tobytes())
            events = await until(avatar, "finished")
            begin = next(event for event in events if isinstance(event, dict))
            assert (begin["frame"], begin["direction"]) == (25, -1)
            assert [(frame.avatar_frame, frame.direction) for frame in frames_of(events)[:3]] == [
                (25, -1), (24, -1), (23, -1),
            ]  # fmt: skip

    run(talk())


def test_idle_frames_are_headers_only(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        async with await LiveClient.connect(server, idle=True) as avatar:
            frames = []
            async for event in avatar:
                assert isinstance(event, Frame)
                await avatar.shown(event)
                frames.append(event)
                if len(frames) == 30:
                    break
            assert all(frame.idle and not frame.picture and not frame.sound for frame in frames)
            assert [frame.avatar_frame for frame in frames[:20]] == sorted(frame.avatar_frame for frame in frames[:20])

    run(talk())


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


HELLO = '{"type":"hello","version":1}'


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


def test_cancel_is_quick_while_a_slow_avatar_is_being_drawn(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, toy_model: Any
) -> None:
    slow = Gated(toy_model, lambda: time.sleep(0.4))
    services = replace(toy_services, models=slow)
    with served(app_for(settings_for(toy_avatars, tmp_path), services)) as address:

        async def talk() -> None:
            async with await LiveClient.connect(address, NAME, tiers=["jpeg"]) as avatar:
                await give(avatar, LONG)
                await asyncio.sleep(0.5)
                started = time.perf_counter()
                answer = await avatar.cancel()
                assert time.perf_counter() - started < 0.2
                assert answer["samples"] == 0

        run(talk())


def test_client_and_server_agree_on_the_header() -> None:
    assert avatar328_client.HEADER.format == wire.HEADER.format
    assert wire.VERSION == avatar328_client.VERSION
    assert wire.HEADER.size == 24


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


def test_who_comes_back_says_to_which_of_several_servers(
    server: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def connecting(address: str, **how: Any) -> Any:
        asked.append(address)
        return connect(address, **how)

    monkeypatch.setattr(avatar328_client, "connect", connecting)

    async def come_back() -> None:
        async with await LiveClient.connect(server) as avatar:
            assert "route" not in avatar.welcome
        monkeypatch.setitem(app.state._state, "route", "r 1")
        async with await LiveClient.connect(server) as avatar:
            assert avatar.welcome["route"] == "r 1"
            await avatar.reconnect()
            assert avatar.welcome["resumed"]

    run(come_back())
    assert [address.partition("?")[2] for address in asked] == ["", "", "route=r+1"]


@pytest.mark.parametrize("steps", range(6))
def test_a_cancelled_connection_stops_sending_whenever_that_comes(steps: int) -> None:
    """Python 3.11's wait_for forgot it where the message had just gone: the client that came back waited a minute."""

    async def cancelled() -> None:
        async def send(_: str) -> None:
            await asyncio.sleep(0)

        connection = live._Connection.__new__(live._Connection)
        connection._websocket = SimpleNamespace(send_text=send, send_bytes=send)
        connection._settings = SimpleNamespace(limits=SimpleNamespace(stall_s=60.0))

        async def forward() -> None:
            await connection._put("a frame")
            await asyncio.Event().wait()  # for the next one

        task = asyncio.create_task(forward())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done and task.cancelled()

    run(cancelled())
