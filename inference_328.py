"""Let an avatar say a recording: sound file in, MP4 out.

    python inference_328.py --name NAME --audio_path speech.wav

Everything is made by the services that also stream to a browser; only the last stage is a file writer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import configargparse
from tqdm import tqdm

from data_prep.audio import iter_audio
from data_prep.errors import PreparationError
from data_prep.recipe_328 import FPS
from services.avatar_manifest import AvatarManifest
from services.container import build_services
from services.errors import ServiceError, VideoWriteError
from services.types import VideoFrame
from services.video_writer import original_sound, write_video


def parse_options(arguments: Sequence[str] | None) -> configargparse.Namespace:
    """Read the command line."""
    parser = configargparse.ArgumentParser(description="Let an avatar say a recording: sound file in, MP4 out.")
    parser.add_argument("--name", required=True, help="the avatar")
    parser.add_argument("--audio_path", type=Path, required=True, help="speech; any file with sound")
    parser.add_argument("--out", type=Path, help="the MP4; default result/NAME_AUDIO.mp4")
    parser.add_argument("--start_frame", type=int, default=0, help="frame of the avatar's template to begin at")
    parser.add_argument("--avatars_dir", type=Path, default=Path("avatars"), help="folder of the avatars")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="what runs the networks")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads for the networks; 0 = one per core")
    options = parser.parse_args(arguments)
    if options.out is None:
        options.out = Path("result") / f"{options.name}_{options.audio_path.stem}.mp4"
    if options.out.suffix.lower() != ".mp4":
        parser.error(f"--out {options.out} does not end in .mp4; MP4 is the only format written")
    if options.threads < 0:
        parser.error(f"--threads {options.threads} is negative; 0 means one per core")
    return options


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
    services = build_services(options.avatars_dir, options.device, options.threads)
    model = services.models.open(options.name)
    sound = original_sound(options.audio_path)
    if options.out.exists() and options.out.samefile(options.audio_path):
        raise VideoWriteError(f"{options.out} is the recording itself and would be overwritten; choose another --out")
    expected = None if sound.duration_s is None else round(sound.duration_s * FPS)
    started = time.perf_counter()
    frames = services.frames.generate(model, iter_audio(options.audio_path), options.start_frame)
    manifest = model.avatar.manifest
    count = write_video(options.out, with_progress(frames, expected), manifest.width, manifest.height, sound)
    took_s = time.perf_counter() - started
    lines = [
        f"{options.out}: {count / FPS:.2f} s, {count} frames in {took_s:.1f} s "
        f"(real-time factor {took_s * FPS / count:.2f}, {count / took_s:.1f} frames/s) on {model.provider}"
    ]
    lines += [line for line in (_measured(manifest), model.avatar.notice) if line]
    return "\n".join(lines) + "\n"


_HEADLINES = {
    "generated.psnr_mouth_db": "mouth {:.1f} dB",
    "generated.lmd_percent": "LMD {:.1f} %",
    "generated.opening_r": "opening r {:.2f}",
    "shuffled.leak_net_r": "leak {:.2f}",
}


def _measured(manifest: AvatarManifest) -> str:
    """The headline metrics of the avatar's own held-out test; all of them: python -m services.avatar show NAME."""
    found = {key: manifest.metrics.get(key) for key in _HEADLINES}
    numbers = [_HEADLINES[key].format(value) for key, value in found.items() if isinstance(value, int | float)]
    return "held-out test of this avatar: " + ", ".join(numbers) if numbers else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Render one recording; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    options = parse_options(arguments)
    try:
        sys.stdout.write(render(options))
    except (ServiceError, PreparationError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted: {options.out} was not written\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
