"""python -m presenter render | still | sheet | heldout: make videos and pictures of the synthetic presenter."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from presenter import assets, heldout
from presenter.gpu import GraphicsUnavailableError
from presenter.head import load_person
from presenter.recording import OtherRecordingError, Recording, Settings
from presenter.renderer import Renderer
from presenter.scene import neutral_pose
from presenter.speech import SpeechError, read_speech, speaker
from presenter.timeline import END_SILENCE_S, TEXT, around_speech, read_sentences, speak_text
from presenter.visemes import SHAPES, UnknownPhoneError

RESTING_FACE = {"mouthSmileLeft": 0.13, "mouthSmileRight": 0.12, "eyeBlinkLeft": 0.07, "eyeBlinkRight": 0.07}
_EXPECTED = (
    assets.AssetsMissingError,
    GraphicsUnavailableError,
    OtherRecordingError,
    SpeechError,
    UnknownPhoneError,
    ValueError,
    FileNotFoundError,
)


def _frame_range(text: str) -> tuple[int, int]:
    first, _, stop = text.partition(":")
    if not (first.isdigit() and stop.isdigit() and int(first) < int(stop)):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected FIRST:STOP such as 0:500")
    return int(first), int(stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m presenter", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = argparse.ArgumentParser(add_help=False)
    drawing.add_argument("--size", type=int, default=512, help="width and height of the picture in pixels")
    drawing.add_argument("--samples", type=int, default=4, choices=(0, 4), help="0: half the time, rougher hair")
    drawing.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that render")
    drawing.add_argument("--seed", type=int, default=1, help="of everything that is not the mouth")
    render = commands.add_parser("render", parents=[drawing], help="a recording with ground truth")
    render.add_argument("--out", type=Path, required=True, help="video; sound and ground_truth.npz go beside it")
    render.add_argument("--minutes", type=float, default=5.0, help="length of the recording")
    render.add_argument("--text", type=Path, default=TEXT, help="what to say; paragraphs parted by empty lines")
    render.add_argument("--voice", default="flite:slt", help="flite:NAME or espeak:NAME")
    render.add_argument("--rate", type=float, default=1.0, help="speed of the speech")
    render.add_argument("--wav", type=Path, help="speak this sound instead of a text; needs --phones")
    render.add_argument("--phones", type=Path, help="lines of `start_s stop_s phone` for --wav")
    render.add_argument("--alphabet", choices=("arpabet", "ipa"), default="arpabet", help="of --phones")
    render.add_argument("--silence", type=float, default=END_SILENCE_S, help="closed mouth at both ends, seconds")
    render.add_argument("--frames", type=_frame_range, help="FIRST:STOP; render only this range now")
    still = commands.add_parser("still", parents=[drawing], help="one picture")
    still.add_argument("--out", type=Path, required=True)
    still.add_argument("--viseme", choices=list(SHAPES), default="sil", help="mouth shape")
    still.add_argument("--turn", type=float, nargs=3, default=(0, 0, 0), metavar="DEG", help="pitch, yaw, roll")
    still.add_argument("--blink", type=float, default=0.07, help="0 open to 1 closed")
    sheet = commands.add_parser("sheet", parents=[drawing], help="the mouth in every shape")
    sheet.add_argument("--out", type=Path, required=True)
    held = commands.add_parser("heldout", parents=[drawing], help="driving sets with true frames for unseen speech")
    held.add_argument("--out", type=Path, required=True, help="folder; one sub-folder a set")
    held.add_argument("--sets", nargs="*", default=list(heldout.SETS), choices=list(heldout.SETS))
    return parser


def _settings(arguments: argparse.Namespace, voice: str) -> Settings:
    return Settings(arguments.seed, arguments.size, arguments.samples, voice)


def _render(arguments: argparse.Namespace) -> None:
    if (arguments.wav is None) != (arguments.phones is None):
        raise ValueError("--wav and --phones belong together: the sound, and when each of its phones is spoken")
    if arguments.wav:
        speech = read_speech(arguments.wav, arguments.phones, arguments.alphabet)
        timeline, voice = around_speech(speech, arguments.silence), f"file:{arguments.wav.name}"
    else:
        voice = arguments.voice
        speak = speaker(voice, arguments.rate)
        paragraphs = read_sentences(arguments.text)
        timeline = speak_text(paragraphs, speak, arguments.minutes * 60, arguments.seed, arguments.silence)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    recording = Recording(arguments.out, timeline, _settings(arguments, voice))
    recording.prepare()
    first, stop = arguments.frames or (0, timeline.frames)
    recording.render(first, stop, arguments.workers)
    if recording.join():
        _say(f"{arguments.out}: {timeline.frames} frames, {timeline.duration_s:.1f} s; truth in {recording.truth}")
    else:
        _say(f"{len(recording.missing())} chunks of {recording.work} are still to be rendered")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _face(viseme: str, blink: float) -> dict[str, float]:
    face = RESTING_FACE | {"eyeBlinkLeft": blink, "eyeBlinkRight": blink}
    return face | {unit: face.get(unit, 0.0) + weight for unit, weight in SHAPES[viseme].items()}


def _renderer(arguments: argparse.Namespace) -> Renderer:
    data = assets.data_folder()
    return Renderer(load_person(data), data, arguments.size, arguments.samples)


def _still(arguments: argparse.Namespace) -> None:
    renderer = _renderer(arguments)
    pose = neutral_pose(renderer.person, _face(arguments.viseme, arguments.blink), np.radians(arguments.turn))
    Image.fromarray(renderer.render(pose)).save(arguments.out)


def _sheet(arguments: argparse.Namespace) -> None:
    """A grid of mouths, twice enlarged."""
    renderer, columns = _renderer(arguments), 6
    size = renderer.camera.size_px
    left, top, right, bottom = (round(x * size) for x in (0.37, 0.52, 0.63, 0.74))
    width, height = 2 * (right - left), 2 * (bottom - top)
    rows = -(-len(SHAPES) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for number, name in enumerate(SHAPES):
        picture = Image.fromarray(renderer.render(neutral_pose(renderer.person, _face(name, 0.07)))).crop(
            (left, top, right, bottom)
        )
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        ImageDraw.Draw(picture).text((6, 4), name, fill=(255, 255, 255))
        sheet.paste(picture, (number % columns * width, number // columns * height))
    sheet.save(arguments.out)


def _heldout(arguments: argparse.Namespace) -> None:
    for name in arguments.sets:
        made = heldout.make_set(name, arguments.out / name, _settings(arguments, ""), arguments.workers)
        _say(f"{name}: {made}")


def main(argv: list[str] | None = None) -> int:
    """Run one command; an expected failure is one line on the terminal."""
    arguments = _parser().parse_args(argv)
    commands = {"render": _render, "still": _still, "sheet": _sheet, "heldout": _heldout}
    try:
        commands[arguments.command](arguments)
    except _EXPECTED as error:
        sys.stderr.write(f"presenter: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
