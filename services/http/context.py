"""What the endpoints that answer with an animation work with, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from recipe.aspect_names import Aspect
from services.errors import CaptionRejectedError
from services.http import schemas
from services.http.dependencies import Animations, Cache, Fonts, KnownSettings, Problems
from services.http.negotiation import preferred
from services.http.streams import FORMATS, Encoder, disposition, encoder, ended_by_problem, pumped
from services.streaming import mjpeg, mp4, ndjson
from services.streaming.burned import burned
from services.streaming.cropped import cropped, part_shown
from services.streaming.events import Event
from services.streaming.pump import Pump
from services.utterance import Begin, SpokenText, UploadedSound, new_utterance

Pieces = Generator[bytes, None, None]

_UTTERANCE_HEADER: Final = "X-Utterance-Id"


@dataclass(frozen=True, slots=True)
class AnimationContext:
    """A request, and what answers it."""

    request: Request
    animations: Animations
    cache: Cache
    settings: KnownSettings
    problems: Problems
    fonts: Fonts

    @property
    def who(self) -> str:
        """Who asks, for the log of provenance."""
        key = getattr(self.request.state, "key", None)
        return key.name if key is not None else "anyone" if self.settings.public else "local"

    def begin(self, avatar: str | None, start_frame: int, direction: int) -> Begin:
        """The avatar that was asked for, or the default one."""
        chosen = self.settings.models.default_avatar if avatar is None else avatar
        return Begin(chosen, start_frame, direction)

    def media_type(self, delivery: schemas.Delivery) -> str:
        """Of the answer."""
        if delivery.format is not None:
            return FORMATS[delivery.format]
        return preferred(self.request.headers.get("accept"), tuple(FORMATS.values()), {mjpeg.MEDIA_TYPE: "image/jpeg"})

    def is_signed(self, media_type: str, delivery: schemas.Delivery) -> bool:
        """Whether the answer is a file that carries Content Credentials: not one that is played while it is made."""
        return delivery.download and media_type == mp4.MEDIA_TYPE and self.animations.signs_files

    def check_captions(self, said: SpokenText | UploadedSound, media_type: str) -> None:
        """Look whether captions can be drawn into this answer.

        Raises:
            CaptionRejectedError: they cannot.
        """
        if media_type != mp4.MEDIA_TYPE:
            raise CaptionRejectedError("captions are drawn into an MP4 only: ask with format=mp4")
        if isinstance(said, UploadedSound):
            raise CaptionRejectedError("nobody knows the words of a recording; ask without captions")
        self.fonts.check(said.text)

    def encoder(
        self,
        media_type: str,
        signed_name: str = "",
        kept: Callable[[Pieces], Pieces] | None = None,
        captions: bool = False,
        aspect: Aspect = "original",
    ) -> Encoder:
        """Events to bytes; an NDJSON stream that fails ends with a problem as its last line.

        Args:
            media_type: of the answer.
            signed_name: of the file it is, if it is to be signed.
            kept: keeps what passes.
            captions: are drawn into the pictures.
            aspect: what is shown of them.
        """
        encode = encoder(media_type, self.settings.server.jpeg_quality)

        def pieces(events: Generator[Event, None, None]) -> Pieces:
            if aspect != "original":
                events = cropped(events, lambda header: part_shown(header, aspect))
            coded = encode(burned(events, self.fonts) if captions else events)
            if signed_name:
                coded = self.animations.finished_file(coded, media_type, signed_name)
            if kept is not None:
                coded = kept(coded)
            if media_type != ndjson.MEDIA_TYPE:
                return coded
            return ended_by_problem(coded, lambda error: self.problems.of(error, self.request.url.path))

        return pieces

    async def streamed(
        self,
        source: SpokenText | UploadedSound,
        begin: Begin,
        media_type: str,
        delivery: schemas.Delivery,
        further: dict[str, str] | None = None,
    ) -> Response:
        """The animation, sent while it is generated.

        Args:
            source: what is said.
            begin: by whom.
            media_type: of the answer.
            delivery: how it is answered.
            further: headers.
        Raises:
            UserError: what is wrong with it, before anything is sent.
        """
        if delivery.captions:
            await run_in_threadpool(self.check_captions, source, media_type)
        utterance = new_utterance()
        headers = answer_headers(utterance, media_type, delivery.download) | (further or {})
        begin = replace(begin, in_time=delivery.in_time or media_type == mjpeg.MEDIA_TYPE)
        signed_name = f"{utterance}.mp4" if self.is_signed(media_type, delivery) else ""
        encode = self.encoder(media_type, signed_name, captions=delivery.captions, aspect=delivery.aspect)
        pump = await self.started(utterance, source, begin, encode)
        return await pumped(self.request, pump, media_type, headers)

    async def started(
        self, utterance: str, source: SpokenText | UploadedSound, begin: Begin, encode: Encoder
    ) -> Pump[bytes]:
        """An utterance that was set going, and is counted to the key that asked.

        Raises:
            QuotaError: the key had all that a day allows.
            UserError: see AnimationService.start.
        """
        gate, key = self.request.app.state.gate, getattr(self.request.state, "key", None)
        begin = replace(begin, who=self.who)
        if gate is not None and key is not None:
            gate.quotas.check_seconds(key.name)
            begin = replace(begin, spend=lambda seconds: gate.quotas.spend(key.name, seconds))
        return await run_in_threadpool(self.animations.start, utterance, source, begin, encode)


def answer_headers(utterance: str, media_type: str, download: bool) -> dict[str, str]:
    """Of every animation."""
    return {
        _UTTERANCE_HEADER: utterance,
        "Cache-Control": "no-store",
        "Vary": "Accept",
        **disposition(utterance, media_type, download),
    }


def _context(
    request: Request, animations: Animations, cache: Cache, settings: KnownSettings, problems: Problems, fonts: Fonts
) -> AnimationContext:
    return AnimationContext(request, animations, cache, settings, problems, fonts)


Context = Annotated[AnimationContext, Depends(_context)]
