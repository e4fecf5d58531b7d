"""Write a dataset's report: one HTML file that tells a person whether the recording will do.

Axes: T video frames (25/s), S audio samples (16 kHz), H W C image.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from data_prep import report_plots as plots
from data_prep.av_offset import AvOffset
from data_prep.quality import QualityReport
from data_prep.quality_picture import HEAD_SPEED_CALM, LUMA_RANGE, SHARP_FROM, head_speed
from data_prep.spectrum import mel_db
from recipe.crop import INNER
from recipe.files import written_aside
from recipe.mask_328 import hidden_mask
from recipe.recipe_328 import CROP_PX, FPS, SAMPLES_PER_FRAME

_FULL_FRAME_PX: Final = 300  # long side in the contact sheet
_CROP_SHOWN_PX: Final = 192
_DETAIL_FRAMES: Final = 10 * FPS
_SHEET: Final = 12
_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class _Picture:
    data_uri: str
    caption: str


def write_report(
    path: Path,
    *,
    name: str,
    manifest: Mapping[str, Any],
    quality: QualityReport,
    track: Mapping[str, NDArray[Any]],
    audio_S: NDArray[np.float32],
    crops_THWC: NDArray[np.uint8],
    frames_rgb: Sequence[NDArray[np.uint8]],
    av_offset: AvOffset,
) -> None:
    """Write the report, replacing an older one only when the new one is complete.

    Args:
        path: the HTML file.
        name: the dataset's name.
        manifest: as written to manifest.json; source, recipe, frames, clips, splits and excluded are read.
        quality: the judgement.
        track: opening_T, blur_T, pose_T3, affine_T23 and valid_T (at least one) as in track.npz, and exposure_T (mean
            luma of the crops).
        audio_S: 16 kHz mono.
        crops_THWC: the crops, RGB; a memory map is fine, few frames are read.
        frames_rgb: some full frames in their order, evenly spread, for the contact sheet.
        av_offset: the estimate with its curve.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    html = environment.get_template("report.html").render(
        name=name,
        manifest=manifest,
        quality=quality,
        av_offset=av_offset,
        duration=f"{manifest['frames'] / FPS:.1f} s",
        kept=int(track["valid_T"].sum()),
        seconds={split: _length_s(ranges) for split, ranges in manifest["splits"].items()},
        plots={key: Markup(svg) for key, svg in _curves(manifest, track, audio_S, av_offset).items()},  # noqa: S704  (our own)
        sheets=_sheets(track, crops_THWC),
        frames=[_picture(_fitted(frame), "") for frame in frames_rgb],
        mask=_masked(track, crops_THWC),
    )
    with written_aside(path) as part:
        part.write_text(html, encoding="utf-8")


def _curves(
    manifest: Mapping[str, Any], track: Mapping[str, NDArray[Any]], audio_S: NDArray[np.float32], av_offset: AvOffset
) -> dict[str, str]:
    valid_T, opening_T, frames = track["valid_T"], track["opening_T"], len(track["valid_T"])
    start = _liveliest(np.where(valid_T, opening_T, 0.0))
    clips = [(int(first), int(last)) for first, last in manifest["clips"]]
    speed = np.append(head_speed(track["affine_T23"], valid_T, clips), np.nan)
    detail = (start, min(frames, start + _DETAIL_FRAMES))
    return {
        "timeline": plots.timeline(frames, manifest["clips"], manifest["splits"], valid_T),
        "mouth": plots.mouth_and_sound(opening_T, valid_T, audio_S, (0, frames)),
        "detail": plots.mouth_and_sound(opening_T, valid_T, audio_S, detail),
        "spectrum": plots.spectrum(
            mel_db(audio_S[detail[0] * SAMPLES_PER_FRAME : detail[1] * SAMPLES_PER_FRAME]), detail
        ),
        "direction": plots.direction(track["pose_T3"], valid_T),
        "speed": plots.over_time(speed, valid_T, "px per frame", plots.BLUE, [HEAD_SPEED_CALM]),
        "sharpness": plots.over_time(track["blur_T"], valid_T, "detail", plots.GREEN, [SHARP_FROM]),
        "exposure": plots.over_time(track["exposure_T"], valid_T, "brightness", plots.ORANGE, LUMA_RANGE),
        "offset": plots.offset_curve(av_offset),
    }


def _sheets(track: Mapping[str, NDArray[Any]], crops_THWC: NDArray[np.uint8]) -> dict[str, list[_Picture]]:
    valid = np.flatnonzero(track["valid_T"])
    opening_T = track["opening_T"]
    by_opening = valid[np.argsort(opening_T[valid], kind="stable")]
    chosen = {
        "evenly": valid[np.linspace(0, len(valid) - 1, min(_SHEET, len(valid))).round().astype(int)].tolist(),
        "widest": _apart(by_opening[::-1].tolist()),
        "closed": _apart(by_opening.tolist()),
    }
    return {
        key: [_picture(_small(crops_THWC[i]), f"{i / FPS:.1f} s · {opening_T[i]:.2f}") for i in frames]
        for key, frames in chosen.items()
    }


def _masked(track: Mapping[str, NDArray[Any]], crops_THWC: NDArray[np.uint8]) -> _Picture:
    """The crop nearest to the median opening, with what the network may not see tinted and outlined."""
    valid = np.flatnonzero(track["valid_T"])
    opening = track["opening_T"][valid]
    crop = np.array(crops_THWC[valid[int(np.abs(opening - np.median(opening)).argmin())]])
    hidden = np.zeros((CROP_PX, CROP_PX), np.uint8)
    hidden[INNER, INNER] = hidden_mask() > 0
    tinted = np.where(hidden[..., None] > 0, 0.68 * crop + np.array([20, 45, 79]), crop).astype(np.uint8)
    outline, _ = cv2.findContours(hidden, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tinted, outline, -1, (255, 255, 255), 1, cv2.LINE_AA)
    return _picture(tinted, "hidden from the network")


def _apart(ordered: list[int]) -> list[int]:
    """The first frames of an order that lie at least half a second from each other."""
    chosen: list[int] = []
    for frame in ordered:
        if all(abs(frame - other) >= FPS // 2 for other in chosen):
            chosen.append(frame)
            if len(chosen) == _SHEET:
                break
    return chosen


def _liveliest(opening_T: NDArray[Any]) -> int:
    """Start of the stretch in which the mouth moves most."""
    moved = np.concatenate([[0], np.cumsum(np.abs(np.diff(opening_T)))])
    if len(moved) <= _DETAIL_FRAMES:
        return 0
    return int(np.argmax(moved[_DETAIL_FRAMES:] - moved[:-_DETAIL_FRAMES]))


def _length_s(ranges: Sequence[Sequence[int]]) -> float:
    return sum(stop - start for start, stop in ranges) / FPS


def _fitted(frame_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = min(1.0, _FULL_FRAME_PX / max(frame_rgb_HWC.shape[:2]))
    size = (max(1, round(frame_rgb_HWC.shape[1] * scale)), max(1, round(frame_rgb_HWC.shape[0] * scale)))
    return np.asarray(cv2.resize(frame_rgb_HWC, size, interpolation=cv2.INTER_AREA), np.uint8)


def _small(crop_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (_CROP_SHOWN_PX, _CROP_SHOWN_PX)
    return np.asarray(cv2.resize(np.asarray(crop_rgb_HWC), size, interpolation=cv2.INTER_AREA), np.uint8)


def _picture(rgb_HWC: NDArray[np.uint8], caption: str) -> _Picture:
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(rgb_HWC[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return _Picture("data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii"), caption)
