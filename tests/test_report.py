"""The report: self-contained, honest about what it shows, and never half written."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.av_offset import MAX_LAG, AvOffset
from data_prep.quality import Finding, QualityReport
from data_prep.report import write_report
from recipe.mask_328 import hidden_mask
from recipe.recipe_328 import CROP_PX, FPS, recipe

FRAMES = 300
LEFT_OUT = slice(100, 130)
QUALITY = QualityReport(
    "usable",
    [
        Finding("Length", "warn", "12 s", "Record <five> minutes & more."),
        Finding("Sharpness", "ok", "detail 60"),
    ],
)


class _Page(HTMLParser):
    """Pictures, text and outward references of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("src", "href", "xlink:href") and value and not value.startswith("#"):
                if value.startswith("data:image/jpeg;base64,"):
                    self.pictures.append(value)
                elif not value.startswith("data:image/png;base64,"):  # inside a drawing
                    self.references.append(value)
        if tag in ("script", "link", "iframe"):
            self.references.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def _decoded(data_uri: str) -> NDArray[np.int64]:
    coded = np.frombuffer(base64.b64decode(data_uri.split(",", 1)[1]), np.uint8)
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1].astype(np.int64)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("crops")
    valid = np.ones(FRAMES, bool)
    valid[LEFT_OUT] = False
    opening = np.where(valid, 0.06 + 0.05 * np.sin(np.arange(FRAMES) / 3), 0.9).astype(np.float32)
    opening[[20, 250]] = (0.5, 0.4)
    opening[70] = 0
    np.save(folder / "crops.npy", np.zeros((FRAMES, CROP_PX, CROP_PX, 3), np.uint8))
    crops = np.load(folder / "crops.npy", mmap_mode="r+")
    crops[valid] = 120
    crops[20, :, :, 0] = 250  # the widest mouth is red
    crops[70, :, :, 1] = 250  # the most closed one green
    return {
        "name": "Zoë <b>",
        "manifest": {
            "source": {"file": "Zoë & co.mp4", "sha256": "ab" * 32, "width": 640, "height": 480, "fps": 29.97},
            "recipe": recipe(),
            "frames": FRAMES,
            "clips": [(0, 200), (200, FRAMES)],
            "splits": {"train": [(0, 99), (163, 200)], "val": [(112, 150)], "test": [(250, 300)]},
            "excluded": {"no face": 30, "face too small": 0},
        },
        "quality": QUALITY,
        "track": {
            "valid_T": valid,
            "opening_T": opening,
            "blur_T": np.full(FRAMES, 50, np.float32),
            "pose_T3": np.zeros((FRAMES, 3), np.float32),
            "affine_T23": np.tile(np.eye(2, 3, dtype=np.float32), (FRAMES, 1, 1)),
            "exposure_T": np.full(FRAMES, 120, np.float32),
        },
        "audio_S": np.random.default_rng(0).normal(0, 0.1, FRAMES * 640).astype(np.float32),
        "crops_THWC": crops,
        "frames_rgb": [np.full((480, 640, 3), (200, 40, 20), np.uint8)] * 3,
        "av_offset": AvOffset(3, 6.1, True, [0.01 * k for k in range(2 * MAX_LAG + 1)], "mouth and sound fit: clear"),
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, arguments: dict[str, Any]) -> Path:
    path = tmp_path_factory.mktemp("dataset") / "report.html"
    write_report(path, **arguments)
    return path


@pytest.fixture(scope="module")
def html(report: Path) -> str:
    return report.read_text(encoding="utf-8")


def test_page_needs_nothing_from_outside(report: Path, html: str) -> None:
    assert _Page(html).references == []
    assert not re.search(r"@import|url\((?!#)", html)
    assert set(re.findall(r"https?://[^/]+", html)) == {"http://www.w3.org"}  # names of SVG's namespaces
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]


