"""Which mouth shape each sound has: phones of both speech engines -> shapes -> face-unit weights.

Shapes are finer than the 15 visemes commonly counted; `VISEME_OF_SHAPE` says which viseme each one is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Phone:
    """One sound and its time."""

    name: str
    start_s: float
    stop_s: float


VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")

_UNIT = {
    "jaw": "jawOpen",
    "funnel": "mouthFunnel",
    "pucker": "mouthPucker",
    "roll_lower": "mouthRollLower",
    "roll_upper": "mouthRollUpper",
    "shrug_lower": "mouthShrugLower",
    "shrug_upper": "mouthShrugUpper",
    "tip": "tongueTipUp",
    "forward": "tongueForward",
    "body": "tongueBodyUp",
    "low": "tongueLow",
    "lip_in": "lowerLipIn",
}
_UNIT_OF_BOTH_SIDES = {
    "upper": "mouthUpperUp",
    "lower": "mouthLowerDown",
    "smile": "mouthSmile",
    "stretch": "mouthStretch",
    "press": "mouthPress",
}


def _shape(**weights: float) -> dict[str, float]:
    """Short names to face units."""
    units: dict[str, float] = {}
    for name, weight in weights.items():
        if name in _UNIT:
            units[_UNIT[name]] = weight
        else:
            units |= {_UNIT_OF_BOTH_SIDES[name] + side: weight for side in ("Left", "Right")}
    return units


SHAPES: Mapping[str, Mapping[str, float]] = {
    "sil": _shape(),
    "PP": _shape(press=0.30, roll_lower=0.14, roll_upper=0.10),
    "FF": _shape(jaw=0.02, roll_lower=0.45, upper=0.62, lip_in=0.75),
    "TH": _shape(jaw=0.12, lower=0.28, upper=0.18, tip=0.45, forward=1.0),
    "DD": _shape(jaw=0.10, lower=0.28, upper=0.16, stretch=0.06, tip=0.9),
    "L": _shape(jaw=0.17, lower=0.25, upper=0.16, tip=1.0),
    "kk": _shape(jaw=0.13, lower=0.18, upper=0.10, body=1.0),
    "SS": _shape(jaw=0.025, lower=0.46, upper=0.32, stretch=0.22, smile=0.12, tip=0.3),
    "CH": _shape(jaw=0.035, funnel=0.50, pucker=0.25, upper=0.16, lower=0.34),
    "RR": _shape(jaw=0.10, funnel=0.26, pucker=0.34, lower=0.12, body=0.5),
    "HH": _shape(jaw=0.16, lower=0.14, upper=0.08),
    "aa": _shape(jaw=0.46, lower=0.30, upper=0.14, low=0.3),
    "ah": _shape(jaw=0.28, lower=0.24, upper=0.12),
    "ax": _shape(jaw=0.17, lower=0.20, upper=0.10),
    "ae": _shape(jaw=0.38, lower=0.34, upper=0.24, stretch=0.20, smile=0.12),
    "E": _shape(jaw=0.25, lower=0.30, upper=0.20, stretch=0.18, smile=0.16),
    "I": _shape(jaw=0.13, lower=0.26, upper=0.16, stretch=0.16, smile=0.24, body=0.4),
    "IY": _shape(jaw=0.07, lower=0.26, upper=0.18, stretch=0.26, smile=0.38, body=0.7),
    "O": _shape(jaw=0.31, funnel=0.42, pucker=0.20, lower=0.10),
    "U": _shape(jaw=0.09, funnel=0.22, pucker=0.66),
    "UH": _shape(jaw=0.14, funnel=0.24, pucker=0.34, lower=0.08),
    "W": _shape(jaw=0.05, pucker=0.86, funnel=0.10),
}
VISEME_OF_SHAPE = {name: name for name in SHAPES if name in VISEMES} | {
    "L": "nn", "HH": "kk", "ah": "aa", "ax": "aa", "ae": "aa", "IY": "I", "UH": "U", "W": "U",
}  # fmt: skip

# flite's phones (ARPAbet in lower case).
_ARPABET = {
    "pau": "sil", "h#": "sil", "brth": "sil", "aa": "aa", "ae": "ae", "ah": "ah", "ao": "O", "aw": "aa U", "ax": "ax",
    "axr": "RR", "ay": "aa I", "b": "PP", "ch": "CH", "d": "DD", "dh": "TH", "dx": "DD", "eh": "E", "el": "L",
    "em": "PP", "en": "DD", "er": "RR", "ey": "E IY", "f": "FF", "g": "kk", "hh": "HH", "hv": "HH", "ih": "I",
    "iy": "IY", "jh": "CH", "k": "kk", "l": "L", "m": "PP", "n": "DD", "nx": "DD", "ng": "kk", "ow": "O U",
    "oy": "O I", "p": "PP", "r": "RR", "s": "SS", "sh": "CH", "t": "DD", "th": "TH", "uh": "UH", "uw": "U",
    "v": "FF", "w": "W", "y": "IY", "z": "SS", "zh": "CH",
}  # fmt: skip
# espeak-ng's phones are IPA strings; each letter has a shape, a diphthong two.
_IPA = {
    "_": "sil", "p": "PP", "b": "PP", "m": "PP", "f": "FF", "v": "FF", "θ": "TH", "ð": "TH", "t": "DD", "d": "DD",
    "n": "DD", "ɾ": "DD", "l": "L", "ɫ": "L", "k": "kk", "g": "kk", "ɡ": "kk", "ŋ": "kk", "x": "kk", "ʔ": "kk",
    "s": "SS", "z": "SS", "ʃ": "CH", "ʒ": "CH", "ɹ": "RR", "r": "RR", "ɻ": "RR", "ɚ": "RR", "ɝ": "RR", "h": "HH",
    "j": "IY", "w": "W", "ʍ": "W", "a": "aa", "ɑ": "aa", "ɐ": "ah", "ʌ": "ah", "ə": "ax", "ɜ": "ax", "æ": "ae",
    "e": "E", "ɛ": "E", "ɪ": "I", "ᵻ": "I", "i": "IY", "y": "U", "ɒ": "O", "ɔ": "O", "o": "O", "u": "U", "ʊ": "UH",
    "ʉ": "U", "ʏ": "U", "ø": "U", "œ": "O", "ɵ": "UH", "ɨ": "I", "ɘ": "ax", "ɤ": "ah", "ʋ": "FF", "β": "PP", "ɬ": "L",
    "ɲ": "DD", "c": "kk", "ɟ": "kk", "q": "kk", "χ": "kk", "ʁ": "kk", "ɣ": "kk", "ɦ": "HH", "ʈ": "DD", "ɖ": "DD",
    "ɳ": "DD", "ɽ": "DD", "ɭ": "L", "ʎ": "L", "ɯ": "I", "ʂ": "CH", "ʐ": "CH", "ɕ": "CH", "ʑ": "CH", "ʦ": "SS",
    "ʀ": "kk", "ʕ": "HH", "ħ": "HH", "ε": "E",
    # some voices write letters of other alphabets
    "A": "aa", "N": "kk", "S": "CH", "X": "kk", "Z": "CH",
}  # fmt: skip
ALPHABETS = ("arpabet", "ipa")


class UnknownPhoneError(ValueError):
    """A phone that has no mouth shape in its alphabet."""


def shapes_of_phone(phone: str, alphabet: str) -> list[str]:
    """The mouth shapes a phone passes through: one, or two for a diphthong.

    Raises:
        UnknownPhoneError: the phone is not in the alphabet.
    """
    if alphabet == "arpabet":
        if phone not in _ARPABET:
            raise UnknownPhoneError(f"phone {phone!r} is not one of flite's ({', '.join(_ARPABET)})")
        return _ARPABET[phone].split()
    letters = [x for x in unicodedata.normalize("NFD", phone) if unicodedata.category(x) not in ("Lm", "Mn", "Sk")]
    letters = [x for x in letters if x.isalpha()] or ["_"]
    unknown = [x for x in letters if x not in _IPA]
    if unknown:
        raise UnknownPhoneError(
            f"IPA letter {unknown[0]!r} of phone {phone!r} has no mouth shape; add it to visemes.py"
        )
    shapes = [_IPA[x] for x in letters]
    if shapes == ["DD", "CH"]:  # an affricate is one gesture
        return ["CH"]
    return [shape for i, shape in enumerate(shapes) if i == 0 or shape != shapes[i - 1]]
