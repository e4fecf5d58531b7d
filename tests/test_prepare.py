"""From a recording to a dataset and back: complete, repeatable, resumable, and never half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep import stages
from data_prep.__main__ import main
from data_prep.dataset_328 import PRODUCTS, Dataset328, DatasetError, open_dataset
from data_prep.measurements import NO_SOUND
from data_prep.video import iter_rgb
from recipe.crop import crop_face
from recipe.errors import BadNameError
from recipe.locks import only_writer
from recipe.names import check_name, safe_name
from recipe.recipe_328 import SAMPLE_RATE_HZ, RecipeMismatchError
from recipe.sound import load_audio
from tests.media import RATE_HZ, write_recording

REPOSITORY = Path(__file__).resolve().parent.parent
PRESENTER = REPOSITORY / "tests" / "data" / "presenter.mp4"
SECONDS = 10.4
ODD_NAME = "Frau Müller – erste Aufnahme (1).MOV"
NAME = "Frau-Muller-erste-Aufnahme-1"


def presenter_sound() -> NDArray[np.float32]:
    sound_S = load_audio(PRESENTER)[: round(SECONDS * SAMPLE_RATE_HZ)]
    at = np.arange(round(SECONDS * RATE_HZ)) * SAMPLE_RATE_HZ / RATE_HZ
    return np.interp(at, np.arange(len(sound_S)), sound_S).astype(np.float32)


def presenter_pictures() -> Iterator[tuple[float, NDArray[np.uint8]]]:
    return ((k / 25, frame) for k, frame in enumerate(islice(iter_rgb(PRESENTER), round(SECONDS * 25))))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The presenter's first ten seconds under a name with spaces, accents and capitals."""
    path = tmp_path_factory.mktemp("camera") / "a.mov"
    write_recording(path, presenter_pictures(), presenter_sound())
    return path.rename(path.with_name(ODD_NAME))


