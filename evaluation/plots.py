"""Figures and picture sheets of a report, as bytes. No pyplot: nothing global, nothing on a screen."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS, PATCH_TOP_PX

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#1c2430"
COLOURS = {
    "generated": "#c2410c", "real": "#1d4ed8", "shuffled": "#9ca3af", "closed": "#a78bfa", "photo": "#0f766e",
    "true": "#1d4ed8",
}  # fmt: skip
_WIDTH_IN, _HEIGHT_IN = 9.6, 2.7


def _empty(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure  # here: packaging starts 1.5 s earlier without

    return Figure(figsize=(width_in, height_in), layout="constrained")


def _figure(title: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = _empty(_WIDTH_IN, _HEIGHT_IN)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xlabel("seconds", fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _svg(figure: Figure) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _broken(values_T: NDArray[np.float64], segment_T: NDArray[np.int64]) -> NDArray[np.float64]:
    """The curve with a gap at the end of every uninterrupted stretch."""
    curve = values_T.astype(np.float64).copy()
    curve[:-1][np.diff(segment_T) != 0] = np.nan
    return curve


def _shade(axes: Axes, seconds: NDArray[np.float64], silent_T: NDArray[np.bool_]) -> None:
    axes.fill_between(
        seconds, 0, 1, where=silent_T.tolist(), transform=axes.get_xaxis_transform(), color="#e5e7eb", step="mid", lw=0
    )


def opening_plot(
    curves: Mapping[str, NDArray[np.float64]], segment_T: NDArray[np.int64], silent_T: NDArray[np.bool_], title: str
) -> str:
    """Opening over time, one line per take, silence shaded. SVG."""
    figure, axes = _figure(title, "% of eye distance")
    seconds = np.arange(len(segment_T)) / FPS
    _shade(axes, seconds, silent_T)
    for name, curve in curves.items():
        thin = name in ("shuffled", "closed", "photo")
        axes.plot(
            seconds, 100 * _broken(curve, segment_T), color=COLOURS[name], lw=1 if thin else 1.6, label=name,
            ls="--" if thin else "-",
        )  # fmt: skip
    axes.legend(fontsize=8, ncols=4, frameon=False, loc="upper right")
    return _svg(figure)


def psnr_plot(psnr_T: NDArray[np.float64], segment_T: NDArray[np.int64], silent_T: NDArray[np.bool_]) -> str:
    """PSNR of the mouth per frame. SVG."""
    figure, axes = _figure("PSNR of the mouth, frame by frame (silence shaded)", "dB")
    seconds = np.arange(len(psnr_T)) / FPS
    _shade(axes, seconds, silent_T)
    axes.plot(seconds, _broken(psnr_T, segment_T), color=COLOURS["generated"], lw=1.4)
    return _svg(figure)


def driven_plot(opening: NDArray[np.float64], loudness: NDArray[np.float64], gate_T: NDArray[np.float64]) -> str:
    """Opening of the drawn mouth with the loudness of what it says. SVG."""
    figure, axes = _figure("Opening of the mouth, and loudness of the sound", "% of eye distance")
    seconds = np.arange(len(opening)) / FPS
    _shade(axes, seconds, gate_T == 0)
    axes.plot(seconds, 100 * opening, color=COLOURS["generated"], lw=1.5)
    right = axes.twinx()
    right.plot(seconds, loudness, color=COLOURS["shuffled"], lw=1, ls="--")
    right.set_ylabel("dB", fontsize=9)
    right.tick_params(labelsize=8)
    right.spines[["top"]].set_visible(False)
    return _svg(figure)


def confusion_plot(counts_VV: NDArray[np.int64], names: tuple[str, ...], take: str) -> str:
    """Share of each true viseme (row) that was read as each viseme (column). SVG."""
    kept = np.flatnonzero(counts_VV.sum(axis=1))
    read = np.flatnonzero(counts_VV.sum(axis=0) + counts_VV.sum(axis=1))
    share = counts_VV[kept][:, read] / counts_VV[kept].sum(axis=1, keepdims=True)
    figure = _empty(_WIDTH_IN / 2, _WIDTH_IN / 2)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Oranges", vmin=0, vmax=1)
    axes.set_title(f"Visemes read off the {take} lips", loc="left", fontsize=10, color=_INK)
    axes.set_xlabel("read", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    axes.set_xticks(range(len(read)), [names[v] for v in read], fontsize=8)
    axes.set_yticks(range(len(kept)), [names[v] for v in kept], fontsize=8)
    for row, column in np.argwhere(share >= 0.1):
        value = share[row, column]
        colour = "white" if value > 0.6 else _INK
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    return _svg(figure)


def sample_frames(
    opening: NDArray[np.float64], psnr_T: NDArray[np.float64], silent_T: NDArray[np.bool_]
) -> dict[str, int]:
    """Frames worth looking at, with what each shows."""
    filled = np.where(np.isfinite(opening), opening, np.nanmedian(opening))
    chosen = {
        "closed": int(np.argmin(filled)),
        "half open": int(np.argmin(np.abs(filled - filled.max() / 2))),
        "widest": int(np.argmax(filled)),
        "typical PSNR": int(np.argsort(psnr_T)[len(psnr_T) // 2]),
        "worst PSNR": int(np.argmin(psnr_T)),
    }
    if silent_T.any():
        quiet = np.flatnonzero(silent_T)
        chosen["silence"] = int(quiet[len(quiet) // 2])
    return chosen


def inner_square(inner_HWC: NDArray[np.uint8], strip_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A filmed inner square with a take's strip in the place of its lower rows."""
    return np.concatenate([inner_HWC[:PATCH_TOP_PX], strip_HWC])


def difference(drawn_HWC: NDArray[np.uint8], filmed_HWC: NDArray[np.uint8], gain: int = 4) -> NDArray[np.uint8]:
    """Absolute difference, brightened."""
    error = np.abs(drawn_HWC.astype(np.int64) - filmed_HWC).max(axis=-1, keepdims=True) * gain
    return np.repeat(np.minimum(error, 255).astype(np.uint8), 3, axis=-1)


def jpeg(picture_rgb_HWC: NDArray[np.uint8]) -> bytes:
    """A JPEG file of an RGB picture."""
    done, data = cv2.imencode(".jpg", picture_rgb_HWC[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return data.tobytes()
