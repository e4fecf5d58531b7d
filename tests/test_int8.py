"""The decoder in int8: near the exact pictures, really in integers, and only where packaging found it good enough."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from models.unet_328 import Features, UNet328, UNetConfig
from recipe.avatar_format import FEATURES, INT8_FILE, read_manifest, write_manifest
from recipe.errors import BrokenAvatarError
from recipe.files import sha256
from recipe.int8_calibration import Int8Calibration, calibration_path, read_calibration, write_calibration
from recipe.mask_328 import alpha_bounds, unseen_mask
from recipe.recipe_328 import INNER_PX, PATCH_HEIGHT_PX, PATCH_TOP_PX
from services.avatars.avatar import open_avatar
from services.errors import ModelRuntimeError
from services.runtimes.choice import choose_runtime
from services.runtimes.int8 import round_inputs
from services.runtimes.openvino import OpenVinoRuntime
from tests.toy_avatar import NAME, toy_avatars  # noqa: F401
from training.export import DecoderGraph, export_graph
from training.int8 import in_batches, mouth_psnr_db, spread_by_opening, watched_inputs
from training.weights import store_as_int8

WIDTH = 32  # the narrowest whose weights are all stored as int8
EMBEDDING = 16
NAMES = [*FEATURES, "embedding_BD"]


def given(rows: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    features = [
        np.abs(random.normal(0, 1, (rows, WIDTH, height, height * 5 // 3))).astype(np.float16)
        for height in (96, 48, 24, 12, 6)
    ]
    return [*features, random.normal(0, 1, (rows, EMBEDDING)).astype(np.float32)]


@pytest.fixture(scope="module")
def decoder() -> DecoderGraph:
    torch.manual_seed(0)
    masks = (torch.from_numpy(mask) for mask in (unseen_mask(), *alpha_bounds()))
    unet = UNet328(UNetConfig(INNER_PX, PATCH_TOP_PX, 3, EMBEDDING, (WIDTH,) * 5, bottleneck_blocks=1), *masks)
    with torch.no_grad():
        for name, weight in unet.decoder.named_parameters():
            if "to_scale_and_shift.weight" in name or "conv2.weight" in name:
                torch.nn.init.normal_(weight, std=0.03)  # new ones are zero: the sound would not be heard
    return DecoderGraph(unet).eval()


@pytest.fixture(scope="module")
def graph(decoder: DecoderGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decoder's graph, weights stored as int8, with its calibration beside it."""
    path = tmp_path_factory.mktemp("int8") / "unet_decoder.onnx"
    export_graph(decoder, tuple(torch.from_numpy(array) for array in given(2, 0)), path, NAMES, ["patch_BHWC"])
    store_as_int8(path)
    with watched_inputs(decoder.decoder, "decoder") as bounds:
        in_batches(decoder, given(6, 1))
    write_calibration(path, Int8Calibration(50.0, bounds))
    return path


