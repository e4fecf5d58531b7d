"""A film avatar from the command line to the server: trained, packaged, listed, speaking, judged; damage is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

import inference_328
import train_328
from config import Models
from data_prep.dataset_328 import Dataset328
from evaluation.__main__ import main as evaluate
from models.checkpoint import load_checkpoint
from recipe.articulation.mouth_units import shape_units
from recipe.audio_window import window_pcm
from recipe.avatar_format import AUDIO_ENCODER_FILE, FILES_OF_KIND, FILM_FILE, read_manifest, write_manifest
from recipe.errors import BrokenAvatarError
from recipe.files import sha256
from recipe.film.arrays import FILM_VERSION, lip_shape, load_film, save_film
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLES_PER_FRAME
from recipe.sound import write_wav
from recipe.tombstones import Tombstone, write_tombstone
from services.avatars.avatar import FilmAvatar, open_avatar
from services.avatars.film_model import LoadedFilm
from services.container import Services, build_services
from services.errors import WrongKindError
from services.model_service import ModelService
from services.runtimes.onnx import OnnxRuntime
from tests.film_material import NAME, SPLITS
from tests.patches import assert_patches_over_idle_pictures_are_the_whole
from tests.service_material import Humming, app_for, client_of, lines_of, of_type, settings_for
from training import packaging


@pytest.fixture(scope="module")
def workplace(film_dataset: Dataset328, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """checkpoint/ann and avatars/ann, by the commands."""
    root = tmp_path_factory.mktemp("workplace")
    folders = ["--dataset_dir", str(film_dataset.folder.parent), "--checkpoint_dir", str(root / "checkpoint")]
    fit = ["--name", NAME, "--stage", "film", "--preset", "tiny", "--device", "cpu"]
    assert train_328.main([*fit, *folders]) == 0
    made = ["--name", NAME, "--stage", "package", "--picture", "film", "--synthetic", "--no_evaluation"]
    made += ["--template_s", "2", "--avatars_dir", str(root / "avatars")]
    assert train_328.main([*made, *folders]) == 0
    return root


@pytest.fixture(scope="module")
def avatars_dir(workplace: Path) -> Path:
    return workplace / "avatars"


@pytest.fixture(scope="module")
def services(avatars_dir: Path) -> Services:
    return build_services(Models(avatars_dir=avatars_dir, runtime="onnxruntime", device="cpu"), Humming())


@pytest.fixture(scope="module")
def model(services: Services) -> LoadedFilm:
    loaded = services.models.open(NAME)
    assert isinstance(loaded, LoadedFilm)
    return loaded


@pytest.fixture(scope="module")
def spoken(film_dataset: Dataset328) -> np.ndarray:
    """Half a second of the presenter's speech that was held out, ending within a frame."""
    first = SPLITS["test"][0][0] * SAMPLES_PER_FRAME
    return film_dataset.audio_S[first : first + 12 * SAMPLES_PER_FRAME + 100]


def test_the_avatar_is_complete_and_says_what_it_is(avatars_dir: Path) -> None:
    avatar = open_avatar(avatars_dir, NAME)
    assert isinstance(avatar, FilmAvatar) and avatar.manifest.kind == "film" and avatar.may_serve_publicly
    assert set(avatar.manifest.files) == set(FILES_OF_KIND["film"])
    assert avatar.manifest.versions["film"] == FILM_VERSION
    assert avatar.manifest.versions["training_steps"] in (2, 4)  # the better of its two judgements
    assert avatar.manifest.onnx_max_abs_error[AUDIO_ENCODER_FILE] < 1e-3
    assert avatar.manifest.onnx_max_abs_error[f"{AUDIO_ENCODER_FILE}, int8"] < 0.2
    assert len(avatar.film["track_TK2"]) == avatar.manifest.frames == 50
    assert [path.name for path in avatars_dir.iterdir() if path.is_dir()] == [NAME]


