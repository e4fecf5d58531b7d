"""Which runtime computes an avatar is found out once per processor: int8 only where it is faster and near enough."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from recipe.avatar_format import PATCH
from services.avatars.loaded import LoadedAvatar
from services.avatars.trial import vowel_S
from services.model_service import ModelService
from services.runtimes.choice import MeasuredRuntime, choose_runtime
from services.runtimes.int8 import shown_psnr_db
from services.runtimes.processor import Processor, this_processor
from services.runtimes.runtime import Arrays, Graph, Runtime, TensorSpec, Trial
from services.runtimes.verdicts import Verdict, Verdicts
from tests.conftest import REPOSITORY

MIB = 1 << 20


class Painter:
    """A runtime and its graph in one: takes so much processor time and is off by so many levels."""

    provider, batch_frames = "painter", 1
    inputs = outputs = (TensorSpec("x", np.dtype(np.uint8), (None, 2, 2, 4)),)

    def __init__(self, work_s: float, off: int = 0) -> None:
        self.work_s, self.off, self.loads, self.runs = work_s, off, 0, 0

    def suits(self, path: Path) -> bool:
        return True

    def load(self, path: Path, trial: Trial | None = None) -> Graph:
        self.loads += 1
        return self

    def run(self, feeds: Arrays) -> dict[str, np.ndarray]:
        self.runs += 1
        until = time.process_time() + self.work_s
        while time.process_time() < until:
            pass
        return {PATCH: feeds["x"] + np.uint8(self.off)}


def frames(exact: Runtime) -> Sequence[Arrays]:
    return [{"x": np.full((1, 2, 2, 4), 200, np.uint8)} for _ in range(2)]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "unet_decoder.onnx"
    path.write_bytes(b"weights")
    return path


def measuring(folder: Path | None, rounded: Painter, exact: Painter, **conditions: str) -> MeasuredRuntime:
    return MeasuredRuntime({"exact": exact, "rounded": rounded}, "rounded", "exact", Verdicts(folder, conditions))


def test_near_enough_and_faster_is_taken_and_remembered(network: Path, tmp_path: Path) -> None:
    rounded, exact = Painter(0.0005, off=1), Painter(0.003)
    assert measuring(tmp_path / "kept", rounded, exact).load(network, frames) is rounded
    document = json.loads(next((tmp_path / "kept").glob("*.json")).read_text())
    assert document["verdict"]["psnr_db"] == pytest.approx(48.1) and document["processor"] == str(this_processor())
    runs = rounded.runs + exact.runs
    later = measuring(tmp_path / "kept", rounded, exact)
    assert later.load(network, frames) is rounded
    assert (rounded.loads, exact.loads, rounded.runs + exact.runs) == (2, 1, runs)  # nothing was computed
    assert later.measured_ms.keys() == {"exact", "rounded"}


def test_sums_that_overflow_here_are_not_used_and_that_is_said(
    network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rounded, exact = Painter(0.0005, off=30), Painter(0.003)
    for _ in range(2):
        assert measuring(tmp_path / "kept", rounded, exact).load(network, frames) is exact
    assert "rounded is not used" in caplog.text and "18.6 dB" in caplog.text
    assert exact.loads == 2 and rounded.loads == 1


def test_what_is_near_but_slower_is_not_used_and_not_compared(network: Path, tmp_path: Path) -> None:
    rounded, exact = Painter(0.003), Painter(0.0005)
    assert measuring(tmp_path / "kept", rounded, exact).load(network, frames) is exact
    assert json.loads(next((tmp_path / "kept").glob("*.json")).read_text())["verdict"]["psnr_db"] is None


def test_a_verdict_is_of_one_network_one_processor_and_one_version(network: Path, tmp_path: Path) -> None:
    runtimes, found = ("exact", "rounded"), Verdict("exact", {"exact": 1.0, "rounded": 2.0})
    verdicts = Verdicts(tmp_path / "kept", {"openvino": "1"})
    verdicts.keep(network, found)
    assert verdicts.find(network, runtimes) == found
    assert verdicts.find(network, ("exact",)) is None
    assert Verdicts(tmp_path / "kept", {"openvino": "2"}).find(network, runtimes) is None
    network.with_suffix(".int8.json").write_text("other bounds")
    assert verdicts.find(network, runtimes) is None
    network.with_suffix(".int8.json").unlink()
    network.write_bytes(b"other weights")
    assert verdicts.find(network, runtimes) is None


def test_a_damaged_verdict_is_said_and_measured_again(
    network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rounded, exact = Painter(0.0005), Painter(0.003)
    measuring(tmp_path / "kept", rounded, exact).load(network, frames)
    path = next((tmp_path / "kept").glob("*.json"))
    path.write_text("{")
    assert measuring(tmp_path / "kept", rounded, exact).load(network, frames) is rounded
    assert "cannot be read" in caplog.text and json.loads(path.read_text())["verdict"]["runtime"] == "rounded"


def test_a_place_that_cannot_be_written_is_said_and_nothing_more(
    network: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept").write_text("a file")
    rounded = Painter(0.0005)
    assert measuring(tmp_path / "kept", rounded, Painter(0.003)).load(network, frames) is rounded
    assert "cannot be kept" in caplog.text


def test_the_demo_avatar_is_judged_on_its_own_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever this processor is: what is used is near the exact pictures."""

    def opened() -> tuple[LoadedAvatar, str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "services.runtimes.choice"):
            runtime = choose_runtime("auto", "cpu", 2, tmp_path)
            return ModelService(REPOSITORY / "avatars", runtime, MIB, MIB, MIB).open_trained("demo-unet"), caplog.text

    first, said = opened()
    verdict = json.loads(next(tmp_path.glob("*.json")).read_text())["verdict"]
    assert verdict["measured_ms"].keys() >= {"onnxruntime", "openvino-int8"} and verdict["runtime"] in said
    if verdict["psnr_db"] is not None:  # int8 was the cheapest
        assert 35 < verdict["psnr_db"] < 60  # rounded: neither exact nor another picture
        assert (verdict["psnr_db"] >= 40) == (verdict["runtime"] == "openvino-int8")
    again, said = opened()
    assert "found out at an earlier start" in said and again.provider == first.provider


