"""What the commands of `python -m services.speech` do."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import soundfile

from config import Tts
from recipe.files import result_path, written_aside
from recipe.sound import to_pcm16
from services.errors import SpeechError
from services.speech.download import download_voice
from services.speech.engines import build_speech
from services.tts_service import SpeechService
from services.types import AudioChunk


def run(options: argparse.Namespace) -> str:
    """Do what was asked for; returns what to tell.

    Raises:
        UserError, OSError: it cannot be done.
    """
    if options.command == "download":
        paths = download_voice(options.voice, options.voices_dir, options.base_url)
        return "".join(f"{path}\n" for path in paths)
    if options.command == "voices":
        return _voices(_speech(options))
    return _say(_speech(options), options)


def _speech(options: argparse.Namespace) -> SpeechService:
    return build_speech(Tts(voices_dir=options.voices_dir, cache_mb=0))


def _voices(speech: SpeechService) -> str:
    lines = [f"{voice.name:32} {voice.language:10} {voice.label}" for voice in speech.voices()]
    reason = speech.status().fallback_reason
    return "".join(f"{line}\n" for line in [*lines, *([f"({reason})"] if reason else [])])


def _say(speech: SpeechService, options: argparse.Namespace) -> str:
    out = result_path(options.out, options.overwrite)
    duration_s = write_speech(out, speech.synthesize(options.text, options.voice, options.speed))
    return f"{out}: {duration_s:.2f} s, spoken by {options.voice or speech.status().default_voice}\n"


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
