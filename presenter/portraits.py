"""Looks for portraits: people of more ages, skins, hair, beards and lights, to try photo avatars on."""

from __future__ import annotations

from typing import Final

import numpy as np

from presenter.geometry import Float, linear_rgb
from presenter.look import Beard, Light, Look, Skin, macro_shape

_EARS = {f"ears/{side}-ear-wing-decr": 0.6 for side in "lr"} | {f"ears/{side}-ear-scale-decr": 0.4 for side in "lr"}
_BLACK, _BROWN, _GREY = linear_rgb(30, 24, 22), linear_rgb(66, 46, 36), linear_rgb(152, 149, 145)
_BLOND, _RED = linear_rgb(158, 120, 78), linear_rgb(112, 56, 32)
_MALE_SIZE = 0.885
_EYES_AT = (6.69, 1.10)
# A middle skin's spots against its base; darker skin varies less from place to place.
_SPOTS = {
    "red": (1.01, 0.65, 0.70),
    "shade": (0.74, 0.64, 0.64),
    "lid": (0.79, 0.62, 0.64),
    "light": (1.15, 1.32, 1.38),
    "blush": (1.05, 0.64, 0.69),
}


def _skin(base: tuple[int, int, int], lip: tuple[int, int, int], hair: Float, brow: Float) -> Skin:
    """A palette from the skin's base and the lips' colour, 8-bit sRGB, and what hair and brows leave on the skin."""
    middle = linear_rgb(*base)
    evenness = float(np.clip(middle.mean() / 0.45, 0.35, 1)) ** 0.3
    spots = {name: middle * np.array(ratio) ** evenness for name, ratio in _SPOTS.items()}
    under_hair, under_brow = 0.3 * middle + 0.7 * hair, 0.4 * middle + 0.6 * brow
    return Skin(base=middle, lip=linear_rgb(*lip), scalp=under_hair, brow=under_brow, **spots)


def _man(*, old: float = 0.1, races: tuple[float, float, float], weight: float = 0.0) -> dict[str, float]:
    caucasian, asian, african = races
    return _EARS | macro_shape(
        "male", old=old, caucasian=caucasian, asian=asian, african=african, weight=weight, ideal=0.4 * (1 - old)
    )


def _woman(*, old: float = 0.0, races: tuple[float, float, float], weight: float = 0.0) -> dict[str, float]:
    caucasian, asian, african = races
    shape = macro_shape(
        "female", old=old, caucasian=caucasian, asian=asian, african=african, weight=weight, ideal=0.6 * (1 - old)
    )
    return _EARS | shape | {"mouth/mouth-angles-up": 0.3, "neck/neck-scale-horiz-decr": 0.15}


