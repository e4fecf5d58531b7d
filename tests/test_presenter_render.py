"""The presenter's geometry, ground truth and pictures. Skipped where the body's data cannot be fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("moderngl", reason="the presenter needs the extra `lab`")

from presenter import assets
from presenter import recording as recording_module
from presenter.animation import perform
from presenter.geometry import triangles_of
from presenter.gpu import GraphicsUnavailableError
from presenter.ground_truth import ground_truth
from presenter.head import Person, load_person
from presenter.keypoints import find_key_points
from presenter.lighting import Camera
from presenter.recording import OtherRecordingError, Recording, Settings
from presenter.renderer import Renderer
from presenter.scene import neutral_pose
from presenter.subdivision import subdivide
from presenter.teeth import build_teeth
from presenter.timeline import Timeline
from recipe.articulation.speakers import SAMPLE_RATE_HZ
from recipe.articulation.visemes import SHAPES, Phone


@pytest.fixture(scope="module")
def person() -> Person:
    try:
        return load_person(assets.data_folder())
    except assets.AssetsMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    """0.8 s: silence, a, m, a, silence."""
    times = [("pau", 0.0, 0.16), ("aa", 0.16, 0.36), ("m", 0.36, 0.46), ("aa", 0.46, 0.64), ("pau", 0.64, 0.8)]
    pcm = np.random.default_rng(0).normal(0, 0.1, int(0.8 * SAMPLE_RATE_HZ)).astype(np.float32)
    return Timeline(pcm, tuple(Phone(*t) for t in times), "arpabet", ())


@pytest.fixture(scope="module")
def renderer(person: Person) -> Renderer:
    try:
        return Renderer(person, assets.data_folder(), 96, samples=0)
    except GraphicsUnavailableError as error:
        pytest.skip(str(error))


def lip_gap_mm(person: Person, shape: str) -> float:
    """Signed distance from the lower to the upper lip in a shape."""
    face = person.expression(person.weight_vector(SHAPES[shape]))
    upper, lower = (face[person.landmarks[f"lip_inner_{side}"], 1] for side in ("upper", "lower"))
    return float(100 * (upper - lower))


def test_lips_meet_for_p_b_m_and_at_rest_and_open_by_vowel(person: Person) -> None:
    assert lip_gap_mm(person, "PP") <= 0
    assert lip_gap_mm(person, "sil") <= 0.2
    assert lip_gap_mm(person, "aa") > lip_gap_mm(person, "E") > lip_gap_mm(person, "I") > lip_gap_mm(person, "W")
    assert 12 < lip_gap_mm(person, "aa") < 22


def test_the_lower_lip_touches_the_upper_teeth_for_f(person: Person) -> None:
    face = person.expression(person.weight_vector(SHAPES["FF"]))
    lip = face[person.landmarks["lip_inner_lower"]]
    teeth = build_teeth(person)["upper_teeth"][0]
    incisors = teeth[np.abs(teeth[:, 0]) < 0.08]
    assert lip[1] > incisors[:, 1].min(), "the lip must reach the edge of the teeth"
    assert 100 * (lip[2] - incisors[:, 2].max()) < 6, "the lip's ridge must lie close before the teeth"
    assert 1 < lip_gap_mm(person, "FF") < 4, "the teeth must show"


def test_key_points_lie_on_the_lips_all_around(person: Person) -> None:
    points = find_key_points(person)
    rest = points.trace(np.zeros((1, len(person.unit_names))), np.zeros((1, 3)), np.zeros((1, 3)))
    at = {name: points.at(rest, name)[0] for name in points.names}
    assert at["lip_inner_3"][0] > 0.15 > -0.15 > at["lip_inner_9"][0]
    assert at["lip_outer_0"][1] > at["lip_inner_0"][1] > at["lip_outer_8"][1] > at["chin"][1]
    assert at["eye_left"][0] > 0 > at["eye_right"][0]
    mirrored = at["lip_outer_4"] * [-1, 1, 1]
    np.testing.assert_allclose(mirrored, at["lip_outer_12"], atol=0.01)


def test_ground_truth_agrees_with_itself(person: Person, timeline: Timeline) -> None:
    camera = Camera(512)
    performance = perform(person, timeline, seed=5)
    truth = ground_truth(person, performance, timeline, camera)
    projected = camera.project(truth["keypoints_mm"].astype(float) / 100)
    np.testing.assert_allclose(projected, truth["keypoints_px"], atol=0.02)
    names = list(truth["keypoint_names"])
    corners = truth["keypoints_mm"][:, [names.index("lip_inner_3"), names.index("lip_inner_9")]]
    np.testing.assert_allclose(
        np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1), truth["mouth_width_mm"], rtol=1e-4
    )
    scale = truth["mouth_width_px"] / truth["mouth_width_mm"]
    np.testing.assert_allclose(truth["mouth_open_px"], truth["mouth_open_mm"] * scale, rtol=0.04, atol=0.1)
    frame_of_m = int(0.41 * 25)
    assert truth["mouth_open_mm"][frame_of_m] == 0
    assert truth["mouth_open_mm"][[6, 14]].min() > 4
    np.testing.assert_allclose(truth["visemes"].sum(1), 1, atol=1e-3)
    assert truth["face_height_px"].min() > 255


def test_the_performance_follows_the_seed_and_the_mouth_does_not(person: Person, timeline: Timeline) -> None:
    one, again, other = (perform(person, timeline, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.weights_TU, again.weights_TU)
    np.testing.assert_array_equal(one.head_T3, again.head_T3)
    assert np.abs(one.head_T3 - other.head_T3).max() > 1e-3
    jaw = person.unit_names.index("jawOpen")
    np.testing.assert_array_equal(one.weights_TU[:, jaw], other.weights_TU[:, jaw])


def test_subdivision_keeps_a_plane_flat_and_quarters_the_quads() -> None:
    x, y = np.meshgrid(np.arange(4.0), np.arange(4.0), indexing="ij")
    plane = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)
    corner = np.array([i * 4 + j for i in range(3) for j in range(3)])
    quads = np.stack([corner, corner + 4, corner + 5, corner + 1], 1)
    matrix, fine = subdivide(16, quads, 2)
    assert len(fine) == 9 * 16
    np.testing.assert_allclose(matrix.sum(1), 1)
    points = matrix @ plane
    np.testing.assert_allclose(points[:, 2], 0, atol=1e-12)
    np.testing.assert_allclose(points[:, :2].mean(0), 1.5)
    a, b, c = (points[triangles_of(fine)[:, i]] for i in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all(), "no quad may turn over"


def test_pictures_show_the_pose_and_repeat_exactly(renderer: Renderer) -> None:
    person = renderer.person
    closed, opened = (neutral_pose(person, SHAPES[name]) for name in ("sil", "aa"))
    first, second, again = renderer.render(closed), renderer.render(opened), renderer.render(closed)
    np.testing.assert_array_equal(first, again)
    changed = np.abs(first.astype(int) - second).max(2) > 25
    rows, columns = np.nonzero(changed)
    size = renderer.camera.size_px
    assert changed.sum() > 20
    assert rows.min() > 0.5 * size, "only the lower face may change"
    assert columns.min() > 0.25 * size
    assert columns.max() < 0.75 * size
    left_top, right_top = first[2, 2].astype(int), first[2, -3].astype(int)
    assert np.ptp(left_top) < 40, "the backdrop is grey"
    assert np.ptp(right_top) < 40


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_two_ranges_give_the_video_of_one_pass(
    renderer: Renderer, timeline: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_module, "CHUNK_FRAMES", 2)
    short = Timeline(timeline.pcm_S[: 5 * 640], timeline.phones, "arpabet", ())
    settings = Settings(seed=4, size_px=64, samples=0)
    whole, parts = (Recording(tmp_path / name / "a.mp4", short, settings) for name in ("whole", "parts"))
    whole.prepare()
    assert whole.render(progress=False) == 5
    assert whole.join()
    parts.prepare()
    assert parts.render(3, 5, progress=False) == 3  # the chunks that hold frames 2 to 4
    assert not parts.join()
    resumed = Recording(tmp_path / "parts" / "a.mp4", short, settings)
    resumed.prepare()
    assert resumed.render(progress=False) == 2
    assert resumed.join()
    assert whole.out.read_bytes() == parts.out.read_bytes()
    frames = decoded(whole.out)
    assert len(frames) == 5
    direct = Renderer(renderer.person, assets.data_folder(), 64, samples=0).render(whole.performance.pose(4))
    assert np.abs(frames[4].astype(int) - direct).mean() < 4, "frame 4 of the file is the picture of frame 4"
    with pytest.raises(OtherRecordingError, match="another seed"):
        Recording(tmp_path / "parts" / "a.mp4", short, replace(settings, seed=5)).prepare()


def test_missing_assets_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR328_PRESENTER_CACHE", str(tmp_path))
    monkeypatch.setattr(assets.shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(assets.AssetsMissingError, match="neither pip nor uv"):
        assets.data_folder()
