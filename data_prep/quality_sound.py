"""Judge the sound of a recording, and the mouth against it: each check looks at one thing.

Axes: T video frames (25/s), S audio samples (16 kHz).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from data_prep.av_offset import CLEAR_CONFIDENCE, LEAST_OFFSET, late_or_early
from data_prep.quality_inputs import Finding, Level, QualityInputs, graded
from data_prep.spectrum import mel_db, reverberation_s
from recipe.recipe_328 import FPS, SAMPLES_PER_FRAME
from recipe.voice_gate import gate

_SILENCE_S: Final = 5.0
_RINGING_S: Final = 0.75  # estimated: 0.3 to 0.6 in dry recordings, 0.65 to 0.85 for a true 0.7 s
_GUESS_CONFIDENCE: Final = 2.8  # of foreign speech, nine in ten stay below
_NOTICED_FRAMES: Final = 2.0  # less is what cameras do
_SHUT_FRAMES: Final = 3 * FPS // 2  # no word keeps the lips shut for so long


@dataclass(frozen=True)
class Listening:
    """What several checks need, computed once."""

    level_db_T: NDArray[np.float64]  # per frame, against full scale
    speech_T: NDArray[np.bool_]
    silent_T: NDArray[np.bool_]  # surely no speech; between the two lie the edges of words
    shut_T: NDArray[np.bool_]  # lips together, on frames with a good face
    mel_DN: NDArray[np.float32]  # log-mel spectrogram, 10 ms a column


def listen(inputs: QualityInputs) -> Listening:
    """Where is speech, and where are the lips together?"""
    frames = len(inputs.valid_T)
    samples = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    samples[: len(inputs.audio_S)] = inputs.audio_S[: len(samples)]
    power = np.square(samples.reshape(frames, SAMPLES_PER_FRAME).astype(np.float64)).mean(1)
    gate_T = gate(samples)
    shut_T = inputs.valid_T & (inputs.opening_T < shut_below(inputs.opening_T, inputs.valid_T))
    return Listening(10 * np.log10(power + 1e-9), gate_T >= 0.5, gate_T == 0, shut_T, mel_db(samples))


def shut_below(opening_T: NDArray[np.float32], valid_T: NDArray[np.bool_]) -> float:
    """The opening under which this person's lips are together: a share of the widest, and never nothing."""
    if not valid_T.any():
        return 0.0
    return max(0.015, 0.15 * float(np.percentile(opening_T[valid_T], 95)))


def level(inputs: QualityInputs, heard: Listening) -> Finding:
    if not heard.speech_T.any():
        return Finding("Voice", "bad", "no speech found", "Check the microphone, and speak all the time.")
    loud_db = float(np.median(heard.level_db_T[heard.speech_T]))
    clipped = float((np.abs(inputs.audio_S) > 0.99).mean())
    spoken = float(heard.speech_T.mean())
    value = f"{loud_db:.0f} dB of full scale, {spoken:.0%} of the time speech"
    if clipped > 1e-3:
        return Finding("Voice", "warn", f"{value}, {clipped:.1%} overdriven", "Turn the recording level down.")
    if loud_db < -42:
        return Finding("Voice", "warn", value, "Very quiet: bring the microphone nearer or turn the level up.")
    if spoken < 0.5:
        return Finding("Voice", "warn", value, "Speak more: only speech teaches the mouth.")
    return Finding("Voice", "ok", value)


def noise(inputs: QualityInputs, heard: Listening) -> Finding:
    if not heard.speech_T.any():
        return Finding("Background noise", "warn", "not measurable without speech", "")
    pauses = int(heard.silent_T.sum())
    enough = pauses >= FPS
    floor_db = float(np.median(heard.level_db_T[heard.silent_T]) if enough else np.percentile(heard.level_db_T, 3))
    distance_db = float(np.median(heard.level_db_T[heard.speech_T])) - floor_db
    where = f"in {pauses / FPS:.0f} s of pauses" if enough else "guessed from the quietest moments: there is no pause"
    rated = graded(distance_db, 28, 15)
    advice = "Record in a quiet room without music, fan or echo, with the microphone near."
    value = f"{distance_db:.0f} dB below the voice, {where}"
    return Finding("Background noise", rated, value, "" if rated == "ok" else advice)


