"""The whole path on the project's own presenter: video, dataset, two trainings, avatar, talking video."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest

import inference_328
import train_328
from data_prep.__main__ import main as prepare
from data_prep.dataset_328 import open_dataset
from data_prep.video import iter_rgb
from recipe.int8_calibration import read_calibration
from recipe.sound import write_wav
from services.avatars.avatar import open_avatar, record_consent
from tests.media import first_seconds
from tests.training_material import drawn_dataset
from training.packaging import _earlier
from training.presets import PRESETS, LipPreset, Preset, SyncNetPreset

NAME = "toy"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def short_preset() -> Iterator[None]:
    """`tiny`, cut to what a test can wait for: every part of every stage runs, none learns much."""
    short = {"steps_a": 6, "steps_b": 2, "steps_c": 1, "steps_d": 1, "evaluate_every": 10, "checkpoint_every": 10}
    unet = dataclasses.replace(PRESETS["tiny"].unet, widths=(16, 32, 64, 128, 256), critic_width=16, **short)
    patch = pytest.MonkeyPatch()
    lips = LipPreset(4, 32, warmup=2, evaluate_every=4)
    patch.setitem(PRESETS, "tiny", Preset(SyncNetPreset(2, 8, warmup=2, evaluate_every=2), lips, unet, "test"))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, presenter_video: Path, short_preset: None) -> Path:
    """A folder with dataset, checkpoint and avatars of the toy person."""
    root = tmp_path_factory.mktemp("workplace")
    recording = first_seconds(presenter_video, root / "recording.mp4", 10.0)
    folders = ["--dataset_dir", str(root / "dataset")]
    assert prepare([str(recording), "--name", NAME, *folders]) == 0
    folders += ["--checkpoint_dir", str(root / "checkpoint")]
    for stage in ("syncnet", "unet"):
        chosen = ["--name", NAME, "--stage", stage, "--preset", "tiny", "--device", "cpu"]
        assert train_328.main([*chosen, *folders]) == 0
    made = ["--name", NAME, "--stage", "package", "--synthetic", "--avatars_dir", str(root / "avatars")]
    assert train_328.main([*made, *folders]) == 0
    return root


def test_the_avatar_is_complete_and_says_what_it_is(workplace: Path) -> None:
    avatar = open_avatar(workplace / "avatars", NAME)
    assert avatar.manifest.synthetic and avatar.may_serve_publicly
    errors = avatar.manifest.onnx_max_abs_error
    assert errors["unet_encoder.onnx"] < 0.02  # features leave it in half precision
    assert errors["audio_encoder.onnx"] < 1e-3
    assert errors["unet_decoder.onnx"] <= 1  # of 255 levels
    assert errors["int8_psnr_db"] > 45 and avatar.manifest.versions["weights"] == "int8"
    calibration = read_calibration(avatar.folder / "unet_decoder.onnx")  # on any processor
    assert calibration is not None and "unet_decoder.int8.json" in avatar.manifest.files
    assert errors["int8_compute_mouth_psnr_db"] == calibration.mouth_psnr_db > 30
    assert avatar.manifest.metrics["generated.psnr_mouth_db"] > 12
    assert avatar.manifest.metrics["test_frames"] > 40
    assert sorted(p.name for p in (workplace / "avatars").iterdir()) == [NAME]


def test_the_template_is_the_dataset_bit_for_bit(workplace: Path) -> None:
    dataset, avatar = open_dataset(workplace / "dataset" / NAME), open_avatar(workplace / "avatars", NAME)
    start = avatar.manifest.template["source_start"]
    prepared = list(iter_rgb(dataset.frames_path))[start : start + 30]
    for ours, theirs in zip(iter_rgb(avatar.folder / "frames.mp4"), prepared, strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_the_sound_moves_the_mouth_of_the_avatar(workplace: Path) -> None:
    session = onnxruntime.InferenceSession(str(workplace / "avatars" / NAME / "audio_encoder.onnx"))
    sound = drawn_dataset(80).audio_S[-30_000 : -30_000 + 8032][None]
    told = {gate: session.run(None, {"pcm_BS": sound, "gate_B": np.full(1, gate, np.float32)})[0] for gate in (0, 1)}
    assert np.abs(told[0] - told[1]).max() > 0.1


def test_it_says_a_recording_it_never_heard(workplace: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "new words.wav", drawn_dataset(100).audio_S[28_000 : 28_000 + 32_480])
    result = tmp_path / "out.mp4"
    said = ["--name", NAME, "--audio_path", str(tmp_path / "new words.wav"), "--out", str(result)]
    assert inference_328.main([*said, "--avatars_dir", str(workplace / "avatars")]) == 0
    with av.open(str(result)) as video:
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == 51 and pictures[0].shape == (512, 512, 3)
    template = list(iter_rgb(workplace / "avatars" / NAME / "frames.mp4"))
    upper = slice(0, 200)  # hair and eyes are the filmed ones
    assert np.abs(pictures[0][upper].astype(int) - template[0][upper]).mean() < 4


def test_everything_again_does_nothing_again(workplace: Path) -> None:
    root = workplace
    before = {p: p.stat().st_mtime_ns for p in (root / "dataset").rglob("*") if p.is_file()}
    assert prepare([NAME, "--dataset_dir", str(root / "dataset")]) == 0
    after = {p: p.stat().st_mtime_ns for p in (root / "dataset").rglob("*") if p.is_file()}
    assert after == before
    best = root / "checkpoint" / NAME / "unet" / "best.pt"
    trained = best.stat().st_mtime_ns
    folders = ["--dataset_dir", str(root / "dataset"), "--checkpoint_dir", str(root / "checkpoint")]
    chosen = ["--name", NAME, "--stage", "unet", "--preset", "tiny", "--device", "cpu"]
    assert train_328.main([*chosen, *folders]) == 0
    assert best.stat().st_mtime_ns == trained


@pytest.fixture(scope="module")
def packaged_again(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The avatar, packaged once more after a consent was recorded and with no best.pt; and what was logged."""
    root = tmp_path_factory.mktemp("again")
    for part in ("checkpoint", "avatars"):
        shutil.copytree(workplace / part, root / part)
    (root / "checkpoint" / NAME / "unet" / "best.pt").unlink()
    record_consent(root / "avatars", NAME, "Ada Example, 2026-11-20, tests")
    folders = ["--dataset_dir", str(workplace / "dataset"), "--checkpoint_dir", str(root / "checkpoint")]
    made = ["--name", NAME, "--stage", "package", "--no_evaluation", "--avatars_dir", str(root / "avatars")]
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger().addHandler(handler)
    try:
        assert train_328.main([*made, *folders]) == 0
    finally:
        logging.getLogger().removeHandler(handler)
    return root / "avatars", said.getvalue()


