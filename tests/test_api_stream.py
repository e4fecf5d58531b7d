"""What /generate and /generate-from-audio send: complete, exact, while it is made, and to nobody else.

Axes: S audio samples, H W C picture.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av
import cv2
import httpx2 as httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from recipe.recipe_328 import FPS
from recipe.sound import iter_audio, to_pcm16
from services.avatars.loaded import LoadedAvatar
from services.container import Services
from services.frame_generation_service import FrameGenerationService
from services.speech.feed import SpeechFeed
from services.streaming.jpeg import encode_jpeg
from services.types import VideoFrame
from tests.service_material import (
    RATE_HZ,
    Gated,
    Humming,
    app_for,
    client_of,
    http,  # noqa: F401
    hum,
    lines_of,
    of_type,
    served,
    settings_for,
    sound_of,
    wait_for,
)
from tests.toy_avatar import FRAMES, NAME, SIZE, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

TEXT = "Hello there my friend. And now a second one."  # 4 + 5 words: 54 frames


@pytest.fixture(scope="module")
def client(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    with client_of(app_for(settings_for(toy_avatars, work), toy_services)) as client:
        yield client


def offline(model: LoadedAvatar, text: str, start_frame: int, direction: int) -> list[VideoFrame]:
    """What the generator gives for the same text without any server."""
    service = FrameGenerationService()
    session = service.start(model, start_frame, direction)
    return list(service.stream(session, SpeechFeed(Humming().synthesize(text))))


def jpegs(messages: list[dict]) -> list[bytes]:
    return [base64.b64decode(message["image"]) for message in of_type(messages, "frame")]


# --- NDJSON ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("start_frame", "direction"), [(0, 1), (37, 1), (37, -1)])
def test_streamed_frames_are_the_generators(
    client: TestClient, toy_model: LoadedAvatar, start_frame: int, direction: int
) -> None:
    wish = {"text": TEXT, "start_frame": start_frame, "direction": direction}
    answer = client.post("/generate", json=wish)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-ai-generated"] == "true"
    messages = lines_of(answer.content)
    expected = offline(toy_model, TEXT, start_frame, direction)

    header = messages[0]
    assert header == {
        "type": "header",
        "version": 1,
        "utterance": answer.headers["x-utterance-id"],
        "avatar": NAME,
        "fps": 25,
        "width": SIZE,
        "height": SIZE,
        "sample_rate": RATE_HZ,
        "samples_per_frame": 882,
        "start_frame": start_frame,
        "direction": direction,
        "voice": "hum:low",
        "engine": "hum",
        "ai_generated": True,
        "consent": "synthetic",
    }
    frames = of_type(messages, "frame")
    assert [(f["index"], f["pts"], f["template_index"]) for f in frames] == [
        (i, round(i / FPS, 3), frame.template_index) for i, frame in enumerate(expected)
    ]
    assert jpegs(messages) == [encode_jpeg(frame.frame_rgb_HWC, 85) for frame in expected]
    sound_S = np.concatenate([hum("Hello there my friend"), hum("And now a second one")])
    heard_S = sound_of(messages)
    assert len(heard_S) == 882 * len(expected)
    np.testing.assert_array_equal(heard_S[: len(sound_S)], to_pcm16(sound_S))
    assert not heard_S[len(sound_S) :].any()
    assert messages[-1]["type"] == "end"
    assert (messages[-1]["frames"], messages[-1]["duration_s"]) == (len(expected), round(len(expected) / FPS, 3))


def test_jpeg_shows_the_picture_in_the_right_colours(client: TestClient, toy_model: LoadedAvatar) -> None:
    messages = lines_of(client.get("/generate", params={"text": "one"}).content)
    picture_bgr_HWC = cv2.imdecode(np.frombuffer(jpegs(messages)[0], np.uint8), cv2.IMREAD_COLOR)
    expected_rgb_HWC = offline(toy_model, "one", 0, 1)[0].frame_rgb_HWC
    difference = picture_bgr_HWC[..., ::-1].astype(float) - expected_rgb_HWC
    assert np.abs(difference).mean() < 3
    assert np.abs(difference.mean((0, 1))).max() < 1


def test_captions_stand_before_the_frame_their_sentence_begins_in(client: TestClient) -> None:
    messages = lines_of(client.get("/generate", params={"text": TEXT}).content)
    placed = [
        (message["index"], message["text"], messages[at + 1]["index"])
        for at, message in enumerate(messages)
        if message["type"] == "caption"
    ]
    assert placed == [(0, "Hello there my friend", 0), (1, "And now a second one", 24)]


def test_the_next_utterance_goes_on_where_the_last_one_ended(client: TestClient, toy_model: LoadedAvatar) -> None:
    """`end` tells the page where the idle loop, or the next utterance, continues."""
    first = lines_of(client.post("/generate", json={"text": "one two three four", "start_frame": 40}).content)
    end = first[-1]
    assert end["type"] == "end"
    following = {"start_frame": end["template_index"], "direction": end["direction"]}
    second = lines_of(client.post("/generate", json={"text": "five six seven eight", **following}).content)
    shown = [f["template_index"] for f in [*of_type(first, "frame"), *of_type(second, "frame")]]
    long = offline(toy_model, "one two three four five six seven eight", 40, 1)
    assert shown == [frame.template_index for frame in long]
    assert {abs(b - a) for a, b in itertools.pairwise(shown)} == {1}


def test_voice_and_speed_are_passed_on(client: TestClient) -> None:
    plain = lines_of(client.get("/generate", params={"text": "one two"}).content)
    fast = lines_of(client.get("/generate", params={"text": "one two", "speed": 2, "voice": "hum:high"}).content)
    assert (plain[-1]["frames"], fast[-1]["frames"]) == (12, 6)
    assert fast[0]["voice"] == "hum:high"


def test_get_and_post_say_the_same(client: TestClient) -> None:
    wish = {"text": "one two", "start_frame": 5}
    got, posted = client.get("/generate", params=wish), client.post("/generate", json=wish)
    assert lines_of(got.content)[1:] == lines_of(posted.content)[1:]


# --- an uploaded recording ------------------------------------------------------------------------
def test_upload_is_drawn_as_offline_and_heard_at_its_own_rate(
    client: TestClient, toy_model: LoadedAvatar, tmp_path: Path
) -> None:
    """44.1 kHz stereo: the networks hear what inference_328.py lets them hear, listeners the recording."""
    tone_S = np.concatenate([hum("a stereo recording"), hum("of two hums")])
    stereo_SC = np.round(np.stack([tone_S, 0.5 * tone_S], axis=1) * 32767).astype("<i2")
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(stereo_SC.tobytes())
    form = {"start_frame": "12", "direction": "-1"}
    with path.open("rb") as upload:
        answer = client.post("/generate-from-audio", files={"file": ("speech.wav", upload)}, data=form)
    messages = lines_of(answer.content)
    service = FrameGenerationService()
    with closing(service.stream(service.start(toy_model, 12, -1), iter_audio(path))) as stream:
        expected = [encode_jpeg(frame.frame_rgb_HWC, 85) for frame in stream]
    assert jpegs(messages) == expected
    assert (messages[0]["voice"], messages[0]["engine"]) == (None, None)
    assert (messages[0]["sample_rate"], messages[0]["samples_per_frame"]) == (44_100, 1764)
    heard_S = sound_of(messages)
    assert len(heard_S) == 1764 * len(expected)
    mono_S = stereo_SC.mean(axis=1)
    assert np.abs(heard_S[: len(mono_S)] - mono_S).max() <= 2
    assert of_type(messages, "caption") == []


# --- MP4 ------------------------------------------------------------------------------------------
def test_mp4_is_whole_and_as_long_as_its_frames(client: TestClient, toy_model: LoadedAvatar) -> None:
    answer = client.get("/generate", params={"text": TEXT, "download": "true"}, headers={"Accept": "video/mp4"})
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["x-ai-generated"] == "true"
    name = f"{answer.headers['x-utterance-id']}.mp4"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    expected = offline(toy_model, TEXT, 0, 1)
    with av.open(io.BytesIO(answer.content)) as container:
        pictures = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with av.open(io.BytesIO(answer.content)) as container:
        blocks = list(container.decode(audio=0))
    assert [time_s for time_s, _ in pictures] == pytest.approx([i / FPS for i in range(len(expected))], abs=1e-3)
    for (_, found), frame in zip(pictures, expected, strict=True):
        assert np.abs(found.astype(float) - frame.frame_rgb_HWC).mean() < 4
    samples = sum(block.samples for block in blocks)
    assert 0 <= samples - 882 * len(expected) < 1024  # AAC's last packet is a whole one
    assert blocks[0].time == pytest.approx(0, abs=1e-3)


def test_format_in_the_address_goes_before_accept(client: TestClient) -> None:
    answer = client.get(
        "/generate", params={"text": "one", "format": "mp4"}, headers={"Accept": "application/x-ndjson"}
    )
    assert answer.headers["content-type"] == "video/mp4"
    assert b"ftyp" in answer.content[:16]


def test_mp4_can_be_read_while_it_grows(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    """The first half of the frames is decoded before the second half may be generated."""
    may_go_on = threading.Event()
    drawn: list[int] = []

    def before_frame() -> None:
        drawn.append(1)
        if len(drawn) == 30:
            assert may_go_on.wait(10)

    models = Gated(toy_services.models.open(NAME), before_frame)
    app = app_for(settings_for(toy_avatars, tmp_path), toy_services, models=models)
    with served(app) as address, http.stream("GET", f"{address}/generate?text={TEXT}&format=mp4") as answer:
        received = bytearray()
        pieces = answer.iter_raw()
        while received.count(b"moof") < 20:
            received += next(pieces)
        assert not may_go_on.is_set()
        with av.open(io.BytesIO(bytes(received))) as container:
            assert sum(1 for _ in container.decode(video=0)) >= 20
        may_go_on.set()
        for piece in pieces:
            received += piece
    with av.open(io.BytesIO(bytes(received))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 54


# --- time and place -------------------------------------------------------------------------------
def test_the_first_frame_leaves_before_the_last_is_made(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    """No second frame is drawn before the client has read the first one."""
    read = threading.Event()
    drawn: list[int] = []

    def before_frame() -> None:
        if drawn:
            assert read.wait(10), "the first frame never came"
        drawn.append(1)

    models = Gated(toy_services.models.open(NAME), before_frame)
    app = app_for(settings_for(toy_avatars, tmp_path), toy_services, models=models)
    with served(app) as address, http.stream("GET", f"{address}/generate?text={TEXT}") as answer:
        kinds = []
        for text in answer.iter_lines():
            message = json.loads(text)
            kinds.append(message["type"])
            if message["type"] == "frame" and not read.is_set():
                assert message["index"] == 0
                assert len(drawn) == 1
                read.set()
    assert kinds.count("frame") == len(drawn) == 54
    assert kinds[-1] == "end"


@pytest.mark.parametrize("form", ["ndjson", "mp4"])
def test_a_client_that_leaves_stops_the_work_within_200_ms(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path, form: str
) -> None:
    drawn: list[float] = []

    def before_frame() -> None:
        drawn.append(time.perf_counter())
        time.sleep(0.02)

    speech = Humming()
    models = Gated(toy_services.models.open(NAME), before_frame)
    settings = settings_for(toy_avatars, tmp_path, limits={"sessions": 1})
    app = app_for(settings, toy_services, models=models, tts=speech)
    slots = app.state.parts.animations.slots
    with served(app) as address:
        threads_before = set(threading.enumerate())
        long = " ".join(["word"] * 400)
        with http.stream("GET", f"{address}/generate?text={long}&format={form}") as answer:
            pieces = answer.iter_raw()
            for _ in range(4):
                next(pieces)
            assert slots.free == 0
        left_at = time.perf_counter()
        wait_for(lambda: slots.free == 1)
        assert time.perf_counter() - left_at < 0.2
        wait_for(lambda: speech.closed == 1, 0.2)
        count = len(drawn)
        time.sleep(0.1)
        assert len(drawn) == count < 200
        assert drawn[-1] - left_at < 0.2
        wait_for(lambda: not [t for t in set(threading.enumerate()) - threads_before if t.name == "session"], 0.2)
        assert "avatar328_cancelled_total 1.0" in http.get(f"{address}/metrics").text
        assert http.get(f"{address}/generate?text=again").status_code == 200  # the place is free again


def test_interleaved_sessions_never_see_each_others_data(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    """Three clients read in turns, piece by piece; each gets what it gets alone."""
    wishes = [
        {"text": "alpha beta gamma delta", "start_frame": 3},
        {"text": "one two three. Four five", "start_frame": 30, "voice": "hum:high"},
        {"text": "red green blue", "start_frame": 50, "direction": -1, "speed": 0.7},
    ]
    with served(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as address:
        alone = [http.post(f"{address}/generate", json=wish).content for wish in wishes]
        streams = [http.stream("POST", f"{address}/generate", json=wish) for wish in wishes]
        answers = [stream.__enter__() for stream in streams]
        texts = [answer.iter_lines() for answer in answers]
        got: list[list[dict]] = [[] for _ in wishes]
        going = set(range(len(wishes)))
        while going:
            for number in sorted(going):
                text = next(texts[number], None)
                if text is None:
                    going.discard(number)
                else:
                    got[number].append(json.loads(text))
        for stream in streams:
            stream.__exit__(None, None, None)
    for messages, body, answer in zip(got, alone, answers, strict=True):
        assert messages[1:] == lines_of(body)[1:]
        assert messages[0]["utterance"] == answer.headers["x-utterance-id"]
    assert len({messages[0]["utterance"] for messages in got}) == 3


def test_one_more_than_there_are_places_is_told_to_come_back(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    may_go_on = threading.Event()
    models = Gated(toy_services.models.open(NAME), lambda: may_go_on.wait(10) and None)
    settings = settings_for(toy_avatars, tmp_path, limits={"sessions": 2})
    with served(app_for(settings, toy_services, models=models)) as address:
        first = http.stream("GET", f"{address}/generate?text=one")
        second = http.stream("GET", f"{address}/generate?text=two")
        with first, second:
            refused = http.get(f"{address}/generate?text=three")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["type"] == "/problems/busy"
            assert http.get(f"{address}/readyz").status_code == 503
            assert http.get(f"{address}/health").json()["sessions"]["active"] == 2
            may_go_on.set()
        wait_for(lambda: http.get(f"{address}/readyz").status_code == 200, 2)


def test_health_answers_within_50_ms_while_frames_are_made(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    with served(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as address:
        long = " ".join(["word"] * 40)
        streams = [http.stream("GET", f"{address}/generate?text={long}") for _ in range(2)]
        answers = [stream.__enter__() for stream in streams]
        readers = [threading.Thread(target=answer.read) for answer in answers]
        for reader in readers:
            reader.start()
        taken = []
        while any(reader.is_alive() for reader in readers):
            started = time.perf_counter()
            assert http.get(f"{address}/health").status_code == 200
            taken.append(time.perf_counter() - started)
            time.sleep(0.01)
        for stream in streams:
            stream.__exit__(None, None, None)
    assert len(taken) > 5
    assert np.median(taken) < 0.05
    assert max(taken) < 1.5  # other work of the machine may delay one; a blocked loop would take a whole utterance


def test_a_client_that_stops_reading_is_given_up(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    settings = settings_for(toy_avatars, tmp_path, limits={"stall_s": 0.3, "sessions": 1}, server={"queue_frames": 1})
    app = app_for(settings, toy_services)
    with served(app) as address:
        long = " ".join(["word"] * 400)  # more than the sockets' buffers hold
        with http.stream("GET", f"{address}/generate?text={long}"):
            wait_for(lambda: app.state.parts.animations.slots.free == 0)
            wait_for(lambda: app.state.parts.animations.slots.free == 1, 60)  # the sockets' buffers are filled first
            told = http.get(f"{address}/metrics").text
    assert "avatar328_utterances_total 0.0" in told  # given up, not finished
    assert "avatar328_cancelled_total 1.0" in told


def test_a_failure_after_the_header_is_the_last_line(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    speech = Humming()
    speech.fail_after_sentences = 1
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, tts=speech)) as client:
        messages = lines_of(client.get("/generate", params={"text": TEXT}).content)
        assert "avatar328_failed_total 1.0" in client.get("/metrics").text
    assert messages[0]["type"] == "header"
    assert of_type(messages, "end") == []
    assert messages[-1]["type"] == "error"
    assert messages[-1]["problem"]["type"] == "/problems/speech-failed"
    assert "secret" not in json.dumps(messages[-1])


def test_stopping_the_server_ends_what_is_being_made(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    app = app_for(settings_for(toy_avatars, tmp_path), toy_services)
    long = " ".join(["word"] * 400)
    with served(app) as address:
        stream = http.stream("GET", f"{address}/generate?text={long}")
        answer = stream.__enter__()
        next(answer.iter_raw())
    assert app.state.parts.animations.slots.used == 0
    assert [t.name for t in threading.enumerate() if t.name == "session"] == []


def test_wav_of_the_speech(client: TestClient, tmp_path: Path) -> None:
    answer = client.get("/get-tts-audio", params={"text": "one two", "speed": 2})
    assert answer.headers["content-type"] == "audio/wav"
    (tmp_path / "x.wav").write_bytes(answer.content)
    heard_S = np.concatenate(list(iter_audio(tmp_path / "x.wav")))
    assert len(heard_S) == pytest.approx(0.24 * 16_000, abs=40)
    with av.open(io.BytesIO(answer.content)) as container:
        samples_S = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    np.testing.assert_array_equal(samples_S, to_pcm16(hum("one two", speed=2)))
