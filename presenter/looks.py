"""Who is rendered: nobody, in more than one shape and colour.

A look is a mixture of MakeHuman's targets that is no real person, and the colours that go with it. All looks share the
mesh, the face units, the teeth, the lamps and the articulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from presenter.geometry import linear_rgb
from presenter.look import Beard, Look, Skin
from presenter.portraits import PORTRAITS

WOMAN: Final = Look(
    name="woman",
    shape={
        "macrodetails/caucasian-female-young": 0.55,
        "macrodetails/asian-female-young": 0.28,
        "macrodetails/african-female-young": 0.17,
        "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
        "macrodetails/proportions/female-young-averagemuscle-averageweight-idealproportions": 0.6,
        "mouth/mouth-lowerlip-volume-incr": 0.25,
        "mouth/mouth-upperlip-volume-incr": 0.25,
        "mouth/mouth-upperlip-height-incr": 0.1,
        "mouth/mouth-lowerlip-height-incr": 0.1,
        "mouth/mouth-angles-up": 0.3,
        "mouth/mouth-scale-horiz-incr": 0.12,
        "head/head-oval": 0.5,
        "nose/nose-volume-decr": 0.15,
        "nose/nose-width2-decr": 0.25,
        "nose/nose-nostrils-width-decr": 0.15,
        "eyebrows/eyebrows-trans-up": 0.1,
        "neck/neck-scale-horiz-decr": 0.15,
        "ears/l-ear-wing-decr": 0.7,
        "ears/r-ear-wing-decr": 0.7,
        "ears/l-ear-scale-decr": 0.35,
        "ears/r-ear-scale-decr": 0.35,
        "cheek/l-cheek-bones-incr": 0.25,
        "cheek/r-cheek-bones-incr": 0.25,
    },
    skin=Skin(
        base=linear_rgb(221, 172, 146),
        red=linear_rgb(222, 142, 124),
        shade=linear_rgb(192, 140, 118),
        lid=linear_rgb(198, 138, 118),
        light=linear_rgb(236, 196, 170),
        scalp=linear_rgb(74, 52, 40),
        brow=linear_rgb(128, 92, 72),
        lip=linear_rgb(188, 104, 100),
    ),
    hair=linear_rgb(82, 56, 42),
    brow=linear_rgb(96, 68, 54),
    cloth=linear_rgb(46, 88, 104),
)

MAN: Final = Look(
    name="man",
    shape={
        "macrodetails/african-male-young": 0.48,
        "macrodetails/caucasian-male-young": 0.34,
        "macrodetails/asian-male-young": 0.18,
        "macrodetails/universal-male-young-averagemuscle-averageweight": 1.0,
        "macrodetails/proportions/male-young-averagemuscle-averageweight-idealproportions": 0.4,
        "head/head-oval": 0.2,
        "head/head-age-incr": 0.2,
        "chin/chin-width-incr": 0.2,
        "mouth/mouth-angles-up": 0.25,
        "nose/nose-width2-decr": 0.25,
        "neck/neck-scale-horiz-decr": 0.2,
        "ears/l-ear-wing-decr": 0.6,
        "ears/r-ear-wing-decr": 0.6,
        "ears/l-ear-scale-decr": 0.3,
        "ears/r-ear-scale-decr": 0.3,
    },
    skin=Skin(
        base=linear_rgb(141, 94, 68),
        red=linear_rgb(150, 84, 64),
        shade=linear_rgb(104, 66, 48),
        lid=linear_rgb(112, 70, 52),
        light=linear_rgb(168, 118, 88),
        scalp=linear_rgb(40, 29, 24),
        brow=linear_rgb(58, 40, 31),
        lip=linear_rgb(134, 78, 68),
        blush=np.array([0.30, 0.115, 0.075]),
    ),
    hair=linear_rgb(34, 27, 24),
    brow=linear_rgb(40, 31, 27),
    cloth=linear_rgb(150, 142, 128),
    size=0.885,
    eyes_at=(6.69, 1.10),
    neckline_dm=0.26,
    cropped=0.75,
    beard=Beard(hairs=9000, length_dm=0.075, tint=0.62),
)

LOOKS: Final[Mapping[str, Look]] = {look.name: look for look in (WOMAN, MAN, *PORTRAITS)}
