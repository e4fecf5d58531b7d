"""/ws with the Python client against a real server: what comes is what the session gives."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fastapi import FastAPI

from clients.python import avatar328_client
from clients.python.avatar328_client import Frame, LiveClient, ProblemError
from recipe.colour import decode_rgb
from services.container import Services
from services.live import wire
from services.live.ledger import AHEAD_FRAMES
from services.speech.feed import first_sample
from tests.live_material import LONG, SPEECH, app, frames_of, give, nothing_is_left, run, said, server, until  # noqa: F401
from tests.service_material import RATE_HZ, Gated, app_for, hum, served, settings_for
from tests.toy_avatar import FRAMES, NAME, SIZE, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


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
