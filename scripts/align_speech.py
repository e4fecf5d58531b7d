"""Give real speech phones and times: python scripts/align_speech.py FOLDER OUT

FOLDER holds utterances.jsonl (id, speaker, text, confidence) and audio/ID.opus; OUT becomes such a folder with the
field `phones` in place, which `python -m training.ears --speech OUT` reads. Words that the dictionary lacks get flite's
pronunciation, figures are put into words. What the recogniser doubted, or what does not fit its sound, is left out.

    uv run --with pocketsphinx --with num2words python scripts/align_speech.py FOLDER OUT
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import configargparse
from num2words import num2words
from pocketsphinx import Decoder

from recipe.files import written_aside
from recipe.progress import progress
from recipe.sound import load_audio, to_pcm16

log = logging.getLogger("align_speech")
Phones = list[tuple[str, float, float]]
_DOUBTED: Final = -0.6  # mean log-probability of the recogniser below which its text is not trusted
_LONGEST_S: Final = 0.5  # no sound of fluent speech is longer: the text does not fit there
_FRAMES_A_SECOND: Final = 100
_PAUSES: Final = {"SIL", "+SPN+", "+NSN+"}
# flite's phones that pocketsphinx' model does not have
_ALIKE: Final = {
    "ax": "AH", "axr": "ER", "dx": "T", "hv": "HH", "el": "AH L", "em": "AH M", "en": "AH N", "nx": "N"
}  # fmt: skip


def words_of(text: str) -> list[str]:
    """As they are spoken, in small letters."""
    text = re.sub(r"\b(\d+)(st|nd|rd|th)\b", lambda found: num2words(int(found[1]), to="ordinal"), text)
    text = re.sub(r"\d[\d,]*", lambda found: num2words(int(found[0].replace(",", ""))), text).lower()
    for short, long in (("mrs.", "missus"), ("mr.", "mister"), ("dr.", "doctor"), ("st.", "saint"), ("’", "'")):
        text = text.replace(short, long)
    return [word for found in re.findall(r"[a-z']+", text) if (word := found.strip("'"))]


def pronunciation(word: str) -> str:
    """By flite's letter-to-sound rules, in the model's phones."""
    spoken = subprocess.run(["flite", "-ps", "-t", word, "none"], capture_output=True, text=True, check=True)
    return " ".join(_ALIKE.get(phone, phone.upper()) for phone in spoken.stdout.split() if phone != "pau")


def aligned(text: str, pcm_bytes: bytes) -> Phones | None:
    """(phone, start s, duration s) of 16-kHz PCM s16le; None where text and sound do not fit."""
    words = words_of(text)
    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    for word in set(words):
        if decoder.lookup_word(word) is None:
            decoder.add_word(word, pronunciation(word), True)
    try:
        decoder.set_align_text(" ".join(words))
        _hear(decoder, pcm_bytes)
        if decoder.hyp() is None:
            return None
        decoder.set_alignment()  # the second pass splits the words into phones
        _hear(decoder, pcm_bytes)
    except RuntimeError as error:
        log.info("not aligned: %s", error)
        return None
    scale = 1 / _FRAMES_A_SECOND
    phones = [(one.name, one.start * scale, one.duration * scale) for word in decoder.get_alignment() for one in word]
    longest = max((length for name, _, length in phones if name not in _PAUSES), default=0.0)
    return phones if 0 < longest <= _LONGEST_S else None


def _hear(decoder: Any, pcm_bytes: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm_bytes, full_utt=True)
    decoder.end_utt()


def main() -> int:
    """Entry point; the exit status."""
    parser = configargparse.ArgumentParser(
        description=__doc__, formatter_class=configargparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rows = [json.loads(line) for line in (options.folder / "utterances.jsonl").read_text(encoding="utf-8").splitlines()]
    (options.out / "audio").mkdir(parents=True, exist_ok=True)
    kept = []
    for row in progress(rows, unit="utterance"):
        sound = options.folder / "audio" / f"{row['id']}.opus"
        phones = aligned(row["text"], to_pcm16(load_audio(sound)).tobytes()) if row["confidence"] >= _DOUBTED else None
        if phones is not None:
            kept.append({**row, "phones": phones})
            copy = options.out / "audio" / sound.name
            if not copy.exists():
                copy.symlink_to(sound.resolve())
    with written_aside(options.out / "utterances.jsonl") as part:
        part.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    log.info("%d of %d utterances have phones now", len(kept), len(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
