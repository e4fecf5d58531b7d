"""How many utterances a server admits is measured on its machine, told, and overridden by the setting."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from services.avatars.loaded import LoadedAvatar
from services.capacity import Capacity, CapacityMeter, provisional_sessions
from services.container import Services
from services.errors import BusyError
from services.frame_generation_service import FrameGenerationService
from services.runtimes.processor import this_processor
from services.streaming.slots import Slots
from tests.service_material import Gated, app_for, client_of, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services

__all__ = ["toy_avatars", "toy_model", "toy_services"]


class Costly:
    """A model whose template frames cost so much processor time, more the first time."""

    provider = "toy CPU"

    def __init__(self, inner: LoadedAvatar, seen_s: float, new_s: float, keeps_template: bool = True) -> None:
        self._inner, self._seen_s, self._new_s, self.keeps_template = inner, seen_s, new_s, keeps_template
        self.drawn: set[int] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def draw(self, indices: Sequence[int], embedding_BD: np.ndarray, held: Sequence[bool] = ()) -> Iterator[np.ndarray]:
        for index in indices:
            until = time.process_time() + (self._seen_s if index in self.drawn else self._new_s)
            while time.process_time() < until:
                pass
            self.drawn.add(index)
            yield np.zeros((64, 64, 3), np.uint8)


def meter(slots: Slots, cores: float = 2.0, idle: Slots | None = None, fixed: bool = False) -> CapacityMeter:
    idle = Slots(8, "idle") if idle is None else idle
    return CapacityMeter(FrameGenerationService(), slots, idle, fixed=fixed, cores=cores, jpeg_quality=85)


def test_places_follow_from_what_a_frame_costs(toy_model: LoadedAvatar, caplog: pytest.LogCaptureFixture) -> None:
    slots = Slots(2, "animations")
    measuring = meter(slots)
    with caplog.at_level(logging.INFO, "services.capacity"):
        measuring.measure(Costly(toy_model, 0.010, 0.020))  # type: ignore[arg-type]
    found = measuring.found
    assert found is not None and not measuring.wanted
    assert 10 <= found.frame_ms < 19 < 20 <= found.new_frame_ms < 38
    assert found.frames_per_s == pytest.approx(0.75 * 2000 / found.frame_ms, rel=0.01)
    assert slots.count == found.sessions == int(0.8 * found.frames_per_s / 25) >= 2
    assert "capacity: a frame takes" in caplog.text and found.problem is None


def test_a_template_that_is_not_kept_counts_as_new(toy_model: LoadedAvatar) -> None:
    measuring = meter(Slots(2, "animations"))
    measuring.measure(Costly(toy_model, 0.005, 0.020, keeps_template=False))  # type: ignore[arg-type]
    assert measuring.found is not None
    assert measuring.found.frames_per_s == pytest.approx(0.75 * 2000 / measuring.found.new_frame_ms, rel=0.01)


def test_a_machine_for_less_than_one_says_so_and_admits_one(
    toy_model: LoadedAvatar, caplog: pytest.LogCaptureFixture
) -> None:
    slots = Slots(2, "animations")
    measuring = meter(slots, cores=1)
    measuring.measure(Costly(toy_model, 0.040, 0.040))  # type: ignore[arg-type]
    assert slots.count == 1 and measuring.found is not None
    assert measuring.found.problem is not None and "of the 25 that one utterance needs" in caplog.text


def test_a_graphics_card_is_limited_by_the_clock_too(toy_model: LoadedAvatar) -> None:
    model = Costly(toy_model, 0.0, 0.0)
    model.provider = "CUDAExecutionProvider"
    model.draw = lambda indices, _, held=(): (time.sleep(0.02) or np.zeros((64, 64, 3), np.uint8) for _ in indices)  # type: ignore[method-assign,assignment]
    measuring = meter(Slots(2, "animations"))
    measuring.measure(model)  # type: ignore[arg-type]
    assert measuring.found is not None and 25 < measuring.found.frames_per_s < 50


@pytest.mark.parametrize("who", ["an utterance", "idle pictures"])
def test_it_waits_for_a_quiet_moment(toy_model: LoadedAvatar, who: str) -> None:
    slots, idle = Slots(2, "animations"), Slots(8, "idle")
    measuring = meter(slots, idle=idle)
    with slots if who == "an utterance" else idle:
        measuring.measure(Costly(toy_model, 0.0, 0.0))  # type: ignore[arg-type]
        assert measuring.found is None and measuring.wanted and slots.count == 2


def test_somebody_who_comes_meanwhile_spoils_the_measurement(toy_model: LoadedAvatar) -> None:
    slots = Slots(2, "animations")
    measuring = meter(slots)
    measuring.measure(Gated(toy_model, lambda: slots.used or slots.take()))  # type: ignore[arg-type]
    assert measuring.found is None and measuring.wanted


def test_fewer_places_take_nobodys_away() -> None:
    slots = Slots(3, "animations")
    slots.take()
    slots.take()
    slots.resize(1)
    assert slots.used == 2 and slots.free == 0
    with pytest.raises(BusyError, match="makes 1 animations at a time"):
        slots.take()
    slots.give_back()
    slots.give_back()
    slots.take()


def test_the_server_measures_and_tells(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    app = app_for(settings_for(toy_avatars, tmp_path, limits={"sessions": 0}), toy_services)
    with client_of(app) as client:
        wait_for(lambda: not app.state.parts.capacity.wanted)
        health = client.get("/health").json()
        found: Capacity = app.state.parts.capacity.found
        assert health["sessions"] == {
            "active": 0,
            "limit": found.sessions,
            "source": "measured",
            "measured": {
                "frame_ms": found.frame_ms,
                "new_frame_ms": found.new_frame_ms,
                "frames_per_s": found.frames_per_s,
            },
        }
        assert found.frame_ms > 0 and client.get("/readyz").status_code == 200
        app.state.parts.capacity.found = Capacity(100.0, 150.0, 15.0)
        slow = client.get("/health").json()
        assert slow["status"] == "degraded" and "draws about 15 frames/s of the 25" in slow["reasons"][0]


def test_before_it_is_measured_there_is_a_place_for_every_core() -> None:
    assert [provisional_sessions(cores) for cores in (0.5, 1.0, 2.0, 7.5)] == [1, 1, 2, 7]


def test_the_setting_goes_before(toy_model: LoadedAvatar) -> None:
    assert not meter(Slots(9, "animations"), fixed=True).wanted


def test_a_server_may_be_told_to_count_on_fewer_processors(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    found = []
    for cores in (1.0, 0.0):
        app = app_for(settings_for(toy_avatars, tmp_path, limits={"sessions": 0, "cores": cores}), toy_services)
        found.append(app.state.parts.animations.slots.count)
    assert found == [1, provisional_sessions(this_processor().cores)]
