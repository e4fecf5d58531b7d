"""The whole evaluation on a small dataset of the presenter: takes, real landmarks, tables, files, messages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from data_prep.dataset_328 import Dataset328, open_dataset
from evaluation.__main__ import main
from evaluation.block import NoTestBlockError, digital_silence, held_out_frames, other_stretches, room_tone
from evaluation.driven import loudness_T
from evaluation.held_out import Evaluation, evaluate_avatar, evaluate_held_out
from evaluation.metrics import METRICS, PHOTO, TAKES
from evaluation.networks import AvatarSpeaker
from evaluation.tables import headline, table, terminal_table
from evaluation.truth import load_truth
from evaluation.value import Value, known, unknown
from recipe.mask_328 import alpha_bounds
from recipe.recipe_328 import PATCH_TOP_PX, SAMPLES_PER_FRAME
from recipe.sound import load_audio, write_wav
from services.avatars.avatar import Avatar, open_avatar
from services.avatars.photo_model import load_ears
from services.runtimes.onnx import OnnxRuntime
from tests.evaluation_material import COUNT, FIRST, TEST, LipReader, Parrot, Statue, write_small_dataset
from tests.metrics_material import DATA
from tests.toy_avatar import build_toy_avatar


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.fixture(scope="module")
def dataset(dataset_dir: Path) -> Dataset328:
    return open_dataset(dataset_dir)


@pytest.fixture(scope="module")
def avatars_dir(tmp_path_factory: pytest.TempPathFactory, presenter_video: Path) -> Path:
    folder = tmp_path_factory.mktemp("avatars")
    build_toy_avatar(folder / "toy", presenter_video)
    return folder


@pytest.fixture(scope="module")
def avatar(avatars_dir: Path, dataset: Dataset328) -> Avatar:
    """The toy avatar with a closed reference of this dataset."""
    opened = open_avatar(avatars_dir, "toy")
    references = opened.references_3HWC.copy()
    references[0] = dataset.crops[int(np.argmin(dataset.opening_T))]
    return replace(opened, references_3HWC=references)


@pytest.fixture(scope="module")
def parrot(avatar: Avatar, dataset: Dataset328) -> Evaluation:
    truth = load_truth(DATA / "presenter_ground_truth.npz")
    shown = replace(
        truth, points_TP2=truth.points_TP2[FIRST:], eyes_T=truth.eyes_T[FIRST:], opening_T=truth.opening_T[FIRST:],
        visemes_TV=truth.visemes_TV[FIRST:],
        phones=tuple((phone, start - FIRST / 25, end - FIRST / 25) for phone, start, end in truth.phones),
    )  # fmt: skip
    return evaluate_held_out(avatar, dataset, Parrot(), LipReader(dataset), shown)


@pytest.fixture(scope="module")
def statue(avatar: Avatar, dataset: Dataset328) -> Evaluation:
    closed = avatar.references_3HWC[0][4:324, 4:324]
    return evaluate_held_out(avatar, dataset, Statue(closed), "no scorer in this test")


def number(evaluation: Evaluation, key: str) -> float:
    value = evaluation.scores[key]
    assert value.number is not None, value.why
    return value.number


def test_what_was_filmed_scores_perfect(parrot: Evaluation) -> None:
    for key in ("psnr_masked_db", "psnr_mouth_db"):
        assert number(parrot, f"generated.{key}") == 100
    for key in ("ssim_masked", "ssim_mouth", "sharpness_ratio", "seam_ratio", "flicker_skin_ratio"):
        assert number(parrot, f"generated.{key}") == pytest.approx(1)
    assert number(parrot, "generated.opening_r") > 0.995  # pasted back, so resampled, and detected anew
    assert number(parrot, "generated.opening_amplitude") == pytest.approx(1, abs=0.05)
    assert number(parrot, "generated.opening_lag_frames") == 0
    assert number(parrot, "generated.lmd_percent") < 0.3
    assert number(parrot, "real.lmd_percent") == 0


def test_a_copied_source_mouth_is_caught_by_the_leak_and_by_movement_in_silence(parrot: Evaluation) -> None:
    assert number(parrot, "shuffled.leak_r") > 0.95
    assert number(parrot, "shuffled.leak_net_r") > 0.7
    assert abs(number(parrot, "real.leak_r")) < 0.7
    for silence in ("digital_silence", "room_tone"):
        moved = number(parrot, f"generated.{silence}_move_percent")
        assert moved > 20
        assert moved == pytest.approx(number(parrot, f"real.{silence}_move_percent"), abs=10)


def test_a_frozen_blurred_mouth_is_caught(statue: Evaluation) -> None:
    assert number(statue, "generated.sharpness_ratio") < 0.3
    assert number(statue, "generated.opening_amplitude") < 0.2
    assert number(statue, "generated.flicker_skin_ratio") < 0.2
    assert number(statue, "generated.opening_ccc") < 0.2
    assert number(statue, "generated.psnr_mouth_db") < 35
    assert number(statue, "generated.digital_silence_move_percent") == 0
    leak = statue.scores["shuffled.leak_net_r"].number
    assert leak is None or abs(leak) < 0.6
    assert number(statue, "generated.lmd_percent") > number(statue, "real.lmd_percent") + 0.5


def test_the_sync_score_knows_the_right_sound(parrot: Evaluation, statue: Evaluation) -> None:
    assert number(parrot, "real.sync_offset_frames") == 0
    assert number(parrot, "real.sync_accuracy_percent") == 100
    assert number(parrot, "closed.sync_confidence") < 0.6 * number(parrot, "real.sync_confidence")
    assert statue.scores["generated.sync_confidence"] == unknown("no scorer in this test")


def test_the_truth_agrees_with_the_filmed_lips(parrot: Evaluation) -> None:
    assert number(parrot, "real.truth_opening_r") > 0.9
    assert number(parrot, "real.truth_opening_lag_frames") == 0
    assert number(parrot, "real.truth_lmd_percent") < 3
    assert number(parrot, "closed.truth_lmd_percent") > number(parrot, "real.truth_lmd_percent") + 0.5


def test_a_person_of_whom_no_frame_makes_a_photo_is_measured_without(
    avatar: Avatar, dataset: Dataset328, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.photo_take.best_picture", lambda *_: np.full((512, 512, 3), 127, np.uint8))
    ears = load_ears(OnnxRuntime("cpu", threads=1))
    scored = evaluate_held_out(avatar, dataset, Parrot(), "none", photo_ears=ears)
    assert list(scored.strips) == [take for take in TAKES if take != PHOTO]
    assert any("no photo avatar of this person to compare with: " in note and "face" in note for note in scored.notes)


def test_the_truth_of_another_recording_is_refused(avatar: Avatar, dataset: Dataset328) -> None:
    truth = load_truth(DATA / "presenter_ground_truth.npz")
    short = replace(truth, opening_T=truth.opening_T[:50])
    with pytest.raises(ValueError, match=r"50 frames.* 132: .*another recording"):
        evaluate_held_out(avatar, dataset, Parrot(), "none", short)


def test_the_test_block_leaves_out_bad_frames_and_ends_stretches_there(dataset: Dataset328) -> None:
    valid_T = dataset.valid_T.copy()
    valid_T[100] = False
    block = held_out_frames(replace(dataset, valid_T=valid_T, clips=[(0, 110), (110, COUNT)]))
    assert block.frames_T.tolist() == [*range(90, 100), *range(101, 130)]
    assert block.segment_T.tolist() == [0] * 10 + [1] * 9 + [2] * 20
    np.testing.assert_array_equal(block.inner_THWC[10], dataset.crops[101][4:324, 4:324])
    whole = held_out_frames(dataset)
    np.testing.assert_array_equal(block.sound.pcm_TS[10:], whole.sound.pcm_TS[11:])
    with pytest.raises(NoTestBlockError, match="0 frames with a good face"):
        held_out_frames(replace(dataset, valid_T=np.zeros(COUNT, bool)))


def test_other_sound_is_not_the_blocks_own(dataset: Dataset328) -> None:
    block = held_out_frames(dataset)
    stretches = other_stretches(block, COUNT)
    assert all(len(stretch) == TEST[1] - TEST[0] for stretch in stretches)
    assert max(stretch[-1] for stretch in stretches) < TEST[0] - 25
    tight = replace(block, frames_T=np.arange(20, 120), segment_T=np.zeros(100, np.int64))
    (turned,) = other_stretches(tight, COUNT)
    assert sorted(turned) == list(range(20, 120)) and (turned != tight.frames_T).all()


def test_synthetic_silence_closes_the_gate() -> None:
    assert not digital_silence(30).pcm_TS.any() and not digital_silence(30).gate_T.any()
    tone = room_tone(30)
    assert not tone.gate_T.any()
    assert 20 * np.log10(tone.pcm_TS[15].std()) == pytest.approx(-60, abs=1)


def test_the_avatars_networks_draw_the_same_alone_and_together(avatar: Avatar, dataset: Dataset328) -> None:
    speaker = AvatarSpeaker(avatar, OnnxRuntime("cpu", threads=1))
    block = held_out_frames(dataset)
    block = replace(block, inner_THWC=block.inner_THWC[:4])
    said = speaker.embed(block.sound.pcm_TS[:4], block.sound.gate_T[:4])
    silent = speaker.embed(block.sound.pcm_TS[:2], np.zeros(2, np.float32))
    together = speaker.draw(block, {"said": said, "silent": silent})
    assert together["silent"].shape == (2, 192, 320, 3)
    alone = speaker.draw(block, {"said": said})["said"]
    np.testing.assert_array_equal(together["said"], alone)
    outside = alpha_bounds()[1][PATCH_TOP_PX:] == 0
    np.testing.assert_array_equal(alone[:, outside], block.inner_THWC[:, PATCH_TOP_PX:][:, outside])
    assert (alone != block.inner_THWC[:, PATCH_TOP_PX:]).any()


def test_the_command_writes_its_files_and_says_what_it_could_not_measure(
    avatars_dir: Path, dataset_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wav(tmp_path / "hello.wav", load_audio(DATA / "presenter.mp4")[: 30 * SAMPLES_PER_FRAME])
    out = tmp_path / "out"
    arguments = ["toy", "--dataset_dir", str(dataset_dir.parent), "--avatars_dir", str(avatars_dir), "--device", "cpu"]
    arguments += ["--checkpoint_dir", str(tmp_path), "--out", str(out), "--drive", str(tmp_path / "hello.wav")]
    arguments += ["--drive_against", str(DATA / "presenter_ground_truth.npz")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(metric.label in printed for metric in METRICS)
    assert "scorer_visual.onnx" in printed
    assert "\n\n" not in printed and printed.endswith("side_by_side.mp4\n")

    document = json.loads((out / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    scores = document["metrics"]
    assert document["schema"] == "avatar328/evaluation" and scores["test_frames"] == TEST[1] - TEST[0]
    assert scores["generated.sync_confidence"] is None and scores["generated.sync_confidence.why"]
    assert 0 < scores["generated.psnr_mouth_db"] < 60
    assert scores["photo.opening_r"] > 0.6 and scores["photo.sharpness_ratio"] > 0.5  # a photo that hears and speaks
    assert scores["photo.opening_lag_frames"] == 0
    assert scores["photo.psnr_mouth_db"] > scores["generated.psnr_mouth_db"]  # the toy's networks know nothing
    said = document["driven"]["hello"]
    assert {"opening_loudness_r", "leak_r", "silence_move_percent", "truth_opening_r", "truth_closure_percent"} <= set(
        said
    )
    assert "truth_opening_mm_sil" in said and "opening at sil, mm" in printed
    assert said["leak_r"] is None and "never moves" in said["leak_r.why"]  # the toy's template opening is all zeros

    report = (out / "report.html").read_text()
    assert "Driven by hello" in report and report.count("data:video/mp4") == 2 and report.count("<svg") == 4
    assert "http://" not in report.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    for video, frames, width in (("side_by_side.mp4", TEST[1] - TEST[0], 1280), ("driven_hello.mp4", 30, 256)):
        with av.open(str(out / video)) as container:
            assert container.streams.audio and container.streams.video[0].width == width
            assert sum(1 for _ in container.decode(video=0)) == frames
    with Image.open(out / "frames.jpg") as picture:
        assert picture.size == (960, 960)
    drawn = (out / "opening.svg").read_text()
    assert drawn.startswith("<svg") and all(f"<!-- {take} -->" in drawn for take in ("real", "generated", "photo"))
    assert not list(out.glob(".*"))


def test_packaging_gets_flat_finite_numbers_from_a_folder_of_any_name(
    avatars_dir: Path, dataset_dir: Path, tmp_path: Path, presenter_video: Path
) -> None:
    folder = build_toy_avatar(tmp_path / ".toy.part", presenter_video)
    scores = evaluate_avatar(folder, dataset_dir)
    assert {f"{take}.psnr_mouth_db" for take in TAKES if take != PHOTO} <= set(scores)
    assert not any(key.startswith(PHOTO) for key in scores)  # it takes seconds, and tells nothing about this avatar
    assert {"shuffled.leak_r", "generated.opening_r", "generated.digital_silence_move_percent"} <= set(scores)
    for key, value in scores.items():
        assert isinstance(value, str) == key.endswith(".why")
        assert value is None or isinstance(value, str) or np.isfinite(value)
        assert (value is None) == (f"{key}.why" in scores)
    json.dumps(scores, allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nobody"], "no avatar 'nobody'"), (["toy", "--against", "missing.npz"], "missing.npz is no readable")],
)
def test_a_mistake_gives_one_line_and_exit_code_2(
    avatars_dir: Path, dataset_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    folders = ["--dataset_dir", str(dataset_dir.parent), "--avatars_dir", str(avatars_dir)]
    assert main([*arguments, *folders]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_loudness_follows_the_sound_frame_by_frame() -> None:
    tone = np.sin(np.arange(12 * SAMPLES_PER_FRAME) / 5).astype(np.float32)
    tone[: 6 * SAMPLES_PER_FRAME] = 0
    loudness = loudness_T(tone[:-100], 12)
    np.testing.assert_allclose(loudness[:5], -60)
    np.testing.assert_allclose(loudness[7:-2], -3.01, atol=0.1)
    assert -10 < loudness[5] < loudness[6] < -3.01


def test_every_sound_needs_its_own_truth() -> None:
    with pytest.raises(SystemExit):
        main(["toy", "--drive", "a.wav", "b.wav", "--drive_against", "a.npz"])


def test_values_that_are_not_finite_become_reasons() -> None:
    assert known(float("nan")).number is None and known(float("inf")).why
    assert known(2).number == 2.0


def test_the_table_shows_a_dash_and_its_reason_once() -> None:
    scores = {f"{take}.sync_confidence": unknown("no scorer") for take in TAKES} | {"real.opening_r": known(0.5)}
    rows = table(scores, list(TAKES), METRICS)
    assert [row.info.key for row in rows] == ["opening_r", "sync_confidence"]
    text = terminal_table(rows, list(TAKES))
    assert text.count("no scorer") == 1 and "0.500" in text
    cards = {label: number for label, number, _ in headline({"generated.psnr_mouth_db": Value(31.24)})}
    assert cards["mouth PSNR"] == "31.2 dB" and cards["leak, net r"] == "–"
