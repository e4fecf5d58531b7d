"""One page about a photo: what was found in it, drawn over it, and what will not look well.

Axes: H W C picture (RGB), K landmarks.
"""

from __future__ import annotations

import base64
import html
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.photo import PreparedPhoto
from recipe.warp.points import LOWER_INNER, LOWER_LIDS, LOWER_OUTER, OVAL, SKIN, UPPER_INNER, UPPER_LIDS, UPPER_OUTER

_LINES: Final = (UPPER_INNER, LOWER_INNER, UPPER_OUTER, LOWER_OUTER, *UPPER_LIDS, *LOWER_LIDS, (*OVAL, OVAL[0]))
_FACTS: Final = {
    "face_px": "width of the face, px",
    "yaw_deg": "turned sideways, degrees",
    "pitch_deg": "looks up (+) or down (-), degrees",
    "roll_deg": "leans, degrees",
    "blur": "width of its edges, % of the eye distance (up to 0.9 is sharp)",
    "mouth_open": "lips apart, share of the eye distance",
    "eye_open": "eyes open, share of their width",
}


def report_page(photo: PreparedPhoto, name: str) -> str:
    """A page that needs no other file."""
    picture = base64.b64encode(jpeg(_drawn(photo), 85)).decode()
    warnings = "".join(f"<li>{html.escape(text)}</li>" for text in photo.warnings) or "<li>nothing</li>"
    rows = "".join(
        f"<tr><td>{html.escape(text)}</td><td>{getattr(photo.evidence, field):.2f}</td></tr>"
        for field, text in _FACTS.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(name)}</title>'
        "<style>body{font:16px sans-serif;max-width:48em;margin:2em auto}td{padding:.1em 1em .1em 0}</style>"
        f"<h1>{html.escape(name)}</h1>"
        f'<img alt="the photo with what was found in it" src="data:image/jpeg;base64,{picture}">'
        f"<h2>What may look weak</h2><ul>{warnings}</ul>{_restored(photo)}"
        f"<h2>Measured</h2><table>{rows}</table></html>\n"
    )


def _restored(photo: PreparedPhoto) -> str:
    return f"<h2>What was done to it</h2><p>{html.escape(photo.restored)}</p>" if photo.restored else ""


def jpeg(rgb_HWC: NDArray[np.uint8], quality: int) -> bytes:
    """A picture as JPEG."""
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb_HWC[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def _drawn(photo: PreparedPhoto) -> NDArray[np.uint8]:
    picture = photo.rgb_HWC.copy()
    points = np.round(photo.found.points_K3[:, :2] * 8).astype(np.int32)
    for x, y in points[:SKIN].tolist():
        cv2.circle(picture, (x, y), 8, (80, 220, 120), -1, cv2.LINE_AA, 3)
    for line in _LINES:
        cv2.polylines(picture, [points[list(line)]], False, (255, 210, 60), 1, cv2.LINE_AA, 3)
    return picture