def test_a_training_that_ended_early_still_makes_an_avatar(packaged_again: tuple[Path, str]) -> None:
    """Nothing was judged yet, so there is no best.pt: the last averaged weights speak."""
    manifest = open_avatar(packaged_again[0], NAME).manifest
    assert manifest.versions["training_steps"] == PRESETS["tiny"].unet.steps


def test_packaging_again_keeps_a_consent_that_was_given_later(packaged_again: tuple[Path, str]) -> None:
    avatars, said = packaged_again
    manifest = json.loads((avatars / NAME / "avatar.json").read_text())
    assert manifest["consent"]["who"] == "Ada Example" and manifest["synthetic"] is False
    assert "no consent is recorded" not in said


def test_a_consent_that_cannot_be_read_is_not_lost_in_silence(
    workplace: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "avatar.json").write_text("{half")
    assert _earlier(tmp_path / NAME, "0" * 64) is None
    assert "cannot be carried over" in caplog.text
    caplog.clear()
    assert _earlier(tmp_path / "new", "0" * 64) is None
    assert not caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "nobody", "--stage", "unet"], "nobody"),
        (["--name", NAME, "--stage", "unet", "--device", "cuda:99"], "cuda:99"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    workplace: Path, arguments: list[str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert train_328.main([*arguments, "--dataset_dir", str(workplace / "dataset")]) == 2
    errors = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 1 and message in errors[0] and "\n" not in errors[0]


def test_an_avatar_of_another_recording_is_refused(
    workplace: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = workplace / "dataset" / NAME / "manifest.json"
    original = manifest.read_text()
    changed = json.loads(original)
    changed["source"]["sha256"] = "f" * 64
    manifest.write_text(json.dumps(changed))
    folders = ["--dataset_dir", str(workplace / "dataset"), "--checkpoint_dir", str(workplace / "checkpoint")]
    made = ["--name", NAME, "--stage", "package", "--avatars_dir", str(tmp_path)]
    assert train_328.main([*made, *folders]) == 2
    manifest.write_text(original)
    assert "another recording" in caplog.text and not list(tmp_path.iterdir())
