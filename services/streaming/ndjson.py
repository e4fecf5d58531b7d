"""An utterance as lines of JSON: every picture a JPEG and every sound PCM s16le, both base64. For curl and pages.

Axes: S audio samples.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from contextlib import closing
from typing import Any, Final

from recipe.recipe_328 import FPS
from recipe.sound import to_pcm16
from services.streaming.events import Caption, Event, Frame, Header
from services.streaming.jpeg import encode_jpeg

MEDIA_TYPE: Final = "application/x-ndjson"
_VERSION: Final = 1


def line(message: dict[str, Any]) -> bytes:
    """One message."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def encode_ndjson(events: Generator[Event, None, None], jpeg_quality: int) -> Generator[bytes, None, None]:
    """Lines, one per event."""
    with closing(events):
        for event in events:
            yield line(_message(event, jpeg_quality))


def _message(event: Event, jpeg_quality: int) -> dict[str, Any]:
    if isinstance(event, Frame):
        held = {"held": True} if event.held else {}
        return {
            "type": "frame",
            "index": event.index,
            "pts": round(event.pts_s, 3),
            "template_index": event.template_index,
            **held,
            "image": _base64(encode_jpeg(event.frame_rgb_HWC, jpeg_quality)),
            "audio": _base64(to_pcm16(event.pcm_S).tobytes()),
        }
    if isinstance(event, Caption):
        return {"type": "caption", "index": event.index, "text": event.text}
    if isinstance(event, Header):
        return {
            "type": "header",
            "version": _VERSION,
            "utterance": event.utterance,
            "avatar": event.avatar,
            "fps": FPS,
            "width": event.width,
            "height": event.height,
            "sample_rate": event.sample_rate_hz,
            "samples_per_frame": event.samples_per_frame,
            "start_frame": event.start_frame,
            "direction": event.direction,
            "voice": event.voice,
            "engine": event.engine,
            "ai_generated": True,
            "consent": event.consent,
        }
    return {
        "type": "end",
        "frames": event.frames,
        "duration_s": round(event.duration_s, 3),
        "template_index": event.template_index,
        "direction": event.direction,
    }


def idle_header(avatar: str, media: str, width: int, height: int, frames: int, low: int, high: int) -> dict[str, Any]:
    """First line of a stream of idle frames."""
    sizes = {"fps": FPS, "width": width, "height": height, "frames": frames, "low": low, "high": high}
    return {"type": "header", "version": _VERSION, "avatar": avatar, "media": media, **sizes, "ai_generated": True}


def idle_frame(template_index: int, picture: bytes) -> dict[str, Any]:
    """One idle frame."""
    return {"type": "frame", "template_index": template_index, "image": _base64(picture)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
