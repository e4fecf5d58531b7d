"""Text to speech on the command line.

python -m services.speech voices
python -m services.speech say "Good morning." speech.wav
python -m services.speech download en_US-lessac-medium
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import soundfile

from config import Tts
from recipe.errors import UserError
from recipe.files import written_aside
from recipe.places import at_home
from recipe.sound import to_pcm16
from services.errors import SpeechError
from services.speech.download import BASE_URL, download_voice
from services.speech.engines import build_speech
from services.tts_service import SpeechService
from services.types import AudioChunk


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input or no network, 130 after Ctrl-C."""
    options = _parse(arguments)
    try:
        if options.command == "download":
            paths = download_voice(options.voice, options.voices_dir, options.base_url)
            text = "".join(f"{path}\n" for path in paths)
        elif options.command == "voices":
            text = _voices(_speech(options))
        else:
            text = _say(_speech(options), options.text, options.out, options.voice, options.speed)
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        return 130
    sys.stdout.write(text)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.speech", description="Text to speech.")
    parser.add_argument("--voices_dir", type=Path, default=at_home("voices"), help="folder of the Piper voices")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("voices", help="every voice of this machine, the default one first")
    say = commands.add_parser("say", help="speak a text into a WAV file")
    say.add_argument("text")
    say.add_argument("out", type=Path, help="the WAV file")
    say.add_argument("--voice", help="one of `voices`; default: the first one")
    say.add_argument("--speed", type=float, default=1.0, help="0.5 to 2; 1 is the voice's own")
    download = commands.add_parser("download", help="fetch a Piper voice")
    download.add_argument("voice", help="for example en_US-lessac-medium")
    download.add_argument("--base_url", default=BASE_URL, help="a copy of rhasspy/piper-voices")
    return parser.parse_args(arguments)


def _speech(options: argparse.Namespace) -> SpeechService:
    return build_speech(Tts(voices_dir=options.voices_dir, cache_mb=0))


def _voices(speech: SpeechService) -> str:
    lines = [f"{voice.name:32} {voice.language:10} {voice.label}" for voice in speech.voices()]
    reason = speech.status().fallback_reason
    return "".join(f"{line}\n" for line in [*lines, *([f"({reason})"] if reason else [])])


def _say(speech: SpeechService, text: str, out: Path, voice: str | None, speed: float) -> str:
    duration_s = write_speech(out, speech.synthesize(text, voice, speed))
    return f"{out}: {duration_s:.2f} s, spoken by {voice or speech.status().default_voice}\n"


def write_speech(out: Path, chunks: Iterable[AudioChunk]) -> float:
    """Write an utterance as a 16-bit WAV file, which appears only when it is whole; returns its seconds."""
    if out.suffix.lower() != ".wav":
        raise SpeechError(f"{out} does not end in .wav; WAV is the only format written")
    samples = rate_hz = 0
    file: soundfile.SoundFile | None = None
    with written_aside(out) as part:
        try:
            for chunk in chunks:
                rate_hz = chunk.sample_rate_hz
                file = file or soundfile.SoundFile(part, "w", rate_hz, 1, "PCM_16", format="WAV")
                file.write(to_pcm16(chunk.pcm_S))
                samples += len(chunk.pcm_S)
        finally:
            if file is not None:
                file.close()
    return samples / rate_hz


if __name__ == "__main__":
    sys.exit(main())
