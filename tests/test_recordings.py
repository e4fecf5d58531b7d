"""From a recording that lacks something to a spoken video: all twelve, a minute or two each, by

AVATAR328_ALL_RECORDINGS=1 bash test.sh tests/test_recordings.py

One is tried always, with all that asks something of the recording: preparation, every stage of training, the choice
of template and references, the held-out block. The export to ONNX, which asks nothing of it and is half of the time, is
tested from end to end elsewhere.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

import inference_328
import train_328
from data_prep.__main__ import main as prepare
from data_prep.dataset_328 import open_dataset
from evaluation.block import held_out_frames
from recipe.avatar_format import AUDIO_ENCODER_FILE, UNET_DECODER_FILE, UNET_ENCODER_FILE
from recipe.sound import write_wav
from services.avatars.avatar import open_video_avatar
from tests.recordings import RECORDINGS, is_there
from tests.training_material import drawn_dataset
from training.presets import PRESETS, LipPreset, Preset, SyncNetPreset

pytestmark = pytest.mark.slow

ALWAYS = ("never-rests",)
ALL = os.environ.get("AVATAR328_ALL_RECORDINGS") == "1"


@pytest.fixture(scope="module", autouse=True)
def shortest_preset() -> Iterator[None]:
    """`tiny`, with a few steps of every stage: what a stage needs is asked by its first step."""
    unet = dataclasses.replace(
        PRESETS["tiny"].unet, steps_a=1, steps_b=1, steps_c=1, steps_d=1, evaluate_every=4, checkpoint_every=4
    )
    patch = pytest.MonkeyPatch()
    lips = LipPreset(3, 16, warmup=1, evaluate_every=3)
    patch.setitem(PRESETS, "tiny", Preset(SyncNetPreset(2, 8, warmup=1, evaluate_every=2), lips, unet, "test"))
    yield
    patch.undo()


def _no_networks(
    checkpoint: object, dataset: object, template: object, references: object, folder: Path, *_: object
) -> dict[str, float]:
    for filename in (AUDIO_ENCODER_FILE, UNET_ENCODER_FILE, UNET_DECODER_FILE):
        (folder / filename).touch()
    return {}


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_recording_becomes_an_avatar_that_speaks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ALL and name not in ALWAYS:
        pytest.skip("all twelve are tried with AVATAR328_ALL_RECORDINGS=1")
    if not is_there(name):
        pytest.skip("real clips are not distributed with the repository")
    recording = tmp_path / f"{name}.mp4"
    RECORDINGS[name](recording)
    folders = ["--dataset_dir", str(tmp_path / "dataset")]
    assert prepare([str(recording), "--name", name, *folders]) == 0
    folders += ["--checkpoint_dir", str(tmp_path / "checkpoint")]
    if not ALL:
        monkeypatch.setattr("training.export.export_scorer", lambda *_: None)
    for stage in ("syncnet", "unet"):
        chosen = ["--name", name, "--stage", stage, "--preset", "tiny", "--device", "cpu"]
        assert train_328.main([*chosen, *folders]) == 0
    avatars = ["--avatars_dir", str(tmp_path / "avatars")]
    packaging = ["--name", name, "--stage", "package", "--synthetic", *avatars, *folders]
    if not ALL:
        monkeypatch.setattr("training.packaging.export_checked", _no_networks)
        assert train_328.main([*packaging, "--no_evaluation"]) == 0
        avatar = open_video_avatar(tmp_path / "avatars", name)
        assert len(avatar.motion_T) == avatar.manifest.frames >= 75
        assert len(held_out_frames(open_dataset(tmp_path / "dataset" / name)).frames_T) >= 25
        return
    assert train_328.main(packaging) == 0
    write_wav(tmp_path / "words.wav", drawn_dataset(100).audio_S[28_000 : 28_000 + 16_000])
    said = ["--name", name, "--audio_path", str(tmp_path / "words.wav"), "--out", str(tmp_path / "out.mp4")]
    assert inference_328.main([*said, *avatars]) == 0
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 25
