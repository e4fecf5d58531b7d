"""Is somebody speaking? One number per video frame that opens and closes the avatar's mouth.

The gate is 1 in speech and through short pauses, 0 in silence, room tone and steady noise, and moves
between them on a ramp. It opens before the sound, because lips move before the first phone is heard.
Training and serving use this very code; a chunked stream gives the same bits as the whole utterance.

How it decides, every 10 ms (a hop):
1. Power in two bands, around 750 Hz where vowels are strong and above 2 kHz where 's' and 'f' are, in
   integer arithmetic, so that no order of summation can change a bit.
2. Noise floor of each band = its least power, over 50 ms, of the last two seconds (minimum statistics). It
   looks back only, except that the utterance starts with the least of the first 270 ms: they have been
   heard before the first frame is decided, and a recording that begins with room tone begins closed.
3. Hysteresis: speech starts when the stronger band is well above its floor for three hops in a row, and
   ends when both stay near it for 60 ms. A click is shorter than that, a hum or a fan is its own floor.

Axes: `S` audio samples at 16 kHz, `T` video frames.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME

HOP_SAMPLES = SAMPLE_RATE_HZ // 100
_HOPS_PER_FRAME = SAMPLES_PER_FRAME // HOP_SAMPLES
# Hops that must be known before frame 0 is decided: its own and the lookahead, rounded down.
_KNOWN_HOPS = (SAMPLES_PER_FRAME + AUDIO_LOOKAHEAD_SAMPLES) // HOP_SAMPLES

_FULL_SCALE = 32768
_BOX = 8  # the vowel band is the difference of two neighbouring sums of so many samples
_HISTORY = 2 * _BOX  # samples before a hop that its filters need
_VOWEL_GAIN, _HISS_GAIN = 2.0 * _BOX, 2.0  # about the filters' greatest gain, so that both bands read dBFS

_ONSET_HOPS = 3
_RELEASE_HOPS = 6
_OPEN_ABOVE_FLOOR_DB = 7.0
_CLOSE_ABOVE_FLOOR_DB = 4.5
_LEAST_FLOOR_DB = -72.0  # below this no recording has speech, and digital silence must not make hiss a voice
_SMOOTHING_HOPS = 5  # whole periods, or nearly, of 50 and 60 Hz hum
_FLOOR_BLOCK_HOPS = 20
_FLOOR_BLOCKS = 10

# Distances from the frame's centre, in hops: fully open up to the first number, closed from the second on.
_AHEAD_HOPS = (10, 23)  # 100 ms before an onset; starts to open 220 ms before it
_BEHIND_HOPS = (20, 34)  # 200 ms after the last speech; closed 340 ms after it


class _NoiseFloor:
    """Least power of one band over the last two seconds, kept in blocks of 200 ms."""

    def __init__(self, first_db: list[float]) -> None:
        self._recent: deque[float] = deque(maxlen=_SMOOTHING_HOPS)
        self._blocks: deque[float] = deque(maxlen=_FLOOR_BLOCKS)
        self._block_db = math.inf
        self._hops = 0
        for power_db in first_db:
            self._smooth(power_db)
        self._recent.clear()

    def update(self, power_db: float) -> float:
        self._smooth(power_db)
        self._hops += 1
        floor_db = min([self._block_db, *self._blocks])
        if self._hops % _FLOOR_BLOCK_HOPS == 0:
            self._blocks.append(self._block_db)
            self._block_db = math.inf
        return max(floor_db, _LEAST_FLOOR_DB)

    def _smooth(self, power_db: float) -> None:
        self._recent.append(10.0 ** (power_db / 10))
        if len(self._recent) == _SMOOTHING_HOPS:
            self._block_db = min(self._block_db, 10 * math.log10(sum(self._recent) / _SMOOTHING_HOPS))


class StreamingGate:
    """The gate of an utterance that arrives in pieces; one object per utterance."""

    def __init__(self) -> None:
        self._pcm: NDArray[np.int64] = np.zeros(_HISTORY, np.int64)  # what was before the next hop, then the rest
        self._samples = 0
        self._hops = 0
        self._frames = 0
        self._first: list[tuple[float, float]] = []  # powers of the hops that wait for the first floor
        self._floors: tuple[_NoiseFloor, _NoiseFloor] | None = None
        self._speaking = False
        self._run_hops = 0  # hops above the threshold in a row while quiet, below it while speaking
        self._speech_hops: deque[int] = deque()

    def push(self, pcm_S: NDArray[np.float32]) -> NDArray[np.float32]:
        """Hear more of the utterance.

        Args:
            pcm_S: the next samples in [-1, 1], any number.
        Returns:
            (T,) gates of the frames that can be decided now: frame i once its own 640 samples and the
            lookahead have been heard.
        """
        if pcm_S.ndim != 1:
            raise ValueError(f"the sound for the voice gate has shape {pcm_S.shape}, expected one mono channel (S,)")
        levels = np.rint(np.clip(pcm_S.astype(np.float64), -1, 1) * _FULL_SCALE).astype(np.int64)
        self._samples += len(levels)
        self._pcm = np.concatenate([self._pcm, levels])
        self._hear((len(self._pcm) - _HISTORY) // HOP_SAMPLES)
        return self._decided((self._hops - _KNOWN_HOPS) // _HOPS_PER_FRAME + 1)

    def finish(self) -> NDArray[np.float32]:
        """The utterance is over (silence follows): the gates of the remaining frames."""
        self._pcm = np.concatenate([self._pcm, np.zeros(-self._samples % HOP_SAMPLES, np.int64)])
        self._hear((len(self._pcm) - _HISTORY) // HOP_SAMPLES)
        self._start()
        return self._decided(-(-self._samples // SAMPLES_PER_FRAME))

    def _hear(self, hops: int) -> None:
        used = hops * HOP_SAMPLES
        pcm = self._pcm[: _HISTORY + used]
        self._pcm = self._pcm[used:]
        sums = np.cumsum(np.concatenate([np.zeros(1, np.int64), pcm]))
        boxes = sums[_BOX:] - sums[:-_BOX]
        vowel = boxes[-used:] - boxes[-used - _BOX : -_BOX] if used else boxes[:0]
        hiss = np.diff(pcm)[-used:] if used else pcm[:0]
        powers = list(zip(_power_db(vowel, _VOWEL_GAIN), _power_db(hiss, _HISS_GAIN), strict=True))
        if self._floors is None:
            self._first += powers
            if len(self._first) >= _KNOWN_HOPS:
                self._start()
        else:
            self._classify(self._floors, powers)

    def _start(self) -> None:
        """Estimate the first floors, once, and catch up with the hops that waited for them."""
        if self._floors is None:
            known, self._first = self._first, []
            vowel_db, hiss_db = ([power[band] for power in known[:_KNOWN_HOPS]] for band in (0, 1))
            self._floors = (_NoiseFloor(vowel_db), _NoiseFloor(hiss_db))
            self._classify(self._floors, known)

    def _classify(self, floors: tuple[_NoiseFloor, _NoiseFloor], powers: list[tuple[float, float]]) -> None:
        for vowel_db, hiss_db in powers:
            self._hear_hop(max(vowel_db - floors[0].update(vowel_db), hiss_db - floors[1].update(hiss_db)))

    def _hear_hop(self, above_db: float) -> None:
        above = above_db >= (_CLOSE_ABOVE_FLOOR_DB if self._speaking else _OPEN_ABOVE_FLOOR_DB)
        self._run_hops = self._run_hops + 1 if above != self._speaking else 0
        if self._speaking and above:
            self._speech_hops.append(self._hops)
        elif self._run_hops == (_RELEASE_HOPS if self._speaking else _ONSET_HOPS):
            if not self._speaking:
                self._speech_hops.extend(range(self._hops - _ONSET_HOPS + 1, self._hops + 1))
            self._speaking = not self._speaking
            self._run_hops = 0
        self._hops += 1

    def _decided(self, frames: int) -> NDArray[np.float32]:
        gates = [self._gate(frame) for frame in range(self._frames, frames)]
        self._frames = max(self._frames, frames)
        return np.array(gates, np.float32)

    def _gate(self, frame: int) -> float:
        centre = frame * _HOPS_PER_FRAME + _HOPS_PER_FRAME // 2
        while self._speech_hops and centre - self._speech_hops[0] > _BEHIND_HOPS[1]:
            self._speech_hops.popleft()
        gate = 0.0
        for hop in self._speech_hops:
            if hop - centre >= _AHEAD_HOPS[1]:
                break
            gate = max(gate, _ramp(hop - centre, _AHEAD_HOPS) if hop >= centre else _ramp(centre - hop, _BEHIND_HOPS))
        return gate


def _power_db(band_S: NDArray[np.int64], gain: float) -> list[float]:
    """Power of every hop in dB below a full-scale tone in the middle of the band."""
    energies = np.square(band_S).reshape(-1, HOP_SAMPLES).sum(axis=1).tolist()
    return [10 * math.log10(energy / (HOP_SAMPLES * (gain * _FULL_SCALE) ** 2) + 1e-12) for energy in energies]


def _ramp(distance_hops: int, limits_hops: tuple[int, int]) -> float:
    inner, outer = limits_hops
    return min(1.0, max(0.0, (outer - distance_hops) / (outer - inner)))


def gate(pcm_S: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gate of a whole utterance.

    Args:
        pcm_S: 16 kHz mono in [-1, 1].
    Returns:
        (ceil(S / 640),) in [0, 1].
    """
    stream = StreamingGate()
    return np.concatenate([stream.push(pcm_S), stream.finish()])