def test_psnr_counts_what_is_shown() -> None:
    exact = np.full((1, 4, 4, 4), 100, np.uint8)
    exact[..., 3] = 255
    exact[0, 2:, :, 3] = 0
    drawn = exact.copy()
    drawn[0, 2:, :, :3] = 0  # hidden in both
    assert shown_psnr_db(drawn, exact) == 100
    drawn[0, :2, :, :3] += 51
    assert shown_psnr_db(drawn, exact) == pytest.approx(20 * np.log10(5))
    drawn[0, 2:, :, 3] = 255  # shown, and should not be: half is off by 100, half by 51
    assert shown_psnr_db(drawn, exact) == pytest.approx(10 * np.log10(255**2 / ((100**2 + 51**2) / 2)))


def test_vowels_differ_and_are_as_loud_as_speech() -> None:
    a_S, i_S = vowel_S((730, 1090), 8032), vowel_S((270, 2290), 8032)
    assert np.sqrt(np.mean(a_S**2)) == pytest.approx(0.1, rel=1e-3) and abs(np.corrcoef(a_S, i_S)[0, 1]) < 0.9
    hz = np.fft.rfftfreq(len(i_S), 1 / 16_000)
    for sound_S, second_hz in ((a_S, 1090), (i_S, 2290)):
        power = np.where(hz > 900, np.abs(np.fft.rfft(sound_S)) ** 2, 0)
        assert abs(hz[power.argmax()] - second_hz) < 120  # a harmonic beside the second formant
    assert not vowel_S((), 100).any()


@pytest.mark.parametrize(
    ("flags", "kind", "sums"),
    [
        ("fpu avx avx2 fma", "AVX2", False),
        ("avx2 avx_vnni", "AVX2 with VNNI", True),
        ("avx2 avx512f avx512_vnni avx512_bf16", "AVX-512 with VNNI and bf16", True),
        ("avx2 avx512f avx512_vnni amx_tile amx_bf16", "AVX-512 with VNNI, bf16 and AMX", True),
        ("sse2", "no AVX", False),
    ],
)
def test_the_class_of_a_processor(tmp_path: Path, flags: str, kind: str, sums: bool) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text(
        f"processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: ACME\nflags\t\t: {flags}\n\nprocessor\t: 1\n"
    )
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    found = this_processor(facts, tmp_path / "cpu.max")
    assert (found.kind, found.sums_int8, found.model) == (kind, sums, "ACME family 25 model 17")
    assert found.cores <= 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert this_processor(facts, tmp_path / "cpu.max").cores == this_processor(facts, tmp_path / "absent").cores >= 1
    assert not this_processor(tmp_path / "absent").sums_int8


def test_a_processor_is_told_in_one_line() -> None:
    assert str(Processor("ACME", frozenset({"avx2"}), 2.0)) == "ACME, AVX2, 2 cores"