def test_streamed_equals_whole(services: Services, model: LoadedFilm, spoken: np.ndarray) -> None:
    whole = [frame.frame_rgb_HWC for frame in services.frames.generate(model, [spoken], 30)]
    pieces = np.split(spoken, np.arange(700, len(spoken), 3331))
    streamed = [frame.frame_rgb_HWC for frame in services.frames.generate(model, pieces, 30)]
    assert len(whole) == len(streamed) == 13
    for one, other in zip(whole, streamed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_hears_and_rests(model: LoadedFilm, spoken: np.ndarray, workplace: Path) -> None:
    windows = window_pcm(spoken, 0, 12, AUDIO_WINDOW_SAMPLES)
    loud, shut = (model.encode_audio(windows, np.full(12, gate, np.float32)) for gate in (1, 0))
    rest_P = load_checkpoint(workplace / "checkpoint" / NAME / "film" / "best.pt")["model"]["rest_P"]
    np.testing.assert_allclose(shut, np.tile(rest_P, (12, 1)), atol=1e-6)
    assert np.abs(loud - shut).max() > 0.3
    (resting,), (speaking,) = (list(model.draw([7], told[5:6])) for told in (shut, loud))
    filmed = model.template.frame(7)
    np.testing.assert_array_equal(resting[:150], filmed[:150])  # forehead and eyes are the filmed ones
    assert np.abs(resting.astype(int) - speaking).max() > 20
    one_by_one = [next(iter(model.draw([t], loud[t : t + 1]))) for t in (3, 4)]
    for alone, together in zip(one_by_one, model.draw([3, 4], loud[3:5]), strict=True):
        np.testing.assert_array_equal(alone, together)


def test_what_is_told_closes_the_lips_where_nothing_else_does(model: LoadedFilm, spoken: np.ndarray) -> None:
    """p, b and m are known where a text is spoken; all else is left to the ears, which know this person's manner."""
    shape = lip_shape(model.avatar.film)
    windows_BS = window_pcm(spoken, 0, 20, AUDIO_WINDOW_SAMPLES)
    gate_B = np.ones(len(windows_BS), np.float32)
    heard_BD = model.encode_audio(windows_BS, gate_B)
    press, vowel = shape_units("PP"), shape_units("aa")
    closed_BD = model.encode_audio(windows_BS, gate_B, [press] * len(windows_BS))
    assert np.array_equal(model.encode_audio(windows_BS, gate_B, [vowel] * len(windows_BS)), heard_BD)
    assert np.array_equal(model.encode_audio(windows_BS, gate_B, [None, *[press] * 19])[0], heard_BD[0])
    filmed = np.quantile(shape.gap_px(model.avatar.film["articulation_NP"]), 0.03)
    assert shape.gap_px(heard_BD).max() > filmed + 1
    assert shape.gap_px(closed_BD).max() < filmed + 0.01


def test_patches_are_the_whole_pictures(model: LoadedFilm, spoken: np.ndarray) -> None:
    windows = window_pcm(spoken, 0, 6, AUDIO_WINDOW_SAMPLES)
    loud, shut = (model.encode_audio(windows, np.full(6, gate, np.float32)) for gate in (1, 0))
    assert_patches_over_idle_pictures_are_the_whole(model, [0, 7, 8, 9, 20, 30], loud, shut[0])


def test_the_server_serves_it_like_any_other(avatars_dir: Path, services: Services, tmp_path: Path) -> None:
    settings = settings_for(avatars_dir, tmp_path, models={"default_avatar": NAME})
    with client_of(app_for(settings, services)) as client:
        (listed,) = client.get("/avatars").json()["avatars"]
        assert (listed["name"], listed["status"], listed["kind"]) == (NAME, "ok", "film")
        assert client.get("/avatar").headers["content-type"] == "image/jpeg"
        spoken = lines_of(client.get("/generate", params={"text": "Hello."}).content)
        frames = of_type(spoken, "frame")
        assert of_type(spoken, "end")[0]["frames"] == len(frames) == 6


def test_networks_of_its_own_are_not_to_be_had(avatars_dir: Path) -> None:
    models = ModelService(avatars_dir, OnnxRuntime("cpu"), 1 << 30, 1, 1)
    with pytest.raises(WrongKindError, match="no network draws"):
        models.open_trained(NAME)
    with pytest.raises(WrongKindError, match="was trained from a recording"):
        models.open_unlisted(avatars_dir, NAME)


def test_the_command_writes_a_talking_video(avatars_dir: Path, spoken: np.ndarray, tmp_path: Path) -> None:
    write_wav(tmp_path / "words.wav", spoken)
    said = ["--name", NAME, "--audio_path", str(tmp_path / "words.wav"), "--out", str(tmp_path / "out.mp4")]
    assert inference_328.main([*said, "--avatars_dir", str(avatars_dir), "--runtime", "onnxruntime"]) == 0
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert video.streams.audio and video.streams.video[0].width == 512
        assert sum(1 for _ in video.decode(video=0)) == 13


def test_the_held_out_block_is_judged(
    avatars_dir: Path, film_dataset: Dataset328, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [NAME, "--dataset_dir", str(film_dataset.folder.parent), "--avatars_dir", str(avatars_dir)]
    arguments += ["--checkpoint_dir", str(tmp_path), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert evaluate(arguments) == 0, capsys.readouterr().err
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    first, last = SPLITS["test"][0]
    assert scores["test_frames"] == last - first
    assert 8 < scores["generated.psnr_mouth_db"] < 60
    assert scores["generated.sharpness_ratio"] > 0.5  # these are filmed pixels
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_a_film_of_another_version_or_length_is_refused(avatars_dir: Path, tmp_path: Path) -> None:
    def damaged(**arrays: np.ndarray) -> Path:
        """A copy whose film.npz differs, and whose hashes agree."""
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / NAME
        shutil.copytree(avatars_dir / NAME, folder)
        save_film(folder / FILM_FILE, {**load_film(folder / FILM_FILE), **arrays})
        manifest = read_manifest(folder)
        hashes = {**manifest.files, FILM_FILE: sha256(folder / FILM_FILE)}
        write_manifest(folder, replace(manifest, files=hashes))
        return folder

    assert isinstance(open_avatar(damaged().parent, NAME), FilmAvatar)
    other = damaged()
    manifest = read_manifest(other)
    write_manifest(other, replace(manifest, versions={**manifest.versions, "film": FILM_VERSION + 1}))
    with pytest.raises(BrokenAvatarError, match=rf"version {FILM_VERSION + 1} of the film's drawing.*package the"):
        open_avatar(other.parent, NAME)
    short = damaged(track_TK2=load_film(other / FILM_FILE)["track_TK2"][:-1])
    with pytest.raises(BrokenAvatarError, match=r"tells of 49 frames, avatar.json of 50; package the avatar again"):
        open_avatar(short.parent, NAME)
    (other / FILM_FILE).write_bytes(b"nothing")
    with pytest.raises(BrokenAvatarError, match=rf"{FILM_FILE} is not the file that was packaged"):
        open_avatar(other.parent, NAME)
    manifest = read_manifest(short)
    (short / FILM_FILE).write_bytes(b"nothing")
    write_manifest(short, replace(manifest, files={**manifest.files, FILM_FILE: sha256(short / FILM_FILE)}))
    with pytest.raises(BrokenAvatarError, match=r"is no archive of arrays .*package the avatar again"):
        open_avatar(short.parent, NAME)


def test_packaging_needs_the_films_own_checkpoint(
    workplace: Path, film_dataset: Dataset328, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = ["--dataset_dir", str(film_dataset.folder.parent), "--avatars_dir", str(tmp_path / "avatars")]
    made = ["--name", NAME, "--stage", "package", "--picture", "film", "--synthetic", "--no_evaluation", *folders]
    assert train_328.main([*made, "--checkpoint_dir", str(tmp_path / "none")]) == 2
    assert "best.pt" in caplog.records[-1].getMessage()
    assert not (tmp_path / "avatars" / NAME).exists()


def test_a_revoked_recording_is_not_packaged(
    workplace: Path, film_dataset: Dataset328, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = ["--dataset_dir", str(film_dataset.folder.parent), "--avatars_dir", str(tmp_path / "avatars")]
    made = ["--name", NAME, "--stage", "package", "--picture", "film", "--synthetic", "--no_evaluation", *folders]
    source_sha256 = str(film_dataset.manifest["source"]["sha256"])
    write_tombstone(tmp_path / "avatars", Tombstone(source_sha256, "whoever", "2026-11-26", "Ada"))
    assert train_328.main([*made, "--checkpoint_dir", str(workplace / "checkpoint")]) == 2
    assert "was revoked by Ada on 2026-11-26" in caplog.records[-1].getMessage()
    assert not (tmp_path / "avatars" / NAME).exists()


def test_a_trained_face_is_not_replaced_by_its_film(
    workplace: Path, film_dataset: Dataset328, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have taken hours."""
    shutil.copytree(workplace / "avatars", tmp_path / "avatars")
    there = tmp_path / "avatars" / NAME
    manifest = read_manifest(there)
    listed = dict.fromkeys(FILES_OF_KIND["video"], "0" * 64)
    made = ["--name", NAME, "--stage", "package", "--picture", "film", "--synthetic", "--no_evaluation"]
    made += ["--template_s", "2", "--dataset_dir", str(film_dataset.folder.parent)]
    made += ["--checkpoint_dir", str(workplace / "checkpoint"), "--avatars_dir", str(tmp_path / "avatars")]
    write_manifest(there, replace(manifest, kind="video", files=listed))
    assert train_328.main(made) == 0
    assert read_manifest(there).kind == "video" and "stays as it is" in caplog.text
    write_manifest(there, replace(manifest, kind="video", files=listed, source_sha256="cd" * 32))
    assert train_328.main(made) == 0
    assert read_manifest(there).kind == "film"  # the trained one was of another recording


@pytest.mark.parametrize(
    ("ccc", "sharpness", "kept_because"),
    [(0.80, 0.90, None), (0.70, 0.90, "follows the sound less"), (0.80, 0.30, "is blurred"), (None, None, None)],
)
def test_the_film_stays_where_the_trained_face_is_worse(
    avatars_dir: Path, ccc: float | None, sharpness: float | None, kept_because: str | None
) -> None:
    measured = {"generated.opening_ccc": 0.80, "generated.sharpness_ratio": 1.0}
    film = replace(read_manifest(avatars_dir / NAME), metrics=measured)
    trained = {"generated.opening_ccc": ccc, "generated.sharpness_ratio": sharpness}
    reason = packaging._film_is_better(film, trained)
    assert (reason is None) if kept_because is None else (reason is not None and kept_because in reason)
    assert packaging._film_is_better(replace(film, kind="video"), trained) is None
