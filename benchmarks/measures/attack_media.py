"""Attacks by what is uploaded as sound: damaged and crafted files."""

from __future__ import annotations

import io
import json
import random
import struct
import wave
from collections import Counter

import httpx2 as httpx

from benchmarks.measures.target import PATIENCE_S, Outcome, Target, told


def damaged_media(target: Target) -> Outcome:
    """Sound files with bytes changed, left out, put in, cut off."""
    dice, whole = random.Random(328), wav_bytes(16_000, 1, 0.5)
    found: Counter[int] = Counter()
    count = target.count(300)
    with httpx.Client(base_url=target.server.address, timeout=PATIENCE_S) as client:
        for number in range(count):
            data = bytearray(whole)
            for _ in range(1 + number % 4):
                at = dice.randrange(len(data) if number % 2 else 60)
                if number % 3 == 0:
                    data[at] = dice.randrange(256)
                elif number % 3 == 1:
                    del data[at : at + dice.randrange(1, 50)]
                else:
                    data[at:at] = dice.randbytes(dice.randrange(1, 20))
            found[_uploaded(client, bytes(data))] += 1
    return Outcome(f"{count} files", told(found), all(status < 500 for status in found))


def crafted_media(target: Target) -> Outcome:
    """Rates and channels that no recorder makes, playlists that name files, pictures as sound."""
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    files = {
        "2^31-1 Hz": wav_bytes(2**31 - 1, 1, 0.01),
        "64 channels": wav_bytes(16_000, 64, 0.01),
        "255 channels": wav_bytes(16_000, 255, 0.01),
        "playlist": playlist,
        "concat": b"ffconcat version 1.0\nfile /etc/hostname\n",
        "sdp": b"v=0\nm=audio 5004 RTP/AVP 0\nc=IN IP4 127.0.0.1\n",
        "no bytes": b"",
        "text": b"hello" * 1000,
    }
    found: Counter[int] = Counter()
    rounds = target.count(5)
    with httpx.Client(base_url=target.server.address, timeout=PATIENCE_S) as client:
        for data in list(files.values()) * rounds:
            found[_uploaded(client, data)] += 1
    return Outcome(f"{len(files)} kinds, {rounds} times", told(found), set(found) <= {400, 413, 415, 422})


def _uploaded(client: httpx.Client, data: bytes) -> int:
    """Status, or 599 where a stream broke without saying why."""
    with client.stream("POST", "/generate-from-audio", files={"file": ("a.wav", data)}) as answer:
        last = ""
        for line in answer.iter_lines():
            last = line or last
        if answer.status_code == 200 and json.loads(last)["type"] not in ("end", "error"):
            return 599
        return answer.status_code


def wav_bytes(rate_hz: int, channels: int, seconds: float) -> bytes:
    """Noise as a WAV file, also of rates and channels that there are not."""
    samples = round(min(rate_hz, 48_000) * seconds)
    if rate_hz <= 48_000 and channels == 1:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setparams((channels, 2, rate_hz, 0, "NONE", ""))
            file.writeframes(random.Random(1).randbytes(2 * samples))
        return buffer.getvalue()
    data = bytes(2 * samples * channels)
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, (2 * rate_hz * channels) % 2**32, 2 * channels, 16)
    head = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data
