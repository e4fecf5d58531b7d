"""Let an avatar say a recording or a text: sound file or text in, MP4 out.

    python inference_328.py --name NAME --audio_path speech.wav
    python inference_328.py --name NAME --text "Good morning."

Everything is made by the services that also stream to a browser; only the last stage is a file writer.
"""

from __future__ import annotations

import re
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import configargparse
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recipe.avatar_format import AvatarManifest
from recipe.errors import UserError
from recipe.recipe_328 import FPS
from recipe.sound import SoundTrack, iter_audio, original_sound
from services.container import build_services
from services.errors import VideoWriteError
from services.runtimes.choice import RuntimeName
from services.runtimes.memory import share_one_arena
from services.speech.feed import SpeechFeed
from services.streaming.video_writer import write_video
from services.tts_service import build_speech
from services.types import TTSService, VideoFrame

_SLUG_CHARACTERS = 24


def parse_options(arguments: Sequence[str] | None) -> configargparse.Namespace:
    """Read the command line."""
    parser = configargparse.ArgumentParser(description="Let an avatar say a recording or a text; writes an MP4.")
    parser.add_argument("--name", required=True, help="the avatar")
    said = parser.add_mutually_exclusive_group(required=True)
    said.add_argument("--audio_path", type=Path, help="speech; any file with sound")
    said.add_argument("--text", help="what to say; plain text")
    parser.add_argument("--voice", help="of the text, as `python -m services.speech voices` lists it")
    parser.add_argument("--speed", type=float, help="of the text, 0.5 to 2; 1, the voice's own, is the default")
    parser.add_argument("--voices_dir", type=Path, default=Path("voices"), help="folder of the Piper voices")
    parser.add_argument(
        "--out", type=Path, help="the MP4; default result/NAME_AUDIO.mp4 or result/NAME_first-words.mp4"
    )
    parser.add_argument("--start_frame", type=int, default=0, help="frame of the avatar's template to begin at")
    parser.add_argument("--avatars_dir", type=Path, default=Path("avatars"), help="folder of the avatars")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="what runs the networks")
    parser.add_argument("--runtime", choices=get_args(RuntimeName), default="auto", help="what computes; auto measures")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads for the networks; 0 = one per core")
    options = parser.parse_args(arguments)
    if options.audio_path is not None and (options.voice is not None or options.speed is not None):
        parser.error("--voice and --speed are of --text; a recording is said as it is")
    if options.out is None:
        said_name = slug(options.text) if options.audio_path is None else options.audio_path.stem
        options.out = Path("result") / f"{options.name}_{said_name}.mp4"
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
    """What the avatar says: for the networks, and for the file."""

    heard: Iterable[NDArray[np.float32]]  # 16 kHz
    track: SoundTrack


def recording(path: Path, out: Path) -> Said:
    """What a sound file says."""
    track = original_sound(path)
    if out.exists() and out.samefile(path):
        raise VideoWriteError(f"{out} is the recording itself and would be overwritten; choose another --out")
    return Said(iter_audio(path), track)


def speech(tts: TTSService, text: str, voice: str | None, speed: float) -> Said:
    """What a voice makes of a text; its first words are spoken before this returns."""
    feed = SpeechFeed(tts.synthesize(text, voice, speed))
    return Said(feed, SoundTrack(feed.start(), 1, None, feed.native_track()))


def with_progress(frames: Iterable[VideoFrame], expected: int | None) -> Iterator[VideoFrame]:
    """Pass frames on, and show how many are done, when the rest will be, and the real-time factor."""
    started = time.perf_counter()
    with tqdm(frames, total=expected, unit="frame", mininterval=0.5) as bar:
        for count, frame in enumerate(bar, start=1):
            yield frame
            if count % FPS == 0:
                factor = (time.perf_counter() - started) * FPS / count
                bar.set_postfix_str(f"real-time factor {factor:.2f}", refresh=False)


def render(options: configargparse.Namespace) -> str:
    """Make the video; returns what to tell the user."""
    tts = build_speech(options.voices_dir)
    services = build_services(options.avatars_dir, options.device, options.threads, tts=tts, runtime=options.runtime)
    model = services.models.open(options.name)
    if options.text is None:
        said = recording(options.audio_path, options.out)
    else:
        said = speech(services.tts, options.text, options.voice, 1.0 if options.speed is None else options.speed)
    expected = None if said.track.duration_s is None else round(said.track.duration_s * FPS)
    started = time.perf_counter()
    manifest = model.avatar.manifest
    with closing(services.frames.generate(model, said.heard, options.start_frame)) as frames:
        count = write_video(options.out, with_progress(frames, expected), manifest.width, manifest.height, said.track)
    took_s = time.perf_counter() - started
    lines = [
        f"{options.out}: {count / FPS:.2f} s, {count} frames in {took_s:.1f} s "
        f"(real-time factor {took_s * FPS / count:.2f}, {count / took_s:.1f} frames/s) on {model.provider}"
    ]
    if options.text is not None:
        lines.append(f"spoken by {options.voice or services.tts.status().default_voice}")
    lines += [line for line in (_measured(manifest), model.avatar.notice) if line]
    return "\n".join(lines) + "\n"


_HEADLINES = {
    "generated.psnr_mouth_db": "mouth {:.1f} dB",
    "generated.lmd_percent": "LMD {:.1f} %",
    "generated.opening_r": "opening r {:.2f}",
    "shuffled.leak_net_r": "leak {:.2f}",
}


def _measured(manifest: AvatarManifest) -> str:
    """The headline metrics of the avatar's own held-out test; all of them: python -m services.avatars show NAME."""
    found = {key: manifest.metrics.get(key) for key in _HEADLINES}
    numbers = [_HEADLINES[key].format(value) for key, value in found.items() if isinstance(value, int | float)]
    return "held-out test of this avatar: " + ", ".join(numbers) if numbers else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Render one recording or text; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    options = parse_options(arguments)
    share_one_arena()
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