PORTRAITS: Final[tuple[Look, ...]] = (
    Look(
        name="man-window",
        shape=_man(races=(0.75, 0.15, 0.1)),
        skin=_skin((216, 168, 142), (182, 116, 106), _BROWN, _BROWN),
        hair=_BROWN,
        brow=_BROWN,
        cloth=linear_rgb(60, 66, 84),
        size=_MALE_SIZE,
        eyes_at=_EYES_AT,
        neckline_dm=0.26,
        style="short",
        short_dm=0.24,
        iris=linear_rgb(86, 108, 122),
        backdrop=linear_rgb(190, 184, 172),
        light=Light(turn_deg=-60, warmth=0.3, fill=0.5),
    ),
    Look(
        name="old-man",
        shape=_man(old=0.8, races=(0.8, 0.1, 0.1)) | {"head/head-age-incr": 0.4},
        skin=_skin((220, 170, 148), (178, 124, 114), _GREY, _GREY),
        hair=_GREY,
        brow=linear_rgb(140, 134, 126),
        cloth=linear_rgb(92, 96, 84),
        size=_MALE_SIZE,
        eyes_at=_EYES_AT,
        neckline_dm=0.40,
        style="short",
        short_dm=0.16,
        receding_deg=8,
        beard=Beard(hairs=8000, length_dm=0.07, tint=0.35),
        iris=linear_rgb(104, 122, 128),
        pores=1.7,
        backdrop=linear_rgb(150, 142, 130),
        light=Light(warmth=0.5, fill=0.7),
    ),
    Look(
        name="old-woman",
        shape=_woman(old=0.8, races=(0.6, 0.3, 0.1)),
        skin=_skin((224, 180, 156), (184, 116, 110), _GREY, _GREY),
        hair=_GREY,
        brow=linear_rgb(126, 116, 108),
        cloth=linear_rgb(96, 60, 92),
        size=0.96,
        eyes_at=_EYES_AT,
        neckline_dm=0.32,
        glasses=linear_rgb(90, 40, 44),
        iris=linear_rgb(96, 104, 84),
        pores=1.6,
        backdrop=linear_rgb(198, 200, 204),
    ),
    Look(
        name="woman-dark",
        shape=_woman(races=(0.1, 0.1, 0.8)),
        skin=_skin((104, 68, 50), (122, 64, 60), _BLACK, _BLACK),
        hair=_BLACK,
        brow=_BLACK,
        cloth=linear_rgb(196, 160, 60),
        eyes_at=_EYES_AT,
        backdrop=linear_rgb(120, 132, 142),
        light=Light(turn_deg=-20, key=1.15),
    ),
    Look(
        name="man-bald",
        shape=_man(old=0.35, races=(0.5, 0.3, 0.2), weight=0.4),
        skin=_skin((202, 152, 124), (168, 108, 98), _BROWN, _BROWN),
        hair=_BROWN,
        brow=_BROWN,
        cloth=linear_rgb(200, 200, 196),
        size=_MALE_SIZE,
        eyes_at=_EYES_AT,
        neckline_dm=0.26,
        style="bald",
        glasses=linear_rgb(30, 30, 34),
        backdrop=linear_rgb(84, 96, 110),
        light=Light(turn_deg=15, warmth=-0.4),
    ),
    Look(
        name="woman-soft",
        shape=_woman(races=(0.5, 0.28, 0.22)),
        skin=_skin((226, 184, 154), (192, 108, 104), _BLACK, _BLACK),
        hair=_BLACK,
        brow=linear_rgb(52, 40, 34),
        cloth=linear_rgb(150, 50, 56),
        eyes_at=_EYES_AT,
        backdrop=linear_rgb(214, 208, 200),
        light=Light(warmth=0.2, fill=1.4, ambient=1.2),
    ),
    Look(
        name="man-glasses",
        shape=_man(races=(0.45, 0.38, 0.17), weight=0.1),
        skin=_skin((210, 166, 134), (174, 114, 102), _BLACK, _BLACK),
        hair=_BLACK,
        brow=_BLACK,
        cloth=linear_rgb(70, 84, 66),
        size=_MALE_SIZE,
        eyes_at=_EYES_AT,
        neckline_dm=0.26,
        style="short",
        short_dm=0.3,
        glasses=linear_rgb(22, 22, 24),
    ),
    Look(
        name="man-redbeard",
        shape=_man(old=0.2, races=(0.95, 0.05, 0.0), weight=0.2),
        skin=_skin((228, 180, 158), (188, 120, 110), _RED, _RED),
        hair=_RED,
        brow=linear_rgb(124, 74, 46),
        cloth=linear_rgb(40, 52, 60),
        size=_MALE_SIZE,
        eyes_at=_EYES_AT,
        neckline_dm=0.26,
        style="short",
        receding_deg=3,
        beard=Beard(hairs=11000, length_dm=0.11, tint=0.5),
        iris=linear_rgb(96, 128, 108),
        backdrop=linear_rgb(140, 150, 140),
        light=Light(turn_deg=-50, fill=0.6),
    ),
    Look(
        name="woman-blond",
        shape=_woman(old=0.25, races=(0.9, 0.1, 0.0), weight=0.15) | {"head/head-round": 0.3},
        skin=_skin((232, 188, 166), (196, 116, 110), _BLOND, _BLOND),
        hair=_BLOND,
        brow=linear_rgb(128, 96, 68),
        cloth=linear_rgb(54, 96, 150),
        eyes_at=_EYES_AT,
        neckline_dm=0.22,
        style="short",
        short_dm=0.34,
        iris=linear_rgb(92, 124, 150),
        backdrop=linear_rgb(160, 168, 180),
        light=Light(warmth=-0.3, turn_deg=10),
    ),
    Look(
        name="man-overhead",
        shape=_man(old=0.3, races=(0.55, 0.25, 0.2)) | {"nose/nose-hump-incr": 0.3},
        skin=_skin((176, 128, 98), (150, 96, 84), _BLACK, _BLACK),
        hair=_BLACK,
        brow=_BLACK,
        cloth=linear_rgb(84, 40, 44),
        size=_MALE_SIZE,
        eyes_at=_EYES_AT,
        neckline_dm=0.26,
        style="short",
        receding_deg=4,
        backdrop=linear_rgb(196, 190, 170),
        light=Light(raise_dm=5, fill=0.6),
    ),
)
