"""Networks that restore faces: the layouts of GFPGAN, RestoreFormer and CodeFormer, by tiny networks made here.

A tiny network adds a constant to the aligned face, a bright spot where eyes or mouth must lie: where the spot comes
back in the photo shows that the face was aligned and put back rightly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import photo_328
from data_prep.still_landmarks import StillLandmarks
from recipe.avatar_format import read_manifest
from recipe.face_restorer import FaceRestorer, RestorerError
from recipe.warp.arrays import load_arrays
from tests.photo_material import Picture, found_in, written

SHAPE = [1, 3, 512, 512]
FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE


def network(
    path: Path,
    added_HW: np.ndarray | float = 0.0,
    *,
    shape: list[Any] | None = None,
    kind: int = FLOAT,
    weight: bool = False,
) -> Path:
    """input + added, all of it times the weight if there is one."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    added = numpy_helper.from_array(np.broadcast_to(added_HW, (1, 3, 512, 512)).astype(dtype), "added")
    given = [helper.make_tensor_value_info("input", kind, shape or SHAPE)]
    nodes = [helper.make_node("Add", ["input", "added"], ["sum" if weight else "output"])]
    if weight:
        given.append(helper.make_tensor_value_info("w", DOUBLE, [1]))
        nodes += [helper.make_node("Cast", ["w"], ["w_float"], to=kind)]
        nodes += [helper.make_node("Mul", ["sum", "w_float"], ["output"])]
    gives = [helper.make_tensor_value_info("output", kind, shape or SHAPE)]
    graph = helper.make_graph(nodes, "tiny", given, gives, [added])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def spot(x: int, y: int) -> np.ndarray:
    lit = np.zeros((512, 512), np.float32)
    cv2.circle(lit, (x, y), 12, 1.0, -1)
    return lit


@pytest.fixture(scope="module", params=[0, 17])
def leaning(request: pytest.FixtureRequest, picture: Picture) -> tuple[Picture, StillLandmarks]:
    """The portrait, upright and with the head leaning to one side."""
    turn = cv2.getRotationMatrix2D((256, 256), request.param, 0.9)
    leant = np.asarray(cv2.warpAffine(picture, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    return leant, found_in(leant)


@pytest.mark.parametrize(
    ("place", "landmark"), [((193, 240), 468), ((319, 240), 473), ((257, 314), 4), ((201, 371), 61), ((313, 371), 291)]
)
def test_the_face_is_aligned_and_put_back(
    leaning: tuple[Picture, StillLandmarks], tmp_path: Path, place: tuple[int, int], landmark: int
) -> None:
    picture, found = leaning
    points = found.points_K3[:, :2]
    lit = FaceRestorer(network(tmp_path / "spot.onnx", spot(*place))).restored(picture, points)
    plain = FaceRestorer(network(tmp_path / "same.onnx")).restored(picture, points)
    brighter = (lit.astype(int) - plain).sum(-1)
    centre = np.argwhere(brighter > brighter.max() / 2).mean(0)[::-1]
    eyes = np.linalg.norm(points[473] - points[468])
    assert np.linalg.norm(centre - points[landmark]) < 0.16 * eyes  # faces differ from the mean face


def test_what_a_network_leaves_alone_stays_nearly_the_same(
    leaning: tuple[Picture, StillLandmarks], tmp_path: Path
) -> None:
    picture, found = leaning
    same = FaceRestorer(network(tmp_path / "same.onnx")).restored(picture, found.points_K3[:, :2])
    assert np.abs(same.astype(int) - picture).mean() < 0.8
    np.testing.assert_array_equal(same[:20], picture[:20])


def test_the_mouth_alone_can_be_taken_back(picture: Picture, tmp_path: Path) -> None:
    points = found_in(picture).points_K3[:, :2]
    restorer = FaceRestorer(network(tmp_path / "bright.onnx", 0.3))
    face, mouth = (
        np.abs(restorer.restored(picture, points, w).astype(int) - picture).sum(-1) for w in ("face", "mouth")
    )
    x, y = points[[61, 291, 0, 17]].mean(0).astype(int)
    eye_x, eye_y = points[468].astype(int)
    assert mouth[y, x] > 60 and face[eye_y, eye_x] > 60
    assert not mouth[eye_y, eye_x].any()
    assert 0.02 < np.count_nonzero(mouth) / np.count_nonzero(face) < 0.3


@pytest.mark.parametrize("layout", ["free batch", "half precision", "CodeFormer"])
def test_the_usual_layouts_are_run(picture: Picture, tmp_path: Path, layout: str) -> None:
    given: dict[str, Any] = {
        "free batch": {"shape": ["batch", 3, 512, 512]},
        "half precision": {"kind": HALF},
        "CodeFormer": {"weight": True},
    }[layout]
    path = network(tmp_path / "net.onnx", 0.2, **given)
    points = found_in(picture).points_K3[:, :2]
    cheek = tuple(points[50].astype(int)[::-1])
    before = picture[cheek].astype(float) / 127.5 - 1
    for fidelity in (1.0, 0.5):
        after = FaceRestorer(path, fidelity).restored(picture, points)[cheek] / 127.5 - 1
        expected = (before + 0.2) * (fidelity if layout == "CodeFormer" else 1)
        np.testing.assert_allclose(after, expected, atol=0.06)


def test_other_networks_are_refused_by_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RestorerError, match=r"none\.onnx is not a file"):
        FaceRestorer(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(RestorerError, match=r"text\.onnx cannot be loaded"):
        FaceRestorer(tmp_path / "text.onnx")
    with pytest.raises(RestorerError, match=r"as input input \[1, 1, 512, 512\]; expected one \(1, 3, 512, 512\)"):
        FaceRestorer(network(tmp_path / "grey.onnx", shape=[1, 1, 512, 512]))
    broken = FaceRestorer(network(tmp_path / "nan.onnx", np.nan))
    with pytest.raises(RestorerError, match="no number"):
        broken.restored(np.zeros((64, 64, 3), np.uint8), np.random.default_rng(0).random((478, 2)) * 64)


def test_the_command_restores_once_and_says_so(
    picture: Picture, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = written(tmp_path / "photo.png", picture)
    path = network(tmp_path / "bright.onnx", 0.3)
    arguments = ["eve", str(photo), "--synthetic", "--avatars_dir", str(tmp_path), "--size", "640"]
    with caplog.at_level("INFO"):
        assert photo_328.main([*arguments, "--restore", str(path)]) == 0
    assert "the photo was enlarged 1.25 times, restored by bright.onnx" in caplog.text
    manifest = read_manifest(tmp_path / "eve")
    assert manifest.width == 640 and "bright.onnx" in str(manifest.metrics["restored"])
    kept = load_arrays(tmp_path / "eve" / "photo.npz")["photo_HWC"]
    assert kept[320, 320].mean() > picture[256, 256].mean() + 25
    assert photo_328.main([*arguments, "--restore", "sharper"]) == 2
    assert f"the restorer {Path.cwd() / 'sharper'} is not a file" in caplog.text
