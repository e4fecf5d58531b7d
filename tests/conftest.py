"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from data_prep.dataset_328 import Dataset328
    from data_prep.still_landmarks import StillLandmarks
    from training.film.ears import Film

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> Iterator[None]:
    """Ctrl-C is heard as in a terminal: a shell starts what it puts into the background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def no_packaged_voices() -> Iterator[None]:
    """The default voice is the same whether or not the extra `voice` is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.speech.piper.PACKAGES", ())
        yield


@pytest.fixture(scope="session", autouse=True)
def every_mouth_is_drawn() -> Iterator[None]:
    """However busy the machine is; tests/test_mouth_rate.py tells what else happens there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.mouth_rate._BUSY_S", 60.0)
        yield


@pytest.fixture(scope="session")
def presenter_video() -> Path:
    """Twenty seconds of the synthetic presenter with sound, 512x512, 25 fps; depicts no real person."""
    return REPOSITORY / "tests" / "data" / "presenter.mp4"


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Real clips that are not part of the repository; the test is skipped where they are absent."""
    folder = REPOSITORY.parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip(f"real clips are not at {folder}: they are not distributed with the repository")
    return folder


@pytest.fixture(scope="session")
def picture(presenter_video: Path) -> np.ndarray:
    """The presenter, looking into the camera."""
    from data_prep.video import iter_rgb

    return next(iter_rgb(presenter_video))


@pytest.fixture(scope="session")
def found(picture: np.ndarray) -> StillLandmarks:
    """Her landmarks there."""
    from tests.photo_material import found_in

    return found_in(picture)


@pytest.fixture(scope="session")
def arrays(picture: np.ndarray, found: StillLandmarks) -> dict[str, Any]:
    """What the warp needs of the picture."""
    from data_prep.person import face_in_person, find_person
    from recipe.warp.source import prepare_source

    person = face_in_person(find_person(picture), found.points_K3)
    assert person is not None
    return dict(prepare_source(picture, found.points_K3, person))


@pytest.fixture(scope="session")
def photo_file(picture: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.photo_material import written

    return written(tmp_path_factory.mktemp("photo") / "photo.png", picture)


@pytest.fixture(scope="session")
def photo_avatars(photo_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of avatars with `eve`, made of the photo."""
    from data_prep.photo import Stopwatch
    from data_prep.photo_avatar import make_photo_avatar
    from tests.photo_material import request

    avatars_dir = tmp_path_factory.mktemp("avatars")
    make_photo_avatar(request(photo_file, avatars_dir), Stopwatch())
    return avatars_dir


@pytest.fixture(scope="session")
def film_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset328:
    """The presenter's first ten seconds as a dataset, `dataset/ann`; nobody changes it."""
    from data_prep.dataset_328 import open_dataset
    from tests.film_material import NAME, write_film_dataset

    return open_dataset(write_film_dataset(tmp_path_factory.mktemp("film") / "dataset" / NAME))


@pytest.fixture(scope="session")
def film(film_dataset: Dataset328) -> Film:
    """What its picture tells."""
    from training.film.ears import Film

    return Film.of(film_dataset)


@pytest.fixture(scope="session")
def film_arrays(film: Film) -> dict[str, Any]:
    """Ready to be drawn: the whole film is the template; at rest the mouth does what it does in the first frames."""
    from training.film.fit import choose_mouths, mouth_arrays, shape_arrays

    chosen = choose_mouths(film.face, film.dataset.blur_T, film.frames)
    bank = shape_arrays(film.face.shape) | mouth_arrays(film.dataset, film.face, chosen)
    return bank | {"track_TK2": film.face.points_TK2.astype(np.float32)}
