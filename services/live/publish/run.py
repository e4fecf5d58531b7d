"""What `python -m services.live.publish` does."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from config import Models, Tts
from recipe.errors import UserError
from recipe.recipe_328 import FPS
from services.container import build_services
from services.errors import ConsentMissingError
from services.live.events import Event, Failed
from services.live.pictures import WholePictures
from services.live.programme import Programme
from services.live.publish.outlet import RATE_HZ, Outlet, form_of
from services.live.session import LiveSession
from services.runtimes.threads import draw_on_one_thread
from services.speech.engines import build_speech
from services.streaming.events import mark_of

logger = logging.getLogger(__name__)

_BEHIND_S: Final = 1.0  # who falls behind by more goes on from now
_LAST_S: Final = 0.4  # of moving on after the last word


def run(options: argparse.Namespace, lines: Iterable[str]) -> str:
    """Publish until the lines end; returns what to tell.

    Raises:
        UserError: it cannot be done.
    """
    _, others_get_it = form_of(options.publish)
    draw_on_one_thread()
    models = Models(avatars_dir=options.avatars_dir, threads=options.threads, device=options.device)
    services = build_services(models, build_speech(Tts(voices_dir=options.voices_dir)))
    model = services.models.open(options.name)
    avatar = model.avatar
    if others_get_it and not avatar.may_serve_publicly:
        raise ConsentMissingError(
            f"avatar {options.name} shows a person without a consent record, so it is not published; record the "
            f'consent (python -m services.avatars consent {options.name} "who, date, scope")'
        )
    services.tts.check("a", options.voice, options.speed)
    session = LiveSession(services.frames, model, services.tts, idle="bare")
    pictures = WholePictures(model)
    try:
        programme = Programme(session, pictures, RATE_HZ, on_event=_tell)
        with Outlet(options.publish, *pictures.size, options.kbit_s, mark_of(avatar.consent)) as outlet:
            reader = Lines(session, lines, options.voice, options.speed)
            frames = broadcast(programme, outlet, lambda: options.stay or not reader.over)
    finally:
        session.close(5.0)
    late = f", {programme.late} late" if programme.late else ""
    return f"{frames} frames, {frames / FPS:.1f} s{late}\n"


class Lines:
    """Says what is typed, in a thread of its own; an empty line interrupts."""

    def __init__(self, session: LiveSession, lines: Iterable[str], voice: str | None, speed: float) -> None:
        """Begin to read."""
        self._session, self._lines, self._voice, self._speed = session, lines, voice, speed
        self._read = False
        threading.Thread(target=self._say, name="lines", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether there are no more, and all was said."""
        return self._read and not self._session.is_speaking

    def _say(self) -> None:
        for line in self._lines:
            try:
                if line.strip():
                    self._session.speak(line.strip(), self._voice, self._speed)
                else:
                    self._session.clear()
            except UserError as error:
                sys.stderr.write(f"not said: {error}\n")
        self._read = True


def broadcast(programme: Programme, outlet: Outlet, goes_on: Callable[[], bool]) -> int:
    """Send in real time while it `goes_on`, and a little longer; returns the number of frames.

    Raises:
        PublishError: see Outlet.write.
    """
    due_s, frames, rest = time.monotonic(), 0, round(_LAST_S * FPS)
    while rest and not programme.ended:
        rest = round(_LAST_S * FPS) if goes_on() else rest - 1
        outlet.write(programme.tick())
        frames += 1
        due_s += 1 / FPS
        behind_s = time.monotonic() - due_s
        if behind_s > _BEHIND_S:
            logger.warning("this machine is %.1f s behind; the stream goes on from now", behind_s)
            due_s = time.monotonic()
        time.sleep(max(0.0, -behind_s))
    return frames


def _tell(event: Event) -> None:
    if isinstance(event, Failed):
        sys.stderr.write(f"not said: {event.error}\n")
