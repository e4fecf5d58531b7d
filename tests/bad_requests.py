"""What clients send that cannot be answered, and how each is refused."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from services.streaming.video_writer import Mp4Writer
from tests.media import write_recording
from tests.service_material import hum
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

LONGEST_S = 60.0


INNER = ("/home", "/work", "/tmp", "/usr", "Traceback", ".py", "0x", "Error(", "site-packages", "secret")


JSON = {"Content-Type": "application/json"}


# --- uploads --------------------------------------------------------------------------------------
def wav(seconds: float, rate_hz: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        samples_S = np.resize(hum("one two three four"), int(seconds * rate_hz))
        file.writeframes(np.round(samples_S * 20_000).astype("<i2").tobytes())
    return buffer.getvalue()


def encoded(form: str, codec: str, seconds: float, rate_hz: int, silent: bool = False) -> bytes:
    """Sound in a container, made a second at a time."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        second_S = np.resize(hum("one two three four"), rate_hz) * (0 if silent else 20_000)
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz, frame_size=stream.frame_size)
        for number in range(int(seconds)):
            frame = av.AudioFrame.from_ndarray(second_S.astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, number * rate_hz
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        for part in resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def two_hours() -> bytes:
    return encoded("flac", "flac", 7200, 8000, silent=True)


def two_hours_without_saying_so() -> bytes:
    """Its header names no length: it is only found out while it is decoded."""
    return encoded("adts", "aac", 75, 8000)


def video(tmp_path: Path, sound: bool) -> bytes:
    path = tmp_path / "video.mp4"
    if sound:
        with Mp4Writer(path, 64, 64, 16_000, 1) as writer:
            for _ in range(10):
                writer.write(np.zeros((64, 64, 3), np.uint8), np.full((1, 640), 0.1, np.float32))
    else:
        write_recording(path, [(i / 30, np.zeros((64, 64, 3), np.uint8)) for i in range(15)], None)
    return path.read_bytes()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


CONCAT = b"ffconcat version 1.0\nfile /etc/hostname\n"


@dataclass(frozen=True)
class Case:
    """One request and its answer."""

    name: str
    status: int
    type: str = ""
    says: str = ""
    method: str = "POST"
    path: str = "/generate"
    send: dict[str, Any] = field(default_factory=dict)
    upload: Callable[[Path], bytes] | None = None


def upload(name: str, status: int, type: str, says: str, content: Callable[[Path], bytes], **send: Any) -> Case:
    return Case(name, status, type, says, path="/generate-from-audio", upload=content, send=send)


def text(name: str, status: int, type: str, says: str, **wish: Any) -> Case:
    return Case(name, status, type, says, send={"json": {"text": "hello", **wish}})


def raw(name: str, status: int, type: str, says: str, body: bytes, content_type: str = "application/json") -> Case:
    return Case(name, status, type, says, send={"content": body, "headers": {"Content-Type": content_type}})


CASES = [
    # text
    text("empty text", 422, "text-rejected", "nothing to say", text=""),
    text("blank text", 422, "text-rejected", "nothing to say", text=" \n\t"),
    text("only punctuation", 422, "text-rejected", "nothing to say", text="?!…"),
    text("too long a text", 422, "text-rejected", "at most 5000", text="word " * 1200),
    text("1 MB of text", 413, "too-large", "larger than the 65536 bytes", text="a" * 1_000_000),
    Case("no text", 422, "invalid-request", "text: Field required", send={"json": {}}),
    text("text that is a number", 422, "invalid-request", "text: Input should be a valid string", text=5),
    text("unknown field", 422, "invalid-request", "sped: Extra inputs are not permitted", sped=1),
    Case("GET without text", 422, "invalid-request", "text: Field required", method="GET"),
    # numbers
    text("speed 0", 422, "invalid-request", "speed: Input should be greater than 0", speed=0),
    text("speed too high", 422, "text-rejected", "outside 0.5 to 2", speed=3),
    text("speed 1e300", 422, "invalid-request", "speed: Input should be less than or equal to 100", speed=1e300),
    text("speed a word", 422, "invalid-request", "speed: Input should be a valid number", speed="fast"),
    raw("speed NaN", 422, "invalid-request", "speed: Input should be a finite number", b'{"text":"a","speed":NaN}'),
    Case("speed nan in the address", 422, "invalid-request", "finite number", "GET", "/generate?text=a&speed=nan"),
    Case("speed inf in the address", 422, "invalid-request", "speed", "GET", "/generate?text=a&speed=inf"),
    text("start frame beyond the template", 422, "frame-out-of-range", "choose 0 to 59", start_frame=60),
    text("start frame negative", 422, "invalid-request", "start_frame", start_frame=-1),
    text("start frame huge", 422, "invalid-request", "start_frame", start_frame=10**30),
    text("direction 0", 422, "invalid-request", "1 (forwards) or -1 (backwards)", direction=0),
    # names
    text("unknown avatar", 404, "avatar-not-found", "no avatar 'nobody'", avatar="nobody"),
    text("avatar ../toy", 422, "name-not-allowed", "not allowed as a name", avatar="../toy"),
    text("avatar of an absolute path", 422, "name-not-allowed", "not allowed as a name", avatar="/etc/passwd"),
    text("avatar with a zero byte", 422, "name-not-allowed", "not allowed as a name", avatar="a\0b"),
    text("empty avatar name", 422, "name-not-allowed", "not allowed as a name", avatar=""),
    text("unknown voice", 404, "voice-not-found", "no voice 'hum:loud'", voice="hum:loud"),
    Case("still of ../", 422, "name-not-allowed", "not allowed", "GET", "/avatar?avatar=../toy"),
    Case("frames of %2e%2e", 422, "name-not-allowed", "not allowed", "GET", "/avatar/frames?avatar=%2e%2e"),
    Case("static ../", 404, "not-found", "", "GET", "/static/..%2f..%2fconfig.py"),
    # bodies and headers
    raw("malformed JSON", 400, "malformed-json", "not JSON", b'{"text": "hello"'),
    raw("JSON in another character set", 400, "bad-request", "parsing the body", b'{"text": "\xff\xfe"}'),
    raw("JSON nested too deep", 400, "bad-request", "parsing the body", b"[" * 60_000),
    raw("a list", 422, "invalid-request", "body", b'["hello"]'),
    raw("empty body", 422, "invalid-request", "", b""),
    raw("text as text/plain", 415, "unsupported-media-type", "expected application/json", b"hello", "text/plain"),
    raw("JSON as a form", 415, "unsupported-media-type", "x-www-form", b"text=a", "application/x-www-form-urlencoded"),
    Case("no content type", 415, "unsupported-media-type", "not given", send={"content": b"{}"}),
    Case(
        "Accept that names nothing there is", 406, "not-acceptable", "application/x-ndjson, video/mp4", "GET",
        "/generate?text=a", {"headers": {"Accept": "image/png"}},
    ),
    Case("unknown format", 422, "invalid-request", "'ndjson', 'mp4' or 'mjpeg'", "GET", "/generate?text=a&format=gif"),
    Case("wrong method", 405, "method-not-allowed", "", "DELETE"),
    Case("unknown address", 404, "not-found", "", "GET", "/generat"),
    # protection
    Case("another host", 421, "unknown-host", "does not go by that name", "GET",
         "/health", {"headers": {"Host": "evil.example"}}),
    Case("an origin that is no address", 403, "forbidden", "other sites", "GET",
         "/health", {"headers": {"Origin": "http://[::1"}}),
    Case("in a frame of another site", 403, "forbidden", "other sites", "GET", "/generate?text=a",
         {"headers": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}}),
    raw("a text of half pairs alone", 422, "text-rejected", "", b'{"text":"\\ud800 \\n"}'),
    raw("a voice that is no text", 422, "invalid-request", "half of a pair", b'{"text":"a","voice":"\\ud800"}'),
    raw("a field name that is no text", 422, "invalid-request", "", b'{"text":"a","\\ud800":1}'),
    Case("zero byte in a static address", 404, "not-found", "", "GET", "/static/a%00b"),
    Case("another origin", 403, "forbidden", "other sites", "GET",
         "/health", {"headers": {"Origin": "http://evil.example"}}),
    Case(
        "embedded in another site", 403, "forbidden", "other sites", "GET", "/generate?text=a",
        {"headers": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}},
    ),
    # recordings
    upload("a 0-byte WAV", 415, "upload-not-readable", "0 bytes", lambda _: b""),
    upload("a text file", 415, "upload-not-readable", "send WAV, MP3", lambda _: b"This is a text, no sound.\n" * 50),
    upload("random bytes", 415, "upload-not-readable", "send WAV", lambda _: np.random.default_rng(1).bytes(50_000)),
    upload("a playlist that names a file", 415, "upload-not-readable", "send WAV, MP3", lambda _: PLAYLIST),
    upload("a list of files", 415, "upload-not-readable", "send WAV, MP3", lambda _: CONCAT),
    upload("an upload cut off in its header", 415, "upload-not-readable", "", lambda _: wav(2)[:30]),
    upload("an MP4 whose index is missing", 415, "upload-not-readable", "", lambda tmp: video(tmp, sound=False)[:800]),
    upload("a video without sound", 422, "no-sound", "no sound track", lambda tmp: video(tmp, sound=False)),
    upload("two hours", 413, "too-large", "longer than the 60 s", lambda _: two_hours()),
    upload("more than 2 MiB", 413, "too-large", "2097152 bytes", lambda _: wav(70, 16_000)),
    upload("upload for nobody", 404, "avatar-not-found", "'nobody'", lambda _: wav(1), data={"avatar": "nobody"}),
    upload("upload, direction 5", 422, "invalid-request", "direction", lambda _: wav(1), data={"direction": "5"}),
    Case("no file", 422, "invalid-request", "file: Field required", path="/generate-from-audio",
         send={"files": {"other": b"x"}}),
    Case("a file that is text", 422, "invalid-request", "file", path="/generate-from-audio",
         send={"data": {"file": "x"}, "files": {"other": b"x"}}),
    Case("upload as JSON", 415, "unsupported-media-type", "expected multipart/form-data", path="/generate-from-audio",
         send={"json": {"file": "x"}}),
    Case("multipart without a boundary", 400, "bad-request", "boundary", path="/generate-from-audio",
         send={"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
    # the others
    Case("WAV of nothing", 422, "text-rejected", "nothing to say", "GET", "/get-tts-audio?text="),
    Case("idle frames beyond the end", 422, "frame-out-of-range", "choose 0 to 59", "GET", "/avatar/frames?first=60"),
    Case("no idle frames", 422, "invalid-request", "count", "GET", "/avatar/frames?count=0"),
    Case("debug with a word", 422, "invalid-request", "enabled", path="/debug/config",
         send={"json": {"enabled": "maybe"}}),
    Case("debug with an unknown field", 422, "invalid-request", "quota", path="/debug/config",
         send={"json": {"quota": 1}}),
]  # fmt: skip
