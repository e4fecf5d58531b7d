"""A page on Gradio: `python demo_gradio.py`; an avatar or a photo, and a text or a recording, become a video.

It is for this machine alone, because it asks for no keys; `python api.py` is the server for others. The services, their
settings and their limits are the server's own. Needs the extra `gradio`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import configargparse

from recipe.errors import UserError
from recipe.installed import missing_packages_are_said

if TYPE_CHECKING:
    from config import Settings
    from services.container import ServerParts, Services
    from services.streaming.events import Event
    from services.utterance import Begin, SpokenText, UploadedSound

_HERE: Final = "127.0.0.1"
_SPEAK: Final = "/speak"
_TIDY_S: Final = 60
_STOP_S: Final = 10.0


class Speaker:
    """What the page's button does, in gradio's threads."""

    def __init__(self, parts: ServerParts, settings: Settings) -> None:
        """Take over the services, and the settings that they were made of."""
        self._parts = parts
        self._avatars_dir = settings.models.avatars_dir

    def speak(
        self,
        avatar: str | None,
        photo: bytes | None,
        consent: str,
        synthetic: bool,
        text: str,
        sound: bytes | None,
        voice: str | None,
        speed: float,
    ) -> str:
        """An avatar, or the photo if there is one, says a text or a recording.

        Args:
            avatar: its name.
            photo: a picture file's bytes; takes the place of the avatar.
            consent: "who, YYYY-MM-DD, scope" of the person on the photo.
            synthetic: the photo shows no real person.
            text: what is said.
            sound: or a sound file's bytes, which are said as they are.
            voice: of the text; None is the default one.
            speed: of the text, 0.5 to 2.
        Returns:
            Path of the MP4.
        Raises:
            HTTPException: 422: neither or both of text and sound; neither avatar nor photo.
            UserError: whatever the services refuse.
        """
        from recipe.tombstones import revoked_recordings
        from services.streaming.mp4 import MEDIA_TYPE, encode_fragmented_mp4
        from services.utterance import new_utterance

        animations, results = self._parts.animations, self._parts.results
        animations.forget(revoked_recordings(self._avatars_dir))
        source, begin = _said(text, sound, voice, speed), self._begin(avatar, photo, consent, synthetic)
        utterance = new_utterance()

        def encode(events: Generator[Event, None, None]) -> Generator[bytes, None, None]:
            coded = animations.finished_file(encode_fragmented_mp4(events), MEDIA_TYPE, f"{utterance}.mp4")
            return results.written(utterance, coded)

        return b"".join(animations.start(utterance, source, begin, encode)).decode()

    def _begin(self, avatar: str | None, photo: bytes | None, consent: str, synthetic: bool) -> Begin:
        from starlette.exceptions import HTTPException

        from services.avatars.photo_studio import PhotoWish
        from services.utterance import Begin

        if photo:
            return self._parts.animations.photos.once(BytesIO(photo), PhotoWish(consent, synthetic))
        if not avatar:
            raise HTTPException(422, "choose an avatar, or send a photo")
        return Begin(avatar)


def _said(text: str, sound: bytes | None, voice: str | None, speed: float) -> SpokenText | UploadedSound:
    from starlette.exceptions import HTTPException

    from services.utterance import SpokenText, UploadedSound

    if bool(text.strip()) == bool(sound):
        raise HTTPException(422, "write a text, or send a recording: one of them")
    return UploadedSound(BytesIO(sound)) if sound else SpokenText(text, voice or None, speed)


def build_page(parts: ServerParts, settings: Settings) -> Any:
    """The page, a gradio.Blocks; its one endpoint is `/speak`, with what `Speaker.speak` takes.

    Raises:
        NotInstalledError: gradio is missing.
    """
    with missing_packages_are_said("pip install -e '.[gradio]'"):
        import gradio
    from services.http.gradio_api import in_event_loop
    from services.http.problems import ProblemMap

    speaker, problems = Speaker(parts, settings), ProblemMap(settings.models.avatars_dir)
    names = [entry.name for entry in parts.catalogue.refresh() if entry.problem is None]
    default = settings.models.default_avatar
    voices = [
        ("the default one", ""),
        *((f"{voice.label} ({voice.language})", voice.name) for voice in parts.tts.voices()),
    ]

    def speak(*given: Any) -> str:
        try:
            return speaker.speak(*given)
        except Exception as error:  # a call's outer edge
            raise gradio.Error(problems.of(error, _SPEAK).detail, print_exception=False) from error

    keep = (_TIDY_S, max(int(settings.compat.results_s), 1))

    def lay_out() -> Any:
        with gradio.Blocks(title="avatar328", analytics_enabled=False, delete_cache=keep) as page:
            gradio.Markdown(
                "# avatar328\nAn avatar or a photo says a text or a recording. What comes out is AI-generated."
            )
            with gradio.Row():
                with gradio.Column():
                    given = [
                        gradio.Dropdown(names, value=default if default in names else None, label="Avatar"),
                        gradio.File(type="binary", height=120, file_types=["image"], label="or a photo of one person"),
                        gradio.Textbox(label="Consent of whoever it shows", placeholder="who, YYYY-MM-DD, scope"),
                        gradio.Checkbox(label="The photo shows no real person"),
                        gradio.Textbox(label="Text", lines=3),
                        gradio.File(type="binary", height=120, file_types=["audio", "video"], label="or a recording"),
                        gradio.Dropdown(voices, value="", label="Voice of the text"),
                        gradio.Slider(0.5, 2, value=1, step=0.05, label="Speed of the text"),
                    ]
                    button = gradio.Button("Speak", variant="primary")
                video = gradio.Video(label="Video", interactive=False, autoplay=True)
            button.click(speak, given, video, api_name=_SPEAK.removeprefix("/"))
        page.queue(default_concurrency_limit=parts.animations.slots.count)
        return page

    return in_event_loop(lay_out)


def launch(page: Any, parts: ServerParts, settings: Settings, port: int | None) -> str:
    """Serve the page to this machine, in threads; returns its address.

    Args:
        page: of `build_page`.
        parts, settings: what it was built of.
        port: 0 or None: a free one from 7860 on.
    Raises:
        CannotListenError: the port is taken.
    """
    from services.errors import CannotListenError
    from services.http.gradio_api import in_event_loop

    def listen() -> str:
        _, address, _ = page.launch(
            prevent_thread_lock=True,
            server_name=_HERE,
            server_port=port or None,
            share=False,
            quiet=True,
            allowed_paths=[str(parts.results.folder)],
            max_file_size=settings.limits.upload_mb << 20,
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
        )
        return str(address)

    try:
        return in_event_loop(listen)
    except OSError as error:
        raise CannotListenError(f"port {port or '7860 to 7959'} of {_HERE} is taken; choose another --port") from error


def build_parts(settings: Settings, services: Services | None = None) -> ServerParts:
    """The server's parts, without its routes.

    Args:
        settings: of everything.
        services: by default the real ones.
    Raises:
        ConfigError: a setting cannot be used.
        ModelRuntimeError: the configured device is not there.
    """
    from data_prep.photo_maker import PhotoMaker, can_make_photos
    from services.container import build_server, build_services
    from services.speech.engines import build_speech

    services = services or build_services(settings.models, build_speech(settings.tts, settings.limits.text_characters))
    maker = PhotoMaker(settings.photos.size_px, settings.photos.restorer) if can_make_photos() else None
    return build_server(services, settings, maker)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C; returns the exit code, 0 or 2."""
    parser = configargparse.ArgumentParser(
        prog="demo_gradio.py", description="A page on Gradio, for this machine alone; set as .env.example says."
    )
    parser.add_argument("--port", type=int, help="port to listen on; by default a free one from 7860 on")
    options = parser.parse_args(arguments)
    import config
    from services.runtimes.memory import share_one_arena
    from services.runtimes.threads import draw_on_one_thread

    share_one_arena()
    draw_on_one_thread()
    try:
        port = {} if options.port is None else {"port": options.port}
        settings = config.load_settings(server={"host": _HERE, **port})
        logging.basicConfig(level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # gradio asks itself whether it is there
        parts = build_parts(settings)
        page = build_page(parts, settings)
        address = launch(page, parts, settings, options.port)
    except (UserError, config.ConfigError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"open {address}\n")
    sys.stdout.flush()
    try:
        page.block_thread()  # until Ctrl-C, which it takes itself
    finally:
        page.close(verbose=False)
        parts.animations.work.close(_STOP_S)
        parts.animations.provenance.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