def test_verdict_findings_and_names_are_told(html: str) -> None:
    text = _Page(html).text
    assert "This recording will do. What could be better: length." in text
    assert "Record <five> minutes & more." in text  # escaped in the file, so it is text again
    assert "Zoë <b> · is this recording good enough?" in text
    assert "Zoë & co.mp4" in text
    assert text.index("Record <five>") < text.index("detail 60")  # what to redo comes first
    assert "Mouth and sound fit: clear." in text
    assert "90.0 %" in text  # of the frames
    assert re.search(r"no face: 30\s*<", html)
    assert "face too small" not in text


def test_pictures_show_what_their_captions_say(html: str) -> None:
    cards = re.findall(r'<figure><img src="([^"]+)" alt="[^"]*">(?:<figcaption>([^<]*)</figcaption>)?', html)
    sheets = html[html.index("<h3>Widest mouths") : html.index("<h3>Closed mouths")]
    captions = re.findall(r"<figcaption>([^<]*)<", sheets)
    assert captions[:2] == ["0.8 s · 0.50", "10.0 s · 0.40"]
    times = sorted(round(float(caption.split(" s")[0]) * FPS) for caption in captions)
    assert min(np.diff(times)) >= FPS // 2 - 1  # not twelve times the same moment
    shown = {caption: _decoded(picture) for picture, caption in cards if caption}
    assert shown["0.8 s · 0.50"][90, 90] == pytest.approx([250, 120, 120], abs=8)
    assert shown["2.8 s · 0.00"][90, 90] == pytest.approx([120, 250, 120], abs=8)
    assert min(picture.mean() for picture in shown.values()) > 50, "the black crop of a left-out frame is shown"
    full = [_decoded(picture) for picture, caption in cards if not caption][:3]
    assert [picture.shape for picture in full] == [(225, 300, 3)] * 3
    assert full[0][100, 100] == pytest.approx([200, 40, 20], abs=8)


def test_mask_is_drawn_where_it_is(html: str) -> None:
    page = _Page(html)
    drawn = _decoded(page.pictures[-1])
    assert drawn.shape == (CROP_PX, CROP_PX, 3)
    hidden = np.zeros((CROP_PX, CROP_PX), bool)
    hidden[4:324, 4:324] = hidden_mask() > 0
    blueish = drawn[:, :, 2] - drawn[:, :, 0] > 20
    assert (blueish == hidden).mean() > 0.97
    assert not blueish[:120].any()


def test_curves_are_well_formed_and_take_the_pages_colour(html: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 9
    for drawing in drawings:
        ET.fromstring(drawing)
        assert "currentColor" in drawing
    ids = re.findall(r'<clipPath id="([^"]+)"', html)
    assert ids
    assert "prefers-color-scheme: dark" in html
    words = " ".join(re.findall(r">([^<>]+)</text>", html))
    for label in (
        "kHz",
        "mouth opening",
        "loudness, dB",
        "degrees",
        "px per frame",
        "detail",
        "brightness",
        "correlation",
    ):
        assert label in words


def test_time_line_colours_every_split(html: str) -> None:
    line = re.findall(r"<svg.*?</svg>", html, re.DOTALL)[0]
    count = {colour: line.count(f"fill: {colour}") for colour in ("#3e8ef7", "#f08c2e", "#9a6bff", "#e5484d")}
    assert count == {"#3e8ef7": 2, "#f08c2e": 1, "#9a6bff": 1, "#e5484d": 1}  # two training parts, one gap in the face


def test_failure_leaves_the_old_report(tmp_path: Path, arguments: dict[str, Any]) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    incomplete = {key: value for key, value in arguments["manifest"].items() if key != "excluded"}
    with pytest.raises(jinja2.UndefinedError):
        write_report(path, **(arguments | {"manifest": incomplete}))
    assert path.read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


def test_second_report_replaces_the_first(report: Path, tmp_path: Path, arguments: dict[str, Any]) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(report.read_bytes())
    write_report(path, **(arguments | {"quality": QualityReport("good", [Finding("Length", "ok", "300 s")])}))
    text = _Page(path.read_text(encoding="utf-8")).text
    assert "This recording will make a good avatar." in text
    assert "What could be better" not in text
