"""Draw the curves of a dataset's report as SVG that takes its ink from the page, light or dark.

Axes: T video frames (25/s), S audio samples (16 kHz).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from data_prep.av_offset import MAX_LAG, AvOffset
from recipe.recipe_328 import FPS, MEL_FMAX_HZ, MEL_FMIN_HZ, SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK: Final = "#7f8081"  # stands for the page's own text colour
BLUE, ORANGE, GREEN, RED, VIOLET = "#3e8ef7", "#f08c2e", "#2fa36b", "#e5484d", "#9a6bff"
_SPLIT_COLOURS: Final = {"train": BLUE, "val": ORANGE, "test": VIOLET}
_WIDTH_IN: Final = 10.6
_SHOWN_HZ: Final = (250.0, 1000.0, 4000.0)


def timeline(
    frames: int, clips: Sequence[Sequence[int]], splits: Mapping[str, Sequence[Sequence[int]]], valid_T: NDArray[Any]
) -> str:
    """Clips, splits and left-out frames over time."""
    figure, (axes,) = _figure(1.5)
    for number, (start, stop) in enumerate(clips):
        axes.broken_barh(
            [(start / FPS, (stop - start) / FPS)], (2.1, 0.8), color=_INK, alpha=0.55 - 0.25 * (number % 2)
        )
    for name, ranges in splits.items():
        bars = [(start / FPS, (stop - start) / FPS) for start, stop in ranges]
        axes.broken_barh(bars, (1.1, 0.8), color=_SPLIT_COLOURS.get(name, GREEN))
    axes.broken_barh(_seconds(np.asarray(valid_T, np.bool_)), (0.1, 0.8), color=GREEN)
    axes.broken_barh(_seconds(~np.asarray(valid_T, np.bool_)), (0.1, 0.8), color=RED)
    axes.set_yticks([2.5, 1.5, 0.5], ["clips", "use", "face"])
    axes.grid(False)
    return _svg(figure, (0, frames / FPS))


def mouth_and_sound(
    opening_T: NDArray[Any], valid_T: NDArray[Any], audio_S: NDArray[Any], span: tuple[int, int]
) -> str:
    """Opening of the mouth upwards and loudness downwards from one line, for a range of frames."""
    figure, (above, below) = _figure(2.1, rows=2)
    start, stop = span
    time_s = np.arange(start, stop) / FPS
    opening = np.where(valid_T, opening_T, np.nan)[start:stop]
    loud = _loudness_db(audio_S, len(opening_T))[start:stop]
    quiet = float(np.percentile(loud, 2))
    above.fill_between(time_s, opening, color=BLUE, alpha=0.35, linewidth=0)
    above.plot(time_s, opening, color=BLUE, linewidth=1.0)
    above.set_ylabel("mouth opening", color=BLUE)
    above.set_ylim(0, None)
    above.tick_params(labelbottom=False)
    below.fill_between(time_s, loud, quiet, color=ORANGE, alpha=0.35, linewidth=0)
    below.plot(time_s, loud, color=ORANGE, linewidth=0.9)
    below.set_ylabel("loudness, dB", color=ORANGE)
    below.set_ylim(float(loud.max()) + 3, quiet)
    return _svg(figure, (start / FPS, stop / FPS))


def direction(pose_T3: NDArray[Any], valid_T: NDArray[Any]) -> str:
    """Where the head points."""
    figure, (axes,) = _figure(1.9)
    for column, (name, colour) in enumerate((("up/down", GREEN), ("sideways", BLUE), ("tilt", VIOLET))):
        angle = np.where(valid_T, pose_T3[:, column], np.nan)
        axes.plot(np.arange(len(valid_T)) / FPS, angle, color=colour, linewidth=0.9, label=name)
    axes.set_ylabel("degrees")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, labelcolor=_INK, fontsize=8)
    return _svg(figure, (0, len(valid_T) / FPS))


def over_time(value_T: NDArray[Any], valid_T: NDArray[Any], label: str, colour: str, limits: Sequence[float]) -> str:
    """One measure per frame, with the limits of what is right."""
    figure, (axes,) = _figure(1.6)
    axes.plot(np.arange(len(valid_T)) / FPS, np.where(valid_T, value_T, np.nan), color=colour, linewidth=0.9)
    for limit in limits:
        axes.axhline(limit, color=RED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylim(0, None)
    axes.set_ylabel(label)
    return _svg(figure, (0, len(valid_T) / FPS))


def offset_curve(av_offset: AvOffset) -> str:
    """How well mouth and sound fit at every shift."""
    figure, (axes,) = _figure(2.6, width_in=5.8)
    lags_ms = np.arange(-MAX_LAG, MAX_LAG + 1) * 1000 // FPS
    axes.axvspan(-10, 10, color=GREEN, alpha=0.15, linewidth=0)
    axes.plot(lags_ms, av_offset.correlation, color=BLUE, marker="o", markersize=3, linewidth=1.2)
    axes.axvline(av_offset.frames * 1000 / FPS, color=ORANGE, linewidth=1.2)
    axes.set_xlabel("sound early  ←  ms  →  sound late")
    axes.set_ylabel("correlation")
    return _svg(figure)


def spectrum(mel_DN: NDArray[Any], span: tuple[int, int]) -> str:
    """Log-mel spectrogram of a range of frames: voices are stripes, noise is a haze, echo smears to the right.

    Args:
        mel_DN: dB, 10 ms a column, from `spectrum.mel_db`.
        span: first and last frame.
    """
    figure, (axes,) = _figure(1.6)
    axes.grid(False)
    start_s, stop_s = span[0] / FPS, span[1] / FPS
    extent = (start_s, stop_s, 0, len(mel_DN))
    axes.imshow(mel_DN, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-80, vmax=-15)
    rows = _mel_rows(len(mel_DN), _SHOWN_HZ)
    axes.set_yticks(rows, [f"{hz / 1000:g} kHz" for hz in _SHOWN_HZ])
    return _svg(figure, (start_s, stop_s))


def _mel_rows(bands: int, frequencies_hz: Sequence[float]) -> list[float]:
    """Where frequencies lie among the recipe's mel bands."""
    import librosa

    low, high = librosa.hz_to_mel(MEL_FMIN_HZ), librosa.hz_to_mel(MEL_FMAX_HZ)
    return [float((librosa.hz_to_mel(hz) - low) / (high - low) * bands) for hz in frequencies_hz]


