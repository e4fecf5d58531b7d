"""A photo avatar speaks through everything that a trained one speaks through."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

import inference_328
from config import Models
from recipe.articulation.mouth_units import MOUTH_UNITS, opening_mm
from recipe.articulation.speakers import speaker
from recipe.audio_window import window_pcm
from recipe.avatar_format import AUDIO_ENCODER_FILE, EMBEDDING, GATE, PCM
from recipe.face_restorer import FaceRestorer
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLES_PER_FRAME
from recipe.shipped import EARS_FILE, ShippedNetworkError, checked_ears
from services.avatars.photo_model import LoadedPhoto
from services.container import Services, build_services
from services.errors import WrongKindError
from services.model_service import ModelService
from services.runtimes.onnx import OnnxRuntime
from services.runtimes.openvino import OpenVinoRuntime, Precision
from services.types import AvatarModel
from tests.conftest import REPOSITORY
from tests.patches import assert_patches_over_idle_pictures_are_the_whole
from tests.service_material import Humming, app_for, client_of, lines_of, of_type, settings_for
from tests.test_face_restorer import network

DEMO = REPOSITORY / "avatars" / "demo"


@pytest.fixture(scope="module")
def services(photo_avatars: Path) -> Services:
    return build_services(Models(avatars_dir=photo_avatars, runtime="onnxruntime", device="cpu"), Humming())


@pytest.fixture(scope="module")
def model(services: Services) -> AvatarModel:
    return services.models.open("eve")


@pytest.fixture(scope="module")
def bob() -> np.ndarray:
    """Half a second of silence, and a sentence in which the lips meet again and again."""
    spoken = speaker("flite:rms")("Bob may buy a big map.").pcm_S
    return np.concatenate([np.zeros(8000, np.float32), spoken.astype(np.float32)])


def test_the_lips_follow_a_voice_that_the_ears_never_heard(model: AvatarModel, bob: np.ndarray) -> None:
    count = len(bob) // SAMPLES_PER_FRAME
    told = model.encode_audio(window_pcm(bob, 0, count, AUDIO_WINDOW_SAMPLES), np.ones(count, np.float32))
    opening = opening_mm(told[:, : len(MOUTH_UNITS)])
    assert opening[:6].max() < 1  # silence
    assert opening.max() > 6
    spoken = opening[12:] < 1
    assert np.count_nonzero(np.diff(spoken.astype(int)) == 1) >= 4  # b, m, b, b, m: they close in between
    assert told[:6, -1].max() == 0
    assert told[14:, -1].max() > 0.5  # and it is loud


def test_streamed_equals_whole(services: Services, model: AvatarModel, bob: np.ndarray) -> None:
    whole = [frame.frame_rgb_HWC for frame in services.frames.generate(model, [bob], 30)]
    pieces = np.split(bob, np.arange(700, len(bob), 3331))
    streamed = [frame.frame_rgb_HWC for frame in services.frames.generate(model, pieces, 30)]
    assert len(whole) == len(streamed) == -(-len(bob) // SAMPLES_PER_FRAME)
    for one, other in zip(whole, streamed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_shut_gate_shows_the_idle_loop(model: AvatarModel) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (2, AUDIO_WINDOW_SAMPLES)).astype(np.float32)
    shut = model.encode_audio(noise, np.zeros(2, np.float32))
    assert not shut.any()
    first, _ = model.draw([40, 41], shut)
    again, _ = model.draw([40, 41], model.encode_audio(np.zeros_like(noise), np.zeros(2, np.float32)))
    np.testing.assert_array_equal(first, again)


def test_patches_are_the_whole_pictures(model: AvatarModel, bob: np.ndarray) -> None:
    windows = np.stack([bob[16_000 + 640 * i : 16_000 + 640 * i + 8032] for i in range(5)])
    told = model.encode_audio(windows, np.ones(5, np.float32))
    rest = model.encode_audio(np.zeros((1, 8032), np.float32), np.zeros(1, np.float32))[0]
    assert_patches_over_idle_pictures_are_the_whole(model, [0, 11, 40, 41, 42], told, rest)


def test_the_server_serves_it_like_any_other(photo_avatars: Path, services: Services, tmp_path: Path) -> None:
    settings = settings_for(photo_avatars, tmp_path, models={"default_avatar": "eve"})
    with client_of(app_for(settings, services)) as client:
        (listed,) = client.get("/avatars").json()["avatars"]
        assert (listed["name"], listed["status"], listed["kind"]) == ("eve", "ok", "photo")
        assert client.get("/avatar").headers["content-type"] == "image/jpeg"
        idle = lines_of(client.get("/avatar/frames", params={"count": 3}).content)
        assert [one["type"] for one in idle] == ["header", "frame", "frame", "frame", "end"]
        spoken = lines_of(client.get("/generate", params={"text": "Hello there."}).content)
        frames = of_type(spoken, "frame")
        assert of_type(spoken, "end")[0]["frames"] == len(frames) > 10
        mp4 = client.get("/generate", params={"text": "Hello.", "format": "mp4"}).content
        (tmp_path / "hello.mp4").write_bytes(mp4)
    with av.open(str(tmp_path / "hello.mp4")) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (512, 512)


def test_networks_of_its_own_are_not_to_be_had(photo_avatars: Path) -> None:
    models = ModelService(photo_avatars, OnnxRuntime("cpu"), 1 << 30, 1, 1)
    with pytest.raises(WrongKindError, match="no network draws"):
        models.open_trained("eve")


def test_the_setting_of_threads_holds_for_the_ears(photo_avatars: Path) -> None:
    one = build_services(Models(avatars_dir=photo_avatars, device="cpu", threads=1), Humming()).models.open("eve")
    assert one.batch_frames == 1  # a request per thread


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize(
    "path", [EARS_FILE, REPOSITORY / "avatars" / "demo" / AUDIO_ENCODER_FILE], ids=lambda p: p.stem
)
def test_every_runtime_hears_the_same(path: Path, precision: Precision, bob: np.ndarray) -> None:
    """In bfloat16 a spectrogram was another sound, and a linear layer with a scale per input a division by zero."""
    graph, reference = OpenVinoRuntime(precision, 1).load(path), OnnxRuntime("cpu").load(path)
    heard = []
    for one in (graph, reference):
        feeds = (
            {PCM: window_pcm(bob, k, 1, AUDIO_WINDOW_SAMPLES), GATE: np.ones(1, np.float32)} for k in range(14, 30)
        )
        heard.append([one.run(feed)[EMBEDDING][0] for feed in feeds])
    told, wanted = np.stack(heard[0]), np.stack(heard[1])
    apart = np.linalg.norm(wanted - wanted.mean(0), axis=1).mean()
    assert np.linalg.norm(told - wanted, axis=1).max() < 0.02 * apart


def test_other_ears_than_those_of_the_card_are_refused(tmp_path: Path) -> None:
    for file in (EARS_FILE, EARS_FILE.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    copy = tmp_path / EARS_FILE.name
    assert checked_ears(copy)["parameters"] < 6e6  # 4.1 M of them in the trunk: docs/decisions/0016-ears.md
    checked_ears.cache_clear()
    card = json.loads(copy.with_suffix(".json").read_text())
    copy.with_suffix(".json").write_text(json.dumps({**card, "units": ["jawOpen"]}))
    with pytest.raises(ShippedNetworkError, match="not the network"):
        checked_ears(copy)
    copy.with_suffix(".json").unlink()
    with pytest.raises(ShippedNetworkError, match="cannot be read"):
        checked_ears(copy)
    checked_ears.cache_clear()


def test_the_mouth_of_every_frame_can_be_restored(
    services: Services, model: AvatarModel, bob: np.ndarray, tmp_path: Path
) -> None:
    """A network that brightens shows where it was let: on the mouth, which moves with the head."""
    assert isinstance(model, LoadedPhoto)
    lit = model.restored_by(FaceRestorer(network(tmp_path / "bright.onnx", 0.3)))
    spoken = bob[: 20 * SAMPLES_PER_FRAME]
    before, after = (
        [frame.frame_rgb_HWC.astype(int) for frame in services.frames.generate(one, [spoken])] for one in (model, lit)
    )
    mouth = model.avatar.arrays["points_K3"][[61, 291, 0, 17], :2].mean(0).astype(int)
    for plain, restored in zip(before, after, strict=True):
        brighter = (restored - plain).sum(-1)
        centre = np.argwhere(brighter > brighter.max() / 2).mean(0)[::-1]
        assert np.linalg.norm(centre - mouth) < 12
        assert brighter[mouth[1], mouth[0]] > 60 and not brighter[:200].any()  # the eyes are above
    again = services.frames.generate(model, [spoken])
    np.testing.assert_array_equal(next(again).frame_rgb_HWC, before[0])  # the avatar itself is as it was


def test_the_command_restores_photo_avatars_alone(
    photo_avatars: Path, bob: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "bob.wav", bob[:4800], 16_000)
    arguments = ["--audio_path", str(tmp_path / "bob.wav"), "--restore", str(network(tmp_path / "bright.onnx", 0.3))]
    shown = []
    for number, more in enumerate((arguments[:2], arguments)):
        out = tmp_path / f"{number}.mp4"
        folders = ["--avatars_dir", str(photo_avatars), "--out", str(out)]
        assert inference_328.main(["--name", "eve", *folders, *more]) == 0
        with av.open(str(out)) as video:
            shown.append(next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int))
    assert (shown[1] - shown[0])[280:330, 230:290].mean() > 15
    wrong = ["--name", "demo", "--out", str(tmp_path / "no.mp4"), "--runtime", "onnxruntime", *arguments]
    assert inference_328.main(wrong) == 2
    assert "--restore is for avatars of photos" in capsys.readouterr().err