@pytest.fixture(scope="module")
def prepared(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dataset/ with that recording prepared."""
    dataset_dir = tmp_path_factory.mktemp("dataset")
    assert main([str(recording), "--dataset_dir", str(dataset_dir)]) == 0
    return dataset_dir


@pytest.fixture()
def dataset_dir(prepared: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(prepared, tmp_path / "dataset")


def run(what: str | Path, dataset_dir: Path, *options: str) -> int:
    return main([str(what), "--dataset_dir", str(dataset_dir), *options])


def ages(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_dataset_is_complete_and_consistent(prepared: Path) -> None:
    folder = prepared / NAME
    dataset = open_dataset(folder)
    assert len(dataset) == 260 == dataset.manifest["frames"]
    # The recording's sound is half a frame early, so the first frame's middle lies before it begins.
    assert dataset.valid_T[1:].all() and dataset.manifest["excluded"] == {NO_SOUND: 1}
    assert len(dataset.audio_S) == 260 * 640
    assert {path.name for path in folder.iterdir()} == {*PRODUCTS, ".stages", f"{NAME}.mov"}
    for t, frame in enumerate(islice(iter_rgb(dataset.frames_path), 40)):
        if not dataset.valid_T[t]:
            continue
        np.testing.assert_array_equal(crop_face(frame, dataset.affine_T23[t]), dataset.crops[t])
    early = round(-640 * dataset.manifest["av_offset"]["frames"])
    assert 320 < early < 480
    assert np.corrcoef(dataset.audio_S[early:], load_audio(PRESENTER)[: 260 * 640 - early])[0, 1] > 0.99
    ranges = sorted(r for block in dataset.splits.values() for r in block)
    assert all(stop + 10 < start for (_, stop), (start, _) in pairwise(ranges))
    assert (dataset.blur_T[1:] > 10).all() and (np.abs(dataset.pose_T3) < 15).all()
    width = dataset.box_T4[1:, 2] - dataset.box_T4[1:, 0]
    assert width == pytest.approx(188, abs=15)


def test_manifest_and_report_hold_no_path_of_this_machine(prepared: Path, recording: Path) -> None:
    for product in ("manifest.json", "report.html"):
        text = (prepared / NAME / product).read_text(encoding="utf-8")
        assert str(prepared) not in text and str(recording.parent) not in text
    report = (prepared / NAME / "report.html").read_text(encoding="utf-8")
    assert 'src="http' not in report and 'href="http' not in report


def test_second_run_does_nothing(dataset_dir: Path, recording: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = ages(dataset_dir)
    for what in (recording, NAME):
        with caplog.at_level("INFO"):
            assert run(what, dataset_dir) == 0
        assert "up to date" in caplog.text
    assert ages(dataset_dir) == before


def test_other_audio_features_keep_the_pictures(dataset_dir: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny-hubert"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    before = ages(dataset_dir)
    assert run(NAME, dataset_dir, "--audio_features", "hubert", "--audio_model", str(model)) == 0
    after = ages(dataset_dir)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"manifest.json", "audio.wav", "track.npz", "report.html"}
    manifest = open_dataset(dataset_dir / NAME).manifest
    assert manifest["recipe"]["audio_model"].startswith("tiny-hubert@")
    assert (manifest["audio_features"], manifest["audio_model"]) == ("hubert", str(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--audio_features", "whisper"], "needs --audio_model"),
        (["--audio_model", "x"], "need no model"),
        (["--audio_features", "hubert", "--audio_model", "no_such_folder"], "holds no pretrained model"),
    ],
)
def test_audio_options_that_do_not_fit_are_refused(
    options: list[str], message: str, dataset_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(NAME, dataset_dir, *options) == 2
    assert message in caplog.text
    open_dataset(dataset_dir / NAME)


def test_interrupted_run_goes_on_where_it_was(
    prepared: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def interrupted(frame: NDArray[np.uint8], affine: NDArray[np.float32]) -> NDArray[np.uint8]:
        seen.append(frame)
        if len(seen) == 30:
            raise KeyboardInterrupt
        return crop_face(frame, affine)

    def unwanted(*_: object) -> None:
        raise AssertionError("a finished stage was run again")

    with monkeypatch.context() as patch:
        patch.setattr(stages, "crop_face", interrupted)
        assert run(recording, tmp_path) == 130
    assert not (tmp_path / NAME / "manifest.json").exists()
    with pytest.raises(DatasetError, match="no complete dataset"):
        open_dataset(tmp_path / NAME)
    monkeypatch.setattr(stages, "normalise", unwanted)
    monkeypatch.setattr(stages, "follow_face", unwanted)
    assert run(NAME, tmp_path) == 0
    resumed, whole = open_dataset(tmp_path / NAME), open_dataset(prepared / NAME)
    _assert_same(resumed, whole)
    assert not list((tmp_path / NAME).rglob("*.part"))


KILLED = """
import os, signal, sys
from data_prep import stages
from data_prep.__main__ import main

made, calls = getattr(stages, sys.argv[1]), 0


def killed(*given):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return made(*given)


setattr(stages, sys.argv[1], killed)
main(sys.argv[3:])
"""


@pytest.mark.parametrize(("work", "time_of_it"), [("crop_face", 30), ("_save", 2)])
def test_a_killed_run_leaves_no_dataset_and_the_next_one_goes_on(
    prepared: Path, recording: Path, tmp_path: Path, work: str, time_of_it: int
) -> None:
    """SIGKILL: no chance to tidy up, while crops are written or a stage's facts saved."""
    arguments = [work, str(time_of_it), str(recording), "--dataset_dir", str(tmp_path)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], cwd=REPOSITORY, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with pytest.raises(DatasetError, match="no complete dataset"):
        open_dataset(tmp_path / NAME)
    assert run(NAME, tmp_path) == 0
    _assert_same(open_dataset(tmp_path / NAME), open_dataset(prepared / NAME))
    assert not list((tmp_path / NAME).rglob("*.part"))


def _assert_same(a: Dataset328, b: Dataset328) -> None:
    np.testing.assert_array_equal(a.crops, b.crops)
    np.testing.assert_array_equal(a.audio_S, b.audio_S)
    np.testing.assert_array_equal(a.affine_T23, b.affine_T23)
    assert a.manifest["made_from"] == b.manifest["made_from"] and a.splits == b.splits


def test_another_recording_of_the_name_replaces_the_dataset_but_not_the_recording(
    dataset_dir: Path, recording: Path, tmp_path: Path
) -> None:
    other = tmp_path / ODD_NAME
    pictures = ((time_s, frame[:, ::-1]) for time_s, frame in presenter_pictures())
    write_recording(tmp_path / "b.mov", pictures, presenter_sound())
    (tmp_path / "b.mov").rename(other)
    old_sha256 = open_dataset(dataset_dir / NAME).manifest["source"]["sha256"]
    assert run(other, dataset_dir) == 0
    assert open_dataset(dataset_dir / NAME).manifest["source"]["sha256"] != old_sha256
    kept = [path for path in (dataset_dir / NAME).iterdir() if ".replaced-" in path.name]
    assert [path.read_bytes() for path in kept] == [recording.read_bytes()]


def test_full_disk_is_foreseen(
    dataset_dir: Path, recording: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("data_prep.checks.shutil.disk_usage", lambda _: SimpleNamespace(free=10 << 20))
    assert run(recording, dataset_dir, "--name", "fresh") == 2
    assert "10 MB free" in caplog.text
    assert not (dataset_dir / "fresh").exists()


def test_disk_that_fills_up_leaves_nothing(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stages, "_measure", full)
    assert run(recording, tmp_path, "--name", "fresh") == 2
    assert "is full" in caplog.text
    assert not list(tmp_path.iterdir())


def black(count: int) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    return ((k / 25, np.zeros((180, 320, 3), np.uint8)) for k in range(count))


@pytest.mark.parametrize("fault", ["text", "silent", "mute", "black", "small", "short"])
def test_bad_recordings_are_refused_and_leave_nothing(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "take 1.mp4"
    voice_S = presenter_sound()
    if fault == "text":
        path.write_text("no video")
    elif fault == "silent":
        write_recording(path, black(260), voice_S * 0)
    elif fault == "mute":
        write_recording(path, black(260), None)
    elif fault == "black":
        write_recording(path, black(260), voice_S)
    elif fault == "small":
        canvas = np.full((480, 640, 3), 60, np.uint8)
        small = ((time_s, _placed(canvas, frame[::2, ::2])) for time_s, frame in presenter_pictures())
        write_recording(path, small, voice_S)
    else:
        write_recording(path, black(200), voice_S)
    dataset = tmp_path / "dataset"
    assert run(path, dataset) == 2
    message = {
        "text": "cannot be opened",
        "silent": "is silent",
        "mute": "no sound track",
        "black": "no face was found in 260 of 260",
        "small": "too small",
        "short": "8.0 s",
    }[fault]
    assert message in caplog.text and "take 1.mp4" in caplog.text
    assert not dataset.exists() or not list(dataset.iterdir())
    assert path.exists()


def _placed(canvas: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    placed = canvas.copy()
    placed[100 : 100 + picture.shape[0], 200 : 200 + picture.shape[1]] = picture
    return placed


@pytest.mark.parametrize("name", ["..", ".", "../evil", "a/b", "/etc/evil", "", ".hidden", "a b", "ä", "x" * 65, "a\n"])
def test_names_that_could_lead_out_are_refused(name: str, recording: Path, tmp_path: Path) -> None:
    with pytest.raises(BadNameError, match="not allowed"):
        check_name(name)
    inner = tmp_path / "inner"
    inner.mkdir()
    assert run(recording, inner, f"--name={name}") == 2
    if name:
        assert run(name, inner) == 2
    assert not list(inner.iterdir()) and [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_safe_names() -> None:
    assert check_name("anna.b_2-c") == "anna.b_2-c"
    assert safe_name("Frau Müller – erste Aufnahme (1)") == NAME
    assert safe_name("../../etc/passwd") == "etc-passwd"
    assert safe_name("x" * 80) == "x" * 64
    assert safe_name("日本語").startswith("recording-") and safe_name("日本語") != safe_name("日本人")


def test_name_without_or_with_several_recordings_is_explained(
    dataset_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run("nobody", dataset_dir) == 2 and "found none" in caplog.text
    (dataset_dir / NAME / f"{NAME}.mkv").write_bytes(b"second")
    assert run(NAME, dataset_dir) == 2 and f"found {NAME}.mkv, {NAME}.mov" in caplog.text
    assert run("missing.mp4", dataset_dir) == 2 and f"there is no file '{Path.cwd() / 'missing.mp4'}'" in caplog.text


def test_two_processes_do_not_prepare_the_same_dataset(dataset_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with only_writer(dataset_dir / NAME):
        assert run(NAME, dataset_dir) == 2
    assert "by another process" in caplog.text
    open_dataset(dataset_dir / NAME)


def test_damaged_and_foreign_datasets_are_refused(dataset_dir: Path) -> None:
    folder = dataset_dir / NAME
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))

    def write(**changes: object) -> None:
        (folder / "manifest.json").write_text(json.dumps(manifest | changes), encoding="utf-8")

    write(version=99)
    with pytest.raises(DatasetError, match="99"):
        open_dataset(folder)
    write(recipe=manifest["recipe"] | {"chin_y": 1.0})
    with pytest.raises(RecipeMismatchError, match="chin_y"):
        open_dataset(folder)
    write(frames=7)
    with pytest.raises(DatasetError, match="announces 7 frames"):
        open_dataset(folder)
    write()
    (folder / "track.npz").write_bytes(b"garbage")
    with pytest.raises(DatasetError, match="damaged"):
        open_dataset(folder)


def test_sigterm_ends_preparation_as_ctrl_c_does(recording: Path, tmp_path: Path) -> None:
    """Also where a shell started it in the background, deaf to Ctrl-C."""
    command = [sys.executable, "-m", "data_prep", str(recording), "--dataset_dir", str(tmp_path)]
    deaf = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", deaf, *command], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / NAME
    until = time.monotonic() + 60
    while not any(folder.glob(".frames.*")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "start the same command again and it goes on where it was" in said and "Traceback" not in said
    assert not any(folder.glob("*.part*")) and not any(folder.glob(".*.part*"))