def _figure(height_in: float, width_in: float = _WIDTH_IN, rows: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # here: it takes 1.5 s, and only a report that is written needs it
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width_in, height_in), layout=ConstrainedLayoutEngine(h_pad=0.02, hspace=0))
    figure.patch.set_alpha(0)
    panels = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    for axes in panels:
        _style(axes)
        axes.grid(True, color=_INK, alpha=0.2, linewidth=0.6)
    return figure, panels


def _style(axes: Axes) -> None:
    axes.patch.set_alpha(0)
    axes.tick_params(colors=_INK, labelsize=8, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_INK)
        label.set_fontsize(8.5)


def _svg(figure: Figure, span_s: tuple[float, float] | None = None) -> str:
    for axes in figure.axes if span_s else []:
        axes.set_xlim(span_s)
        axes.xaxis.set_major_formatter("{x:g} s")
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "path.simplify_threshold": 0.3}):
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = text.getvalue()
    svg = svg.replace("base64,\n", "base64,")  # of an embedded picture: the newline is matplotlib's
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")


def _seconds(flag_T: NDArray[np.bool_]) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flag_T.astype(np.int8), [0]]))).reshape(-1, 2)
    return [(float(start) / FPS, float(stop - start) / FPS) for start, stop in edges]


def _loudness_db(audio_S: NDArray[Any], frames: int) -> NDArray[np.float64]:
    samples = np.zeros(frames * SAMPLES_PER_FRAME)
    samples[: len(audio_S)] = audio_S[: len(samples)]
    power = np.square(samples.reshape(frames, -1)).mean(1)
    loud: NDArray[np.float64] = np.maximum(10 * np.log10(power + 1e-12), -80)
    return loud
