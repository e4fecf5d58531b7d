"""What the spectrum of a recording tells: a picture of it, and how long the room goes on sounding.

Axes: S audio samples (16 kHz), D mel bands, N columns.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from recipe.recipe_328 import MEL_BINS, MEL_FFT, MEL_FMAX_HZ, MEL_FMIN_HZ, MEL_HOP, SAMPLE_RATE_HZ

_FLOOR_DB: Final = -90.0
_DECAY_COLUMNS: Final = 20  # 200 ms of a fall that nothing interrupts
_LEAST_FALL_DB: Final = 5.0  # in that time: rooms up to two seconds and a half
_ABOVE_NOISE_DB: Final = 6.0  # at the end of it
_RISE_DB: Final = 0.5  # in 10 ms, smoothed: no new sound has begun
_LEAST_DECAYS: Final = 30
_STEEPEST_QUANTILE: Final = 0.75  # gentler falls are the voice's own


def mel_db(audio_S: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-mel spectrogram with the recipe's bands, 10 ms a column.

    Returns:
        (D, N) dB of full scale, not below -90.
    """
    import librosa  # here: with Numba it takes seconds

    power_DN = librosa.feature.melspectrogram(
        y=audio_S, sr=SAMPLE_RATE_HZ, n_fft=MEL_FFT, hop_length=MEL_HOP, n_mels=MEL_BINS, fmin=MEL_FMIN_HZ,
        fmax=MEL_FMAX_HZ,
    )  # fmt: skip
    return np.asarray(librosa.power_to_db(power_DN, ref=1.0, amin=10 ** (_FLOOR_DB / 10), top_db=None), np.float32)


def reverberation_s(mel_DN: NDArray[np.float32]) -> float | None:
    """How long the room goes on sounding (RT60), estimated blindly from the steepest decays of the speech itself.

    No voice stops at once, so the figure is an upper bound that is near the truth in a room that rings.

    Args:
        mel_DN: from `mel_db`, 10 ms a column.
    Returns:
        Seconds in which the sound falls by 60 dB; None where nothing decays far enough to be measured.
    Source: the idea of decay-rate statistics, J. Y. C. Wen, E. A. P. Habets, P. A. Naylor, "Blind estimation of
        reverberation time based on the distribution of signal decay rates", ICASSP 2008.
    """
    smooth_DN = uniform_filter(mel_DN.astype(np.float64), (3, 5))
    falls = smooth_DN[:, :-_DECAY_COLUMNS] - smooth_DN[:, _DECAY_COLUMNS:]
    noise_D1 = np.percentile(smooth_DN, 5, axis=1, keepdims=True)
    steps = np.lib.stride_tricks.sliding_window_view(np.diff(smooth_DN, axis=1), _DECAY_COLUMNS, axis=1)
    heard = smooth_DN[:, _DECAY_COLUMNS:] > noise_D1 + _ABOVE_NOISE_DB
    found = falls[(steps.max(axis=-1) <= _RISE_DB) & heard & (falls > _LEAST_FALL_DB)]
    if len(found) < _LEAST_DECAYS:
        return None
    return 60.0 / float(np.quantile(found, _STEEPEST_QUANTILE)) * _DECAY_COLUMNS * MEL_HOP / SAMPLE_RATE_HZ