def room(inputs: QualityInputs, heard: Listening) -> Finding:
    """An estimate that hears the voice's own fading too: only a room that clearly rings is named."""
    seconds = reverberation_s(heard.mel_DN)
    if seconds is None:
        return Finding("Room", "ok", "too little speech, or too much noise, to hear the room")
    value = f"sounds on for about {seconds:.1f} s"
    advice = "Record in a furnished room (carpet, curtains, sofa), with the microphone near."
    rated: Level = "warn" if seconds > _RINGING_S else "ok"
    return Finding("Room", rated, value, "" if rated == "ok" else advice)


def second_voice(inputs: QualityInputs, heard: Listening) -> Finding:
    """Speech while the lips stay together for longer than any word: somebody else, or off-camera sound."""
    voiced_shut = heard.speech_T & heard.shut_T
    seconds = sum(stop - start for start, stop in _runs(voiced_shut) if stop - start >= _SHUT_FRAMES) / FPS
    if not seconds:
        return Finding("Only one voice", "ok", "no speech while the mouth was shut (other voices cannot be told apart)")
    share = seconds * FPS / max(int(heard.speech_T.sum()), 1)
    advice = (
        "Perhaps another voice, music or loud noise; it is only a suspicion. Listen to these parts: somebody else's "
        "speech teaches the mouth to stay shut."
    )
    value = f"{seconds:.1f} s of sound like speech while the mouth was shut"
    return Finding("Only one voice", "bad" if share > 0.25 else "warn", value, advice)


def closed_silence(inputs: QualityInputs, heard: Listening) -> Finding:
    still = ~heard.speech_T & (heard.shut_T | ~inputs.valid_T)
    start_s, end_s = (_leading(flags) / FPS for flags in (still, still[::-1]))
    value = f"{start_s:.1f} s at the start, {end_s:.1f} s at the end"
    if min(start_s, end_s) >= _SILENCE_S - 0.5:
        return Finding("Silence with a closed mouth", "ok", value)
    advice = "Sit silent with a closed mouth for 5 to 20 s before and after: it teaches the avatar to be quiet."
    return Finding("Silence with a closed mouth", "warn", value, advice)


def mouth_variety(inputs: QualityInputs, heard: Listening) -> Finding:
    opening = inputs.opening_T[inputs.valid_T]
    wide, shut = float(np.percentile(opening, 95)), float(heard.shut_T.sum() / max(inputs.valid_T.sum(), 1))
    value = f"opens to {wide:.2f} of the eyes' distance, lips together {shut:.0%} of the time"
    if wide < 0.08:
        rated = graded(wide, 0.08, 0.04)
        return Finding("Mouth shapes", rated, value, "Speak clearly, a little livelier than usual, and open the mouth.")
    if shut < 0.03:
        return Finding("Mouth shapes", "warn", value, "Pause between sentences and close the mouth in the pauses.")
    return Finding("Mouth shapes", "ok", value)


def sync(inputs: QualityInputs, heard: Listening) -> Finding:
    offset = inputs.av_offset
    if offset.clear and abs(offset.frames) < _NOTICED_FRAMES:
        return Finding("Sound in time", "ok", f"the sound was {late_or_early(offset.frames)}; this has been removed")
    if offset.clear:
        advice = "This has been removed. If mouth and sound still differ in the crops, check the recording program."
        return Finding("Sound in time", "warn", f"the sound was {late_or_early(offset.frames)}", advice)
    if offset.confidence >= CLEAR_CONFIDENCE and abs(offset.frames) < LEAST_OFFSET:
        return Finding("Sound in time", "ok", "in time to within 10 ms")
    advice = (
        "Check by eye: step through the recording frame by frame in a video player, to a word that begins with p, b or "
        "m. The lips must part as the sound sets in; move the sound in a video editor if they don't. More speech with "
        "clear lip motion lets this be measured."
    )
    likely = offset.confidence > _GUESS_CONFIDENCE and abs(offset.frames) >= LEAST_OFFSET
    guess = f", perhaps {late_or_early(offset.frames)}" if likely else ""
    return Finding("Sound in time", "warn", f"could not be measured{guess}; nothing was moved", advice)


def _runs(flag_T: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flag_T.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _leading(flag_T: NDArray[np.bool_]) -> int:
    """Length of the run at the start, over interruptions of less than a quarter of a second (a blink, a twitch)."""
    mostly_T = median_filter(flag_T.astype(np.uint8), size=FPS // 2, mode="nearest") > 0
    return len(mostly_T) if mostly_T.all() else int(np.argmin(mostly_T))
