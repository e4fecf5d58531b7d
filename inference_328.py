"""Let an avatar say a recording or a text: sound file or text in, MP4 out.

    python inference_328.py --name NAME --audio_path speech.wav
    python inference_328.py --name NAME --text "Good morning."

Everything is made by the services that also stream to a browser; only the last stage is a file writer. What is heavy is
imported when the options are known to be right.
"""

from __future__ import annotations

import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import configargparse

from recipe.aspect_names import ASPECTS
from recipe.errors import UserError
from recipe.files import result_path
from recipe.places import at_home
from recipe.recipe_328 import FPS
from services.runtimes.names import Device, RuntimeName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recipe.avatar_format import AvatarManifest
    from recipe.sound import SoundTrack
    from services.speech.lips import SpokenLips
    from services.types import AvatarModel, TTSService, VideoFrame

_SLUG_CHARACTERS = 24
_CHARACTERS_PER_S = 15.0  # of English speech, until the voice has shown how fast it is


def parse_options(arguments: Sequence[str] | None) -> configargparse.Namespace:
    """Read the command line."""
    parser = configargparse.ArgumentParser(
        prog="inference_328.py", description="Let an avatar say a recording or a text; writes an MP4."
    )
    parser.add_argument("--name", required=True, help="the avatar")
    said = parser.add_mutually_exclusive_group(required=True)
    said.add_argument("--audio_path", type=Path, help="speech; any file with sound")
    said.add_argument("--text", help="what to say; plain text")
    parser.add_argument("--voice", help="of the text, as `python -m services.speech voices` lists it")
    parser.add_argument("--speed", type=float, help="of the text, 0.5 to 2; 1, the voice's own, is the default")
    parser.add_argument("--voices_dir", type=Path, help="folder of the Piper voices (default: voices)")
    parser.add_argument(
        "--out", type=Path, help="the MP4; default result/NAME_AUDIO.mp4 or result/NAME_first-words.mp4"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result; else a number is appended")
    parser.add_argument(
        "--aspect",
        choices=ASPECTS,
        default="original",
        help="write only a part of the picture, around the face: square, portrait (9:16) or landscape (16:9)",
    )
    parser.add_argument("--start_frame", type=int, default=0, help="frame of the avatar's template to begin at")
    parser.add_argument(
        "--restore",
        type=Path,
        metavar="FILE",
        help="network (.onnx: GFPGAN, CodeFormer or alike) that draws the mouth of every frame anew; of photo avatars",
    )
    parser.add_argument(
        "--credentials",
        type=Path,
        default=at_home("credentials"),
        env_var="AVATAR328_CREDENTIALS__FOLDER",
        help="folder that the file is signed from: python -m services.credentials (default: credentials, if there)",
    )
    parser.add_argument("--avatars_dir", type=Path, help="folder of the avatars (default: avatars)")
    parser.add_argument("--device", choices=get_args(Device), default="auto", help="what runs the networks")
    parser.add_argument("--runtime", choices=get_args(RuntimeName), default="auto", help="what computes; auto measures")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads for the networks; 0 = one per core")
    options = parser.parse_args(arguments)
    if options.audio_path is not None and (options.voice is not None or options.speed is not None):
        parser.error("--voice and --speed are of --text; a recording is said as it is")
    if options.out is None:
        said_name = slug(options.text) if options.audio_path is None else options.audio_path.stem
        options.out = at_home("result") / f"{options.name}_{said_name}.mp4"
    if options.out.suffix.lower() != ".mp4":
        parser.error(f"--out {options.out} does not end in .mp4; MP4 is the only format written")
    if options.threads < 0:
        parser.error(f"--threads {options.threads} is negative; 0 means one per core")
    return options


def slug(text: str) -> str:
    """The first words of a text as a file name: "Good morning! I was" -> good-morning-i-was."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", text).lower().replace("'", "").replace("’", ""))
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word[:_SLUG_CHARACTERS]
        if len(longer) > _SLUG_CHARACTERS:
            break
        name = longer
    return name or "text"


@dataclass(frozen=True, slots=True)
class Said:
    """What the avatar says: for the networks, for the file, and how long it probably is."""

    heard: Iterable[NDArray[np.float32]]  # 16 kHz
    track: SoundTrack
    seconds: Callable[[], float | None]
    lips: SpokenLips | None = None  # what the mouth does, where a voice tells its phones


def recording(path: Path, out: Path) -> Said:
    """What a sound file says."""
    from recipe.sound import iter_audio, original_sound
    from services.errors import VideoWriteError

    track = original_sound(path)
    if out.exists() and out.samefile(path):
        raise VideoWriteError(f"{out} is the recording itself and would be overwritten; choose another --out")
    return Said(iter_audio(path), track, lambda: track.duration_s)


def speech(tts: TTSService, text: str, voice: str | None, speed: float) -> Said:
    """What a voice makes of a text; its first words are spoken before this returns."""
    from recipe.sound import SoundTrack
    from services.speech.feed import SpeechFeed

    feed = SpeechFeed(tts.synthesize(text, voice, speed))
    track = SoundTrack(feed.start(), 1, None, feed.native_track())

    def seconds() -> float:
        """By how long the sentences took that were spoken so far."""
        return feed.estimated_s(len(text), _CHARACTERS_PER_S * speed)

    return Said(feed, track, seconds, feed.lips)


def with_progress(frames: Iterable[VideoFrame], seconds: Callable[[], float | None]) -> Iterator[VideoFrame]:
    """Pass frames on, and show how many are done, when the rest will be, and the real-time factor."""
    from recipe.progress import progress

    def expected() -> int | None:
        found = seconds()
        return None if found is None else round(found * FPS)

    started = time.perf_counter()
    with progress(frames, total=expected(), unit="frame") as bar:
        for count, frame in enumerate(bar, start=1):
            yield frame
            if count % FPS == 0:
                factor = (time.perf_counter() - started) * FPS / count
                bar.total = max(expected() or 0, count) or None
                bar.set_postfix_str(f"real-time factor {factor:.2f}", refresh=False)


def restoring(model: AvatarModel, path: Path) -> AvatarModel:
    """The avatar, with the mouth of every frame drawn anew.

    Raises:
        WrongKindError: it was trained from a recording.
        RestorerError: the file is no network that restores faces.
    """
    from recipe.face_restorer import FaceRestorer
    from services.avatars.photo_model import LoadedPhoto
    from services.errors import WrongKindError

    if not isinstance(model, LoadedPhoto):
        raise WrongKindError(f"--restore is for avatars of photos, and {model.avatar.name} was trained: leave it away")
    return model.restored_by(FaceRestorer(path))


def render(options: configargparse.Namespace) -> str:
    """Make the video; returns what to tell the user."""
    from config import Models, Tts
    from recipe.aspect import window
    from recipe.version import product_version
    from services.container import build_services
    from services.credentials.signing import find_credentials
    from services.speech.engines import build_speech
    from services.streaming.events import mark_of
    from services.streaming.video_writer import write_video

    def given(*names: str) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(options, name)) is not None}

    tts = build_speech(Tts(cache_mb=0, **given("voices_dir")))
    services = build_services(Models(**given("avatars_dir", "device", "threads", "runtime")), tts)
    model = services.models.open(options.name)
    if options.restore is not None:
        model = restoring(model, options.restore)
    if options.text is None:
        said = recording(options.audio_path, options.out)
    else:
        said = speech(services.tts, options.text, options.voice, 1.0 if options.speed is None else options.speed)
    credentials = find_credentials(options.credentials, product_version())
    out = result_path(options.out, options.overwrite)
    started = time.perf_counter()
    manifest = model.avatar.manifest
    with closing(services.frames.generate(model, said.heard, options.start_frame, said.lips)) as frames:
        part = window(manifest.width, manifest.height, model.avatar.face, options.aspect)
        mark = mark_of(model.avatar.consent)
        shown = (
            replace(frame, frame_rgb_HWC=frame.frame_rgb_HWC[part.rows, part.columns])
            for frame in with_progress(frames, said.seconds)
        )
        count = write_video(out, shown, part.width, part.height, said.track, mark)
    if credentials is not None:
        credentials.sign(out, "video/mp4")
    took_s, long_s = time.perf_counter() - started, count / FPS
    lines = [
        f"{out}",
        f"  {long_s:.2f} s of video ({count} frames), made in {took_s:.1f} s: real-time factor "
        f"{took_s / long_s:.2f}, {count / took_s:.1f} frames/s on {model.provider}",
    ]
    if options.text is not None:
        lines.append(f"  spoken by {options.voice or services.tts.status().default_voice}")
    lines += [f"  {line}" for line in (_measured(manifest), model.avatar.notice) if line]
    return "\n".join(lines) + "\n"


_HEADLINES = {
    "generated.psnr_mouth_db": "mouth {:.1f} dB",
    "generated.lmd_percent": "LMD {:.1f} %",
    "generated.opening_r": "opening r {:.2f}",
    "shuffled.leak_net_r": "leak {:.2f}",
}


def _measured(manifest: AvatarManifest) -> str:
    """The headline metrics of the avatar's own held-out test; all: python -m services.avatars show NAME."""
    found = {key: manifest.metrics.get(key) for key in _HEADLINES}
    numbers = [_HEADLINES[key].format(value) for key, value in found.items() if isinstance(value, int | float)]
    return "held-out test of this avatar: " + ", ".join(numbers) if numbers else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Render one recording or text; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    options = parse_options(arguments)
    from services.runtimes.memory import share_one_arena
    from services.runtimes.threads import draw_on_one_thread

    share_one_arena()
    draw_on_one_thread()
    try:
        sys.stdout.write(render(options))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted: {options.out} was not written\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
