"""What the commands of `python -m presenter` do."""

from __future__ import annotations

import argparse
import sys

import numpy as np
from PIL import Image, ImageDraw

from presenter import assets, heldout
from presenter.gpu import GraphicsUnavailableError
from presenter.head import load_person
from presenter.looks import LOOKS
from presenter.recording import OtherRecordingError, Recording, Settings
from presenter.renderer import Renderer
from presenter.scene import neutral_pose
from presenter.timeline import around_speech, read_sentences, speak_text
from recipe.articulation.speakers import SpeechError, read_speech, speaker
from recipe.articulation.visemes import SHAPES, UnknownPhoneError

RESTING_FACE = {"mouthSmileLeft": 0.13, "mouthSmileRight": 0.12, "eyeBlinkLeft": 0.07, "eyeBlinkRight": 0.07}
_PORTRAIT_TURNS_DEG = ((0, 0, 0), (3, 6, 0), (-4, -8, 2), (2, 10, 0), (0, -5, -3), (5, 0, 3), (-3, 8, -2))
_EXPECTED = (
    assets.AssetsMissingError,
    GraphicsUnavailableError,
    OtherRecordingError,
    SpeechError,
    UnknownPhoneError,
    ValueError,
    FileNotFoundError,
)


def _settings(arguments: argparse.Namespace, voice: str) -> Settings:
    return Settings(arguments.seed, arguments.size, arguments.samples, voice, arguments.person)


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
    return Renderer(load_person(data, LOOKS[arguments.person]), data, arguments.size, arguments.samples)


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


def _people(arguments: argparse.Namespace) -> None:
    """Everybody, each turned and tilted a little differently (up to 10 degrees), and a sheet of all."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    columns, size = 4, arguments.size
    sheet = Image.new("RGB", (columns * size, -(-len(LOOKS) // columns) * size))
    data = assets.data_folder()
    for number, look in enumerate(LOOKS.values()):
        renderer = Renderer(load_person(data, look), data, size, arguments.samples)
        turn = np.radians(_PORTRAIT_TURNS_DEG[number % len(_PORTRAIT_TURNS_DEG)])
        pose = neutral_pose(renderer.person, RESTING_FACE, turn)
        picture = Image.fromarray(renderer.render(pose))
        picture.save(arguments.out / f"{look.name}.png")
        sheet.paste(picture, (number % columns * size, number // columns * size))
    sheet.save(arguments.out / "sheet.png")


def _heldout(arguments: argparse.Namespace) -> None:
    for name in arguments.sets:
        made = heldout.make_set(name, arguments.out / name, _settings(arguments, ""), arguments.workers)
        _say(f"{name}: {made}")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; an expected failure is one line on the terminal.

    Returns:
        The exit code.
    """
    commands = {"render": _render, "still": _still, "sheet": _sheet, "people": _people, "heldout": _heldout}
    try:
        commands[arguments.command](arguments)
    except _EXPECTED as error:
        sys.stderr.write(f"presenter: {error}\n")
        return 1
    return 0
