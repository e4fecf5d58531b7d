"""Bad photos get better, measured against the good one; a good photo keeps its bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.measures.photo_restoration import DEGRADATIONS
from benchmarks.photo_restoration import main as measure
from data_prep.photo import Stopwatch
from data_prep.photo_avatar import make_photo_avatar
from data_prep.photo_restoration import degradation_of, restored_photo
from data_prep.still_landmarks import StillLandmarks
from data_prep.video import iter_rgb
from evaluation.picture import ssim_map
from tests.photo_material import Picture, found_in, prepared, request, written


def likeness(one: Picture, good: Picture, found: StillLandmarks) -> float:
    """SSIM in the box of the face."""
    x0, y0, x1, y1 = found.skin_box.astype(int)
    return float(ssim_map(one, good)[y0:y1, x0:x1].mean())


@pytest.mark.parametrize(
    ("bad", "done", "gain"),
    [
        ("JPEG quality 20", "deblocked", 0.015),
        ("JPEG quality 10", "deblocked", 0.04),
        ("noise of 5 levels", "denoised", 0.08),
        ("noise of 10 levels", "denoised", 0.25),
        ("noise of 20 levels", "denoised", 0.45),
        ("blur of 2 px", "sharpened", 0.01),
        ("blur of 3 px", "sharpened", 0.01),
        ("a quarter, and enlarged again", "sharpened", 0.001),
        ("blur of 1.5 px, noise of 8, JPEG 40", "deblocked, sharpened", 0.03),
    ],
)
def test_a_bad_photo_gets_better(picture: Picture, found: StillLandmarks, bad: str, done: str, gain: float) -> None:
    changed = DEGRADATIONS[bad](picture)
    better, _, said = restored_photo(changed, found, 512, "auto")
    assert said == done
    assert likeness(better, picture, found) > likeness(changed, picture, found) + gain


@pytest.mark.parametrize("good", ["as it is", "JPEG quality 90", "JPEG quality 75", "blur of 1 px"])
def test_a_good_photo_keeps_its_bytes(picture: Picture, found: StillLandmarks, good: str) -> None:
    changed = DEGRADATIONS[good](picture)
    kept, _, said = restored_photo(changed, found, 720, "auto")
    assert kept is changed
    assert said == ""


def test_every_frame_of_a_good_recording_is_good(presenter_video: Path) -> None:
    for number, frame in enumerate(iter_rgb(presenter_video)):
        if number % 60 == 0:
            assert degradation_of(frame, found_in(frame).skin_box).remedies == ()


def test_a_striped_shirt_has_no_blocks(picture: Picture, found: StillLandmarks) -> None:
    striped = picture.copy()
    striped[400:, ::8] = 255 - striped[400:, ::8]
    assert degradation_of(striped, found.skin_box).remedies == ()


def test_a_small_face_is_enlarged_with_its_landmarks(picture: Picture, found: StillLandmarks) -> None:
    small = DEGRADATIONS["half as large"](picture)
    better, moved, said = restored_photo(small, found.scaled(0.5, 0.5), 400, "auto")
    assert said == "enlarged 1.56 times"
    assert better.shape == (400, 400, 3)
    assert np.abs(found_in(better).points_K3 - moved.points_K3)[:468, :2].max() < 4
    kept, _, said = restored_photo(small, found.scaled(0.5, 0.5), 256, "auto")
    assert kept is small and said == ""  # there is no room


def test_the_avatar_says_what_was_done_and_can_do_without(picture: Picture, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.png", DEGRADATIONS["noise of 10 levels"](picture))
    manifest, _ = make_photo_avatar(request(bad, tmp_path / "avatars"), Stopwatch())
    assert manifest.metrics["restored"] == "denoised"
    assert "<p>denoised</p>" in (tmp_path / "avatars" / "eve" / "report.html").read_text()
    manifest, _ = make_photo_avatar(request(bad, tmp_path / "avatars", restore="off"), Stopwatch())
    assert "restored" not in manifest.metrics
    good = prepared(written(tmp_path / "good.png", picture))
    np.testing.assert_array_equal(good.rgb_HWC, picture)
    assert good.restored == ""


def test_the_benchmark_prints_its_table(
    picture: Picture, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = {name: DEGRADATIONS[name] for name in ("as it is", "noise of 10 levels", "half as large")}
    monkeypatch.setattr("benchmarks.measures.photo_restoration.DEGRADATIONS", some)
    photo = written(tmp_path / "photo.png", picture)
    assert measure(["--photo", str(photo), "--pictures", str(tmp_path / "seen")]) == 0
    rows = [line.rsplit("  ", 1) for line in capsys.readouterr().out.splitlines()[3:]]
    assert [done for _, done in rows] == ["nothing", "denoised", "enlarged 2.00 times"]
    assert rows[0][0].split()[3:6] == ["1.0000", "1.0000", "+0.0000"]
    assert len(list((tmp_path / "seen").iterdir())) == 3
