"""A few frames of an avatar, from which a runtime can see whether its pictures of this avatar are near enough.

The frames are the template's own, from the most closed to the widest open mouth. An avatar holds no sound, so vowels
are made of harmonics of a voice: embeddings then lie where those of speech do.

Axes: B frames, S audio samples (16 kHz), T template frames, H W C picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.avatar_format import EMBEDDING
from recipe.crop import INNER, crop_face
from recipe.recipe_328 import SAMPLE_RATE_HZ
from services.avatars.avatar import Avatar
from services.avatars.networks import Networks
from services.avatars.template import TemplateVideo
from services.runtimes.runtime import Arrays, Runtime, Trial

_VOICE_HZ: Final = 120.0
_BREADTH_HZ: Final = 120.0
# Formants of a, i, u (Hz), and silence.
_SOUNDS_HZ: Final = ((730, 1090), (270, 2290), (300, 870), ())
_LOUDNESS: Final = 0.1  # root mean square


def trial_of(avatar: Avatar, template: TemplateVideo) -> Trial:
    """What the decoder is given for as many frames as there are sounds; computed only when it is asked for."""

    def frames(exact: Runtime) -> Sequence[Arrays]:
        networks = Networks(avatar, exact)
        ranks = np.linspace(0, avatar.manifest.frames - 1, len(_SOUNDS_HZ)).round().astype(int)
        shown = np.argsort(avatar.opening_T, kind="stable")[ranks]
        crops = [crop_face(template.frame(int(index)), avatar.affine_T23[index])[INNER, INNER] for index in shown]
        features = networks.encode(np.stack(crops))
        heard_BS = np.stack([vowel_S(formants, networks.hears_samples) for formants in _SOUNDS_HZ])
        gates_B = np.array([float(bool(formants)) for formants in _SOUNDS_HZ], np.float32)
        embedding_BD = networks.embed(heard_BS, gates_B)
        return [{**one, EMBEDDING: embedding_BD[row : row + 1]} for row, one in enumerate(features)]

    return frames


def vowel_S(formants_hz: Sequence[float], samples: int) -> NDArray[np.float32]:
    """A steady vowel; without formants silence."""
    if not formants_hz:
        return np.zeros(samples, np.float32)
    t_S = np.arange(samples) / SAMPLE_RATE_HZ
    hz_K = np.arange(_VOICE_HZ, SAMPLE_RATE_HZ / 2, _VOICE_HZ)
    level_K = np.sum([1 / (1 + ((hz_K - formant) / _BREADTH_HZ) ** 2) for formant in formants_hz], axis=0)
    falling_K = level_K * _VOICE_HZ / hz_K  # as a voice does, by 6 dB an octave
    sound_S = falling_K @ np.sin(2 * np.pi * hz_K[:, None] * t_S)
    return (_LOUDNESS * sound_S / np.sqrt(np.mean(np.square(sound_S)))).astype(np.float32)