def test_exporting_prints_nothing_about_its_own_parts(graph: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without triton, torch tells whoever packages an avatar that it cannot count some operations."""
    logging.getLogger("torch.utils.flop_counter").warning("triton not found; flop counting will not work")
    logging.getLogger("onnxscript.optimizer").info("folded a constant")
    assert graph.is_file() and caplog.text == ""


def test_the_exported_picture_is_what_the_network_draws(decoder: DecoderGraph) -> None:
    """Bounding before the pixel shuffle is the same as after it, as training does."""
    arrays = [torch.from_numpy(array) for array in given(2, 3)]
    with torch.no_grad():
        found = decoder(*arrays).numpy().astype(int)
        drawn = decoder.decoder(Features(*(array.float() for array in arrays[:5])), arrays[-1])
        wanted = (decoder.unet.bound_alpha(drawn).permute(0, 2, 3, 1) * 255).round().numpy()
    assert found.shape == (2, PATCH_HEIGHT_PX, INNER_PX, 4) and found.std() > 5
    assert np.abs(found - wanted).max() <= 1


def test_int8_draws_nearly_the_exact_pictures(decoder: DecoderGraph, graph: Path) -> None:
    arrays = given(4, 2)
    loaded = OpenVinoRuntime("int8", 2).load(graph)
    assert loaded.provider == "OpenVINO CPU int8"
    drawn = loaded.run(dict(zip(NAMES, arrays, strict=True)))["patch_BHWC"]
    exact = in_batches(decoder, arrays)[0]
    everywhere = np.tile(np.array([0, PATCH_TOP_PX, INNER_PX, INNER_PX], np.float32), (4, 1))
    assert 35 < mouth_psnr_db(drawn, exact, everywhere) < 99  # noise, wider than what a face gives; and not float32
    assert mouth_psnr_db(exact[::-1], exact, everywhere) < 30  # the rows differ by more


def test_every_convolution_runs_in_integers(graph: Path) -> None:
    core = openvino.Core()
    model = core.read_model(str(graph))
    calibration = read_calibration(graph)
    assert calibration is not None
    round_inputs(model, calibration.bounds)
    model.reshape({port.any_name: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kernels = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        if "convolution" in str(facts["layerType"].astype(str)).lower():  # deconvolutions too
            kernels[node.friendly_name] = facts["runtimePrecision"].astype(str)
    assert len(kernels) == len(calibration.bounds) == 15
    assert set(kernels.values()) <= {"u8", "i8"}, kernels


def test_bounds_of_another_network_are_refused(graph: Path) -> None:
    calibration = read_calibration(graph)
    assert calibration is not None
    others = {name.replace("block_20", "block_21"): bound for name, bound in calibration.bounds.items()}
    with pytest.raises(ModelRuntimeError, match=r"another network.*block_20"):
        OpenVinoRuntime("int8", 1).compile(graph, others)


def test_below_40_db_int8_is_not_used_and_asking_for_it_is_an_error(graph: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(graph, tmp_path))
    calibration = read_calibration(graph)
    assert calibration is not None
    runtime = OpenVinoRuntime("int8", 1)
    assert not runtime.suits(copy)  # without a calibration
    write_calibration(copy, calibration)
    assert runtime.suits(copy)
    write_calibration(copy, replace(calibration, mouth_psnr_db=39.9))
    assert not runtime.suits(copy)
    with pytest.raises(ModelRuntimeError, match=r"39\.9 dB.*runtime auto"):
        runtime.load(copy)
    automatic = choose_runtime("auto", "cpu", 1)
    assert "int8" not in automatic.load(copy).provider


@pytest.mark.parametrize("text", ["", "[]", '{"mouth_psnr_db": 50, "bounds": {"a": 0}}', '{"mouth_psnr_db": 50}'])
def test_a_damaged_calibration_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "unet_decoder.onnx"
    calibration_path(path).write_text(text)
    with pytest.raises(BrokenAvatarError, match=r"unet_decoder\.int8\.json is no int8 calibration"):
        read_calibration(path)


def test_an_old_avatar_loads_and_a_file_nobody_vouches_for_is_refused(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    shutil.copytree(toy_avatars / NAME, tmp_path / NAME)
    folder = tmp_path / NAME
    assert INT8_FILE not in open_avatar(tmp_path, NAME).manifest.files
    assert OpenVinoRuntime("int8", 1).load(folder / "unet_decoder.onnx").provider != "OpenVINO CPU int8"
    write_calibration(folder / "unet_decoder.onnx", Int8Calibration(50.0, {"a": 1.0}))
    with pytest.raises(BrokenAvatarError, match=r"int8\.json is not listed"):
        open_avatar(tmp_path, NAME)


def test_a_tampered_calibration_is_refused(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    shutil.copytree(toy_avatars / NAME, tmp_path / NAME)
    folder = tmp_path / NAME
    write_calibration(folder / "unet_decoder.onnx", Int8Calibration(39.0, {"a": 1.0}))
    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files={**manifest.files, INT8_FILE: sha256(folder / INT8_FILE)}))
    assert INT8_FILE in open_avatar(tmp_path, NAME).manifest.files
    document = json.loads((folder / INT8_FILE).read_text())
    (folder / INT8_FILE).write_text(json.dumps({**document, "mouth_psnr_db": 60.0}))
    with pytest.raises(BrokenAvatarError, match=r"int8\.json is not the file that was packaged"):
        open_avatar(tmp_path, NAME)


def test_frames_are_spread_from_closed_to_open() -> None:
    opening_T = np.array([5, 1, 9, 3, 7, 2, 8], np.float32)
    usable_T = np.array([1, 1, 0, 1, 1, 1, 1], bool)
    np.testing.assert_array_equal(spread_by_opening(opening_T, usable_T, 3), [1, 3, 6])
    np.testing.assert_array_equal(spread_by_opening(opening_T, usable_T, 99), [0, 1, 3, 4, 5, 6])
    with pytest.raises(ValueError, match="no usable frame"):
        spread_by_opening(opening_T, np.zeros(7, bool), 3)


def test_the_mouth_figure_counts_colours_inside_the_box_only() -> None:
    exact = np.zeros((1, PATCH_HEIGHT_PX, INNER_PX, 4), np.uint8)
    drawn = exact.copy()
    drawn[..., 3] = 200  # opacity
    drawn[0, :20] = 90  # above the box
    box_B4 = np.array([[10, PATCH_TOP_PX + 20, 30, PATCH_TOP_PX + 40]], np.float32)
    assert mouth_psnr_db(drawn, exact, box_B4) == 100
    drawn[0, 20:40, 10:30, :3] = 51
    assert mouth_psnr_db(drawn, exact, box_B4) == pytest.approx(20 * np.log10(5))
