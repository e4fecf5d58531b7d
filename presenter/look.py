"""What makes one presenter another: shape, colours, hair, beard, glasses and light, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from presenter.geometry import Float, linear_rgb

Sex = Literal["female", "male"]


@dataclass(frozen=True, eq=False)
class Skin:
    """Linear RGB of the skin and its soft spots."""

    base: Float
    red: Float
    shade: Float
    lid: Float
    light: Float
    scalp: Float
    brow: Float
    lip: Float
    blush: Float = field(default_factory=lambda: np.array([0.74, 0.265, 0.19]))  # where blood shines through


@dataclass(frozen=True, eq=False)
class Beard:
    """Hairs on chin, jaw and upper lip.

    Attributes:
        hairs: how many.
        length_dm: of one on the chin; shorter towards the edges.
        tint: how much the skin beneath takes their colour, 0..1.
    """

    hairs: int
    length_dm: float
    tint: float


@dataclass(frozen=True)
class Light:
    """How key and fill differ from the usual ones.

    Attributes:
        turn_deg: about the vertical; positive to the picture's right.
        raise_dm: so much higher they stand.
        warmth: -1 bluish to 1 yellowish.
        key, fill, ambient: factors of their power.
    """

    turn_deg: float = 0.0
    raise_dm: float = 0.0
    warmth: float = 0.0
    key: float = 1.0
    fill: float = 1.0
    ambient: float = 1.0


@dataclass(frozen=True, eq=False)
class Look:
    """One person who does not exist.

    Attributes:
        shape: how much of each MakeHuman target makes the person.
        skin, hair, brow, cloth: colours, linear RGB.
        size: of the body against MakeHuman's, so that the face fills as much of the picture as any other's.
        eyes_at: height and depth of the eyes' middle, decimetres; None leaves the body where it is.
        neckline_dm: so much higher the shirt ends.
        cropped: how much shorter hair stands off the head, 0 (long and tied back) to 1.
        beard: None is shaven.
        style: `drawn_back` hair ends in a knot (`cropped` cuts it), `short` hair is `short_dm` long, `bald` has none.
        receding_deg: so much higher the hairline lies at the temples.
        beard_hair: the beard's colour where it is not the hair's.
        iris: the bright part's colour; None is brown.
        pores: strength of pores and fine lines against the woman's.
        glasses: the frame's colour; None wears none.
        backdrop: its lit part.
    """

    name: str
    shape: Mapping[str, float]
    skin: Skin
    hair: Float
    brow: Float
    cloth: Float
    size: float = 1.0
    eyes_at: tuple[float, float] | None = None
    neckline_dm: float = 0.0
    cropped: float = 0.0
    beard: Beard | None = None
    style: Literal["drawn_back", "short", "bald"] = "drawn_back"
    short_dm: float = 0.2
    receding_deg: float = 0.0
    beard_hair: Float | None = None
    iris: Float | None = None
    pores: float = 1.0
    glasses: Float | None = None
    backdrop: Float = field(default_factory=lambda: linear_rgb(176, 182, 184))
    light: Light = Light()


def macro_shape(
    sex: Sex,
    *,
    old: float = 0.0,
    caucasian: float = 1 / 3,
    asian: float = 1 / 3,
    african: float = 1 / 3,
    weight: float = 0.0,
    muscle: float = 0.0,
    ideal: float = 0.4,
) -> dict[str, float]:
    """MakeHuman's macro targets and how much of each, for people between young and old.

    Args:
        old: 0 young (about 25 years) to 1 old (about 90).
        caucasian, asian, african: shares of the three head shapes of the data; they should sum to 1.
        weight, muscle: -1 least, 0 average, 1 most.
        ideal: how regular the proportions are, 0 to 1.
    """
    shape: dict[str, float] = {}
    for age, share in (("young", 1 - old), ("old", old)):
        for race, amount in (("caucasian", caucasian), ("asian", asian), ("african", african)):
            shape[f"macrodetails/{race}-{sex}-{age}"] = share * amount
        for muscles, m in _ends("muscle", muscle):
            for fat, w in _ends("weight", weight):
                shape[f"macrodetails/universal-{sex}-{age}-{muscles}-{fat}"] = share * m * w
        proportions = f"macrodetails/proportions/{sex}-{age}-averagemuscle-averageweight-idealproportions"
        shape[proportions] = ideal * share
    return {name: amount for name, amount in shape.items() if amount}


def _ends(what: str, value: float) -> tuple[tuple[str, float], ...]:
    if not -1 <= value <= 1:
        raise ValueError(f"{what} is {value}, expected -1 to 1")
    end = f"{'max' if value > 0 else 'min'}{what}"
    return ((f"average{what}", 1 - abs(value)), (end, abs(value)))
