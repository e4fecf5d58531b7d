"""The part of a picture that is shown: its geometry, in a stream, in a take's MP4 and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from data_prep.video import iter_rgb
from inference_328 import main
from recipe.aspect import Box, Window, face_of_points, face_of_track, window, windows
from recipe.aspect_names import ASPECTS
from recipe.recipe_328 import CROP_PX
from services.avatars.avatar import open_avatar
from services.container import Services
from tests.conftest import REPOSITORY
from tests.service_material import app_for, client_of, lines_of, settings_for
from tests.test_api_takes import kept, send
from tests.test_inference import write_beep
from tests.toy_avatar import NAME, SIZE, toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811

# --- geometry ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "face", "aspect", "wanted"),
    [
        ((1280, 720), Box(560, 200, 720, 400), "square", Window(280, 0, 720, 720)),
        ((1280, 720), Box(560, 200, 720, 400), "portrait", Window(437, 0, 406, 720)),
        ((1280, 720), Box(560, 200, 720, 400), "landscape", Window(0, 0, 1280, 720)),
        ((720, 1280), Box(260, 300, 460, 560), "landscape", Window(0, 247, 720, 406)),  # 405 is odd
        ((720, 1280), Box(260, 300, 460, 560), "square", Window(0, 106, 720, 720)),
        ((1280, 720), Box(0, 100, 200, 300), "portrait", Window(0, 0, 406, 720)),  # at the edge: never beyond it
        ((1280, 720), Box(1100, 100, 1290, 300), "square", Window(560, 0, 720, 720)),
        ((512, 512), Box(118, 82, 405, 416), "landscape", Window(0, 82, 512, 334)),  # the face stays whole
        ((512, 512), Box(118, 82, 405, 416), "original", Window(0, 0, 512, 512)),
        ((512, 512), Box(-9, -9, 600, 600), "portrait", Window(0, 0, 512, 512)),
    ],
)
def test_it_is_the_largest_part_of_that_shape_that_holds_the_face(
    size: tuple[int, int], face: Box, aspect: str, wanted: Window
) -> None:
    assert window(*size, face, aspect) == wanted  # type: ignore[arg-type]


def test_whatever_the_picture_it_is_even_inside_and_holds_the_face() -> None:
    draw = np.random.default_rng(0)
    for _ in range(300):
        width, height = (2 * int(half) for half in draw.integers(1, 1000, 2))
        left, right = sorted(draw.integers(-100, width + 100, 2))
        top, bottom = sorted(draw.integers(-100, height + 100, 2))
        for part in windows(width, height, Box(left, top, right, bottom)).values():
            assert part.width % 2 == part.height % 2 == 0 < min(part.width, part.height)
            assert 0 <= part.left <= width - part.width
            assert 0 <= part.top <= height - part.height
            assert part.left <= np.clip(left, 0, width) <= np.clip(right, 0, width) <= part.left + part.width
            assert part.top <= np.clip(top, 0, height) <= np.clip(bottom, 0, height) <= part.top + part.height


def test_the_face_of_a_film_is_where_it_is_in_any_frame() -> None:
    """Twice as large in the frame as in the crop, once 10 px further right."""
    scale = CROP_PX / 164
    affine_T23 = np.array([[[scale, 0, -100 * scale], [0, scale, -200 * scale]]] * 2, np.float32)
    affine_T23[1, 0, 2] -= 10 * scale
    face = face_of_track(affine_T23)
    assert (face.left, face.right) == (100, 274)
    assert face.top == pytest.approx(200 - 0.4 * 164, abs=1)
    assert face.bottom == pytest.approx(200 + 0.88 * 164, abs=1)
    assert face_of_points(np.array([[100.0, 200.0], [200.0, 400.0]])) == Box(88, 176, 212, 424)


@pytest.mark.parametrize("name", ["demo", "demo-man"])
def test_the_shipped_faces_stay_whole(name: str) -> None:
    avatar = open_avatar(REPOSITORY / "avatars", name)
    parts = windows(512, 512, avatar.face)
    assert parts["portrait"].width <= 320
    assert parts["landscape"].height <= 350
    assert parts["landscape"].top < 100 < 400 < parts["landscape"].top + parts["landscape"].height


# --- served ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    with client_of(app_for(settings_for(toy_avatars, work), toy_services)) as client:
        yield client


def part_of(client: TestClient, aspect: str) -> Window:
    (toy,) = (entry for entry in client.get("/avatars").json()["avatars"] if entry["name"] == NAME)
    assert list(toy["crops"]) == list(ASPECTS)
    return Window(*toy["crops"][aspect])


def pictures(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    return np.array(list(iter_rgb(path)), float)


def test_an_mp4_shows_that_part_and_is_kept_apart(client: TestClient, tmp_path: Path) -> None:
    part = part_of(client, "portrait")
    assert part.width < SIZE or part.height < SIZE
    wish = {"text": "one two", "format": "mp4", "cache": "true"}
    whole = pictures(tmp_path / "whole.mp4", client.get("/generate", params=wish).content)
    answer = client.get("/generate", params=wish | {"aspect": "portrait"})
    assert answer.headers["x-cache"] == "miss"
    shown = pictures(tmp_path / "part.mp4", answer.content)
    assert shown.shape == (len(whole), part.height, part.width, 3)
    assert np.abs(shown - whole[:, part.rows, part.columns]).mean() < 4  # coded apart
    assert client.get("/generate", params=wish | {"aspect": "portrait"}).headers["x-cache"] == "hit"


def test_a_stream_says_the_size_of_what_it_shows(client: TestClient) -> None:
    part = part_of(client, "portrait")
    header = lines_of(client.get("/generate", params={"text": "one", "aspect": "portrait"}).content)[0]
    assert (header["width"], header["height"]) == (part.width, part.height)
    assert client.get("/generate", params={"text": "one", "aspect": "round"}).status_code == 422


def test_the_mp4_of_a_take_is_cut_where_it_is_told(client: TestClient, tmp_path: Path) -> None:
    facts, jpegs, sound = kept(lines_of(client.get("/generate", params={"text": "one two"}).content))
    part = Window(10, 4, 62, 100)
    whole = pictures(tmp_path / "whole.mp4", send(client, facts, b"".join(jpegs), sound).content)
    cut = send(client, facts | {"crop": list(part)}, b"".join(jpegs), sound)
    shown = pictures(tmp_path / "part.mp4", cut.content)
    assert np.abs(shown - whole[:, part.rows, part.columns]).mean() < 4


@pytest.mark.parametrize("crop", [[0, 0, 63, 100], [100, 0, SIZE, 100], [-2, 0, 62, 100], [0, 0, 62]])
def test_a_part_that_is_not_in_the_picture_is_refused(client: TestClient, crop: list[int]) -> None:
    take = {"avatar": NAME, "width": SIZE, "height": SIZE, "sample_rate": 16000, "sizes": [1], "crop": crop}
    answer = send(client, json.dumps(take), b"x", b"")
    assert answer.status_code == 422
    assert "crop" in answer.text


def test_the_command_writes_that_part(toy_avatars: Path, tmp_path: Path) -> None:
    audio, out = write_beep(tmp_path / "beep.wav", duration_s=0.4), tmp_path / "square.mp4"
    plain = ["--name", NAME, "--audio_path", str(audio), "--avatars_dir", str(toy_avatars), "--threads", "1"]
    assert main([*plain, "--runtime", "onnxruntime", "--out", str(out), "--aspect", "square"]) == 0
    part = window(SIZE, SIZE, open_avatar(toy_avatars, NAME).face, "square")
    (first, *_) = iter_rgb(out)
    assert first.shape == (part.height, part.width, 3)
