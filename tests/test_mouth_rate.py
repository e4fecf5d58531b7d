"""A machine too slow for every mouth shows every other one twice, over template frames that go on; and says so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from benchmarks.material import cpu_runtime, model_service
from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ, window_samples
from services.frame_generation_service import FrameGenerationService
from services.mouth_rate import MouthRate, shown_rows
from services.streaming.events import Frame
from services.streaming.ndjson import encode_ndjson
from services.types import AvatarModel, Patch
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def busy_means_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is served; elsewhere in the tests every mouth is drawn."""
    monkeypatch.setattr("services.mouth_rate._BUSY_S", 0.9 / FPS)


def test_rows_that_are_held_show_the_mouth_before_them() -> None:
    assert shown_rows(5, [False, True, False, True, False]) == [[0, 1], [2, 3], [4]]
    assert shown_rows(3, ()) == [[0], [1], [2]]
    assert shown_rows(2, [True, True]) == [[0, 1]], "the first row has nobody before it"


def test_it_halves_when_mouths_take_too_long_and_goes_back_when_they_do_not() -> None:
    rate = MouthRate()
    for _ in range(5):
        rate.took(0.1, 1)
    assert not rate.halved, "the first ones warm up"
    rate.took(0.1, 1)
    assert rate.halved and rate.held(4) == [False, True, False, True]
    for _ in range(40):
        rate.took(0.8 / FPS, 1)
    assert rate.halved, "in between it stays as it is"
    for _ in range(40):
        rate.took(0.5 / FPS, 1)
    assert not rate.halved and rate.held(4) == [False] * 4
    for _ in range(40):
        rate.took(0.8 / FPS, 1)
    assert not rate.halved


def test_the_time_of_a_slow_reader_does_not_count() -> None:
    rate = MouthRate()
    for _ in rate.timed(iter(range(12)), [False] * 12):
        time.sleep(0.05)
    assert not rate.halved


class Slow:
    """A model whose mouths take longer than a frame lasts."""

    def __init__(self, model: AvatarModel, mouth_s: float) -> None:
        self._model, self._mouth_s = model, mouth_s
        self.drawn = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def draw(self, indices: Sequence[int], embedding_BD: np.ndarray, held: Sequence[bool] = ()) -> Iterator[np.ndarray]:
        for picture, again in zip(self._model.draw(indices, embedding_BD, held), held, strict=True):
            if not again:
                self.drawn += 1
                time.sleep(self._mouth_s)
            yield picture


@pytest.fixture(scope="module", params=["demo", "demo-unet"])
def model(request: pytest.FixtureRequest) -> AvatarModel:
    return model_service(REPOSITORY / "avatars", cpu_runtime("onnxruntime", 2)).open(request.param)


def sound(seconds: float) -> np.ndarray:
    random = np.random.default_rng(3)
    return (0.1 * random.standard_normal(round(seconds * SAMPLE_RATE_HZ))).astype(np.float32)


def test_a_slow_session_draws_half_of_the_mouths_and_keeps_the_template_moving(model: AvatarModel) -> None:
    frames, slow = FrameGenerationService(), Slow(model, 0.05)
    session = frames.start(slow)  # type: ignore[arg-type]
    session.mouth_rate = MouthRate()
    shown = list(frames.stream(session, [sound(2.0)]))
    assert [frame.index for frame in shown] == list(range(2 * FPS))
    held = [frame.held for frame in shown]
    assert 15 <= sum(held) <= 25 and slow.drawn == len(held) - sum(held)
    assert not any(a and b for a, b in pairwise(held)), "never two in a row"
    assert len({frame.template_index for frame in shown}) > FPS, "the template goes on"


def test_a_held_mouth_lies_over_its_own_template_frame(model: AvatarModel) -> None:
    """Only the mouth is the frame's before; and what is not held keeps its bits."""
    told_BD = model.encode_audio(
        np.stack([sound(1.0)[:window] for window in [model_window(model)] * 2]), np.ones(2, np.float32)
    )
    both, held = list(model.draw([10, 11], told_BD)), list(model.draw([10, 11], told_BD, [False, True]))
    assert np.array_equal(both[0], held[0]), "its own mouth was drawn"
    top = both[1].shape[0] // 4
    assert np.array_equal(both[1][:top], held[1][:top]), "eyes and hair are the next frame's"
    assert not np.array_equal(held[0], held[1])
    patches: list[Patch] = list(model.draw_patches([10, 11], told_BD, [False, True]))
    for patch, picture in zip(patches, held, strict=True):
        height, width = patch.picture_HWC.shape[:2]
        left, upper = patch.place
        assert np.array_equal(picture[upper : upper + height, left : left + width], patch.picture_HWC)


def model_window(model: AvatarModel) -> int:
    return window_samples(model.avatar.manifest.recipe["audio_features"])


def test_frames_say_so() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    events = (Frame(index, index, picture, np.zeros(640, np.float32), held=bool(index)) for index in range(2))
    first, second = list(encode_ndjson(events, 80))
    assert b'"held"' not in first and b'"held":true' in second
