"""From a recording that lacks something to a spoken video. One is tried always; all twelve, a minute or two each, by

AVATAR328_ALL_RECORDINGS=1 bash test.sh tests/test_recordings.py
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
from recipe.sound import write_wav
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
        PRESETS["tiny"].unet, steps_a=3, steps_b=2, steps_c=1, steps_d=1, evaluate_every=7, checkpoint_every=7
    )
    patch = pytest.MonkeyPatch()
    lips = LipPreset(3, 16, warmup=1, evaluate_every=3)
    patch.setitem(PRESETS, "tiny", Preset(SyncNetPreset(2, 8, warmup=1, evaluate_every=2), lips, unet, "test"))
    yield
    patch.undo()


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_recording_becomes_an_avatar_that_speaks(name: str, tmp_path: Path) -> None:
    if not ALL and name not in ALWAYS:
        pytest.skip("all twelve are tried with AVATAR328_ALL_RECORDINGS=1")
    if not is_there(name):
        pytest.skip("real clips are not distributed with the repository")
    recording = tmp_path / f"{name}.mp4"
    RECORDINGS[name](recording)
    folders = ["--dataset_dir", str(tmp_path / "dataset")]
    assert prepare([str(recording), "--name", name, *folders]) == 0
    folders += ["--checkpoint_dir", str(tmp_path / "checkpoint")]
    for stage in ("syncnet", "unet"):
        chosen = ["--name", name, "--stage", stage, "--preset", "tiny", "--device", "cpu"]
        assert train_328.main([*chosen, *folders]) == 0
    avatars = ["--avatars_dir", str(tmp_path / "avatars")]
    assert train_328.main(["--name", name, "--stage", "package", "--synthetic", *avatars, *folders]) == 0
    write_wav(tmp_path / "words.wav", drawn_dataset(100).audio_S[28_000 : 28_000 + 16_000])
    said = ["--name", name, "--audio_path", str(tmp_path / "words.wav"), "--out", str(tmp_path / "out.mp4")]
    assert inference_328.main([*said, *avatars]) == 0
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 25
