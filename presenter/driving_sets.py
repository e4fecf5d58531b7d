"""The driving sets that there are: unseen words, voices, rooms, and sounds without speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DrivingSet:
    """How a set is made: spoken by a voice, a worse copy of the set `same_voice`, or a sound without speech."""

    voice: str = ""
    rate: float = 1.0
    damage: str = ""
    sound: str = ""

    @property
    def frames_of(self) -> str:
        """The set whose frames this one shows; empty if it has its own."""
        if self.damage:
            return CLEAN
        return "" if self.sound in ("", SILENCE) else SILENCE


CLEAN, SILENCE = "same_voice", "silence"
SETS: Mapping[str, DrivingSet] = {
    "same_voice": DrivingSet("flite:slt"),
    "faster": DrivingSet("flite:slt", rate=1.3),
    "slower": DrivingSet("flite:slt", rate=0.75),
    "voice_rms": DrivingSet("flite:rms"),
    "voice_awb": DrivingSet("flite:awb"),
    "voice_kal16": DrivingSet("flite:kal16"),
    "voice_en_us": DrivingSet("espeak:en-us"),
    "voice_en_gb": DrivingSet("espeak:en"),
    "voice_en_us_f3": DrivingSet("espeak:en-us+f3"),
    "voice_scotland": DrivingSet("espeak:en-gb-scotland"),
    "noisy": DrivingSet(damage="noise"),
    "reverberant": DrivingSet(damage="reverb"),
    SILENCE: DrivingSet(sound=SILENCE),
    "humming": DrivingSet(sound="humming"),
    "breath": DrivingSet(sound="breath"),
    "music": DrivingSet(sound="music"),
}
