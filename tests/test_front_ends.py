"""Front ends of the ears are compared on the same windows, and each hears nothing that a listener could not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import ears_curves, front_ends
from benchmarks.measures.ears_curves import parts_of
from benchmarks.measures.front_ends import LONG_SAMPLES, Heard, Listener, PlacedSound, Plan, fitted, gathered
from models.audio_encoder import LogMel
from recipe.audio_window import window_pcm
from recipe.recipe_328 import SAMPLES_PER_FRAME
from tests.test_audio_features_hf import tiny_model
from tests.test_ears import drawn_material
from training.audio_augmentation import AudioAugmentation
from training.ears.material import Material
from training.ears.stage import HEARD
from training.sound import mel_config


def placed(material: Material, how: AudioAugmentation) -> PlacedSound:
    pcm_S, clips = torch.from_numpy(material.pcm_S), material.clips
    return PlacedSound(LogMel(mel_config()), pcm_S, how, clips, clips)


def test_a_window_is_that_of_the_recording() -> None:
    material = drawn_material()
    start, stop = material.clips[1]
    heard = placed(material, AudioAugmentation.off()).augmented(torch.arange(start, stop), torch.Generator())
    clip_S = material.pcm_S[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
    np.testing.assert_allclose(
        heard[:, -LONG_SAMPLES:].numpy(), window_pcm(clip_S, 0, stop - start, LONG_SAMPLES), atol=1e-6
    )


def test_a_room_tells_nothing_of_what_is_to_come() -> None:
    material = drawn_material()
    frame = 30
    pcm_S = np.zeros_like(material.pcm_S)
    pcm_S[(frame + 1) * SAMPLES_PER_FRAME] = 1.0  # after the frame, and within what it hears
    room = replace(AudioAugmentation.off(), reverb=1.0)
    heard = placed(replace(material, pcm_S=pcm_S), room).augmented(torch.tensor([frame]), torch.Generator())[0]
    assert float(heard.max()) == pytest.approx(1.0, abs=1e-4)
    at = int(heard.argmax())
    assert float(heard[:at].abs().max()) < 1e-5 < float(heard[at + 1 :].abs().max())


def test_features_of_two_front_ends_lie_side_by_side_in_time() -> None:
    fine = np.arange(2 * 4 * 1, dtype=np.float16).reshape(2, 4, 1)
    coarse = np.array([[[100], [101]], [[102], [103]]], np.float16)
    both = gathered([Heard(coarse, 0.0), Heard(fine, 0.0)], slice(0, 2))
    assert both.tolist() == [[[100, 0, 1], [101, 2, 3]], [[102, 4, 5], [103, 6, 7]]]


def test_the_command_compares_and_takes_up_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.measures.front_ends.load_material", lambda *_: drawn_material())
    tiny_model("whisper").save_pretrained(tmp_path / "whisper")
    table = tmp_path / "a.json"
    options = ["--whisper", str(tmp_path / "whisper"), "--work", str(tmp_path / "work"), "--json", str(table)]
    options += ["--pairs", "40", "--steps", "3"]

    assert front_ends.main(options) == 0
    first = json.loads(table.read_text())["rows"]
    assert [row["front end"] for row in first[:: len(HEARD)]] == [
        "log-mel, 0.5 s", "log-mel, 0.88 s", "Whisper", "Whisper and log-mel"
    ]  # fmt: skip
    assert [row["heard in"] for row in first[: len(HEARD)]] == ["quiet", "noise", "room"]
    assert all(np.isfinite(row["ccc"]) and row["ms of a window"] > 0 for row in first)

    monkeypatch.setattr("benchmarks.measures.front_ends.Plan.sound", lambda _: pytest.fail("heard again"))
    assert front_ends.main(options) == 0
    assert json.loads(table.read_text())["rows"] == first


@pytest.mark.parametrize("by", ["log-mel, 0.5 s", "Whisper"])
def test_fewer_voices_are_learnt_from_and_silence_always(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voices = ["real:a", "real:b", "flite:slt", "real:c"]
    material = replace(drawn_material(), voices=voices, held_out=[False, False, False, True])
    kept = {name: kept_C.tolist() for name, kept_C in parts_of(material).items()}
    assert kept["all"] == [True, True, True, False]
    assert kept["1 of 2 real speakers"] == [True, False, True, False]
    assert kept["0 of 2 real speakers"] == [False, False, True, False]
    assert kept["real speakers alone"] == [True, True, False, False]

    monkeypatch.setattr("benchmarks.measures.front_ends.load_material", lambda *_: material)
    learnt_from = []

    def note(_heard: object, plan: Plan, _steps: int, _name: str, pairs: torch.Tensor) -> Listener:
        spoken = pairs[pairs < len(plan.learnt_F) // 2 - plan.silent // 2]
        learnt_from.append((set((plan.learnt_F[2 * spoken] // 60).tolist()), len(pairs) - len(spoken)))
        return fitted(_heard, plan, 1, _name, pairs)  # type: ignore[arg-type]

    monkeypatch.setattr("benchmarks.measures.ears_curves.fitted", note)
    table = tmp_path / "a.json"
    options = ["--work", str(tmp_path / "work"), "--json", str(table), "--pairs", "100"]
    if by == "Whisper":
        tiny_model("whisper").save_pretrained(tmp_path / "whisper")
        options += ["--whisper", str(tmp_path / "whisper")]
    assert ears_curves.main(options) == 0
    assert learnt_from == [({clip for clip in range(4) if kept_C[clip]}, 12) for kept_C in kept.values()]
    printed = json.loads(table.read_text())
    rows = printed["rows"]
    assert printed["title"].endswith(by)
    assert [row["of it"] for row in rows[::3]] == list(kept)
