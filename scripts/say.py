"""Speak a sentence into a WAV file: `python scripts/say.py "Good morning." speech.wav`.

Needs no download: Debian's `flite` where that program is installed, else espeak-ng out of the Python package
espeakng-loader.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import espeakng_loader

_SYNCHRONOUS, _DO_NOT_EXIT, _UTF8 = 2, 0x8000, 1  # of espeak-ng's speak_lib.h


def flite_wav(program: str, text: str, out: Path) -> None:
    """Write `text`, spoken by the voice slt, to `out` (16 kHz mono)."""
    subprocess.run([program, "-voice", "slt", "-t", text, "-o", str(out)], check=True)


def espeak_wav(text: str, out: Path, voice: str = "en") -> None:
    """Write `text`, spoken by espeak-ng, to `out` (22.05 kHz mono). Not thread-safe: the library keeps one state.

    Raises:
        RuntimeError: the library refuses to start, or it does not know the voice.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data_path = espeakng_loader.get_data_path().encode()
    sample_rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, data_path, _DO_NOT_EXIT)
    if sample_rate_hz <= 0:
        raise RuntimeError(f"espeak-ng did not start (code {sample_rate_hz}) with its data at {data_path.decode()}")
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RuntimeError(f"espeak-ng has no voice {voice!r}")
    pcm = bytearray()

    def collect(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            pcm.extend(ctypes.string_at(samples, 2 * count))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(collect)
    library.espeak_SetSynthCallback(callback)
    spoken = text.encode()
    library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken) + 1), 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    library.espeak_Terminate()
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(bytes(pcm))


def main() -> int:
    """Speak the first argument into the file that the second one names."""
    if len(sys.argv) != 3:
        sys.stderr.write('usage: python scripts/say.py "TEXT" OUT.wav\n')
        return 2
    text, out = sys.argv[1], Path(sys.argv[2])
    flite = shutil.which("flite")
    if flite:
        flite_wav(flite, text, out)
    else:
        espeak_wav(text, out)
    sys.stdout.write(f"{out}: spoken by {'flite' if flite else 'espeak-ng'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
