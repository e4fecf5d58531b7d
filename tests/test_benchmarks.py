"""The benchmark commands run on a toy avatar, and their numbers agree with one another; speed is not judged here."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import attack, first_frame, growth, live, machine, peer, per_frame, service
from benchmarks.lateness import Listener
from benchmarks.macs import count_gmac
from benchmarks.material import write_scaled_avatar
from benchmarks.measures import attacks, live_browser
from benchmarks.measures.first_frame import summarise_imports
from benchmarks.measures.growth import resident_mb
from benchmarks.measures.service import Client, side_by_side_tables, text_of
from benchmarks.measures.target import Outcome
from benchmarks.peer_network import PeerNetwork, network_gmac, parameters_m
from benchmarks.table import report
from recipe.recipe_328 import CROP_PX
from services.avatars.avatar import open_avatar
from services.container import Services
from services.runtimes.processor import this_processor
from tests.service_material import app_for, settings_for
from tests.service_material import served as serving
from tests.toy_avatar import NAME, SIZE, toy_avatars, toy_services  # noqa: F401

FRAMES = 4


def _run(command: Any, avatars_dir: Path, out: Path, *options: str) -> dict[str, Any]:
    arguments = ["--name", NAME, "--avatars_dir", str(avatars_dir), "--threads", "1", "--json", str(out), *options]
    assert command.main(arguments) == 0
    return json.loads(out.read_text())


def _table(document: dict[str, Any], number: int = 0) -> list[dict[str, Any]]:
    return document["tables"][number]["rows"]


def test_per_frame(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ["--frames", str(FRAMES), "--rounds", "1", "--runtimes", "onnxruntime", "openvino-f32"]
    document = _run(per_frame, toy_avatars, tmp_path / "a.json", *options, "--size", "180x160")
    assert "180x160 px, 4 frames" in document["tables"][0]["title"]
    rows = _table(document)
    for row in rows:
        assert row["fps"] == pytest.approx(1e3 / row["wall ms/frame"])
    ms = {(row["runtime"], row["stage"]): row["wall ms/frame"] for row in rows}
    for runtime in ("onnxruntime", "openvino-f32"):
        shared = ("audio windows and gate", "template picture, kept", "plan of the paste", "paste", "H.264 file")
        parts = sum(ms["any", stage] for stage in shared)
        parts += ms[runtime, "audio encoder"] + ms[runtime, "decoder"]
        assert ms[runtime, "sum of the stages of the whole"] == pytest.approx(parts)
        assert [row["of peak, CPU"] != "" for row in rows if row["stage"] == "decoder"] == [True, True]


def test_attacks_are_told_and_held_off(toy_avatars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    out, wish = tmp_path / "a.json", ["--name", NAME, "--avatars_dir", str(toy_avatars), "--times", "0.1"]
    assert attack.main([*wish, "--json", str(out), "--attacks", "strange requests", "no key"]) == 0
    (strange, no_key) = json.loads(out.read_text())["rows"]
    assert strange["held"] == no_key["held"] == "yes" and "500" not in strange["what happened"]
    harmless = Outcome("nothing", "nothing", held=False)
    monkeypatch.setitem(attacks.ATTACKS, "other sites", lambda _: harmless)
    assert attack.main([*wish, "--attacks", "other sites"]) == 2, "harm is told by the exit code"
    assert attack.main([*wish, "--attacks", "a storm"]) == 2


def test_a_scaled_avatar_shows_the_same_crop(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    source = open_avatar(toy_avatars, NAME)
    write_scaled_avatar(source, tmp_path, (2 * SIZE, SIZE), FRAMES)  # twice as large, upper and lower parts cut
    scaled = open_avatar(tmp_path, NAME)
    assert (scaled.manifest.frames, scaled.manifest.width, scaled.manifest.height) == (FRAMES, 2 * SIZE, SIZE)
    for index in range(FRAMES):
        # The crop's centre was filmed at one point: scaled by two, less what was cut off above.
        old, new = (
            np.linalg.solve(avatar.affine_T23[index, :, :2], CROP_PX / 2 - avatar.affine_T23[index, :, 2])
            for avatar in (source, scaled)
        )
        moved = 2 * (old + 0.5) - 0.5 - new
        assert moved[0] == pytest.approx(0, abs=1e-2)
        assert moved[1] == pytest.approx(round(moved[1]), abs=1e-2)
        assert 0 < moved[1] < SIZE
        assert np.allclose(2 * scaled.affine_T23[index, :, :2], source.affine_T23[index, :, :2], atol=1e-5)


def test_multiply_accumulates_of_a_graph(toy_avatars: Path) -> None:  # noqa: F811
    conv = [(12, 4, 160), (4, 4, 80), (4, 8, 40), (8, 8, 20), (8, 8, 10)]  # channels in, out, size after stride 2
    expected = sum(9 * a * b * side**2 for a, b, side in conv) / 1e9
    assert count_gmac(toy_avatars / NAME / "unet_encoder.onnx") == pytest.approx(expected)


def test_the_peer_has_the_published_size() -> None:
    network = PeerNetwork().eval()
    assert parameters_m(network) == pytest.approx(12.19, abs=0.005)
    assert network_gmac(network) == pytest.approx(4.89, abs=0.005)


def test_peer(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ["--frames", "2", "--rounds", "1", "--runtime", "onnxruntime", "--malloc", "as_is"]
    rows = _table(_run(peer, toy_avatars, tmp_path / "a.json", *options))
    ms = {row["what"]: row["wall ms/frame"] for row in rows}
    parts = sum(ms[f"peer: {part}"] for part in ("read", "crop", "network", "paste", "write"))
    assert 0 < parts <= ms["peer: loop"]
    assert ms["peer: all in"] == pytest.approx(ms["peer: loop"] + ms["peer: second pass, H.264"])
    ratios = {row["what"]: row["times faster than"] for row in rows}
    expected = ms["peer: network"] / ms["ours: network, template seen"]
    assert ratios["ours: network, template seen"] == f"{expected:.1f} x network"


def test_growth(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ["--runtime", "onnxruntime", "--sessions", "1", "2", "--session_s", "0.4", "--seconds", "0.4", "1.2"]
    document = _run(growth, toy_avatars, tmp_path / "a.json", *options, "--avatars", "1", "3", "--opens", "3")
    sessions, lengths, avatars = (_table(document, number) for number in range(3))
    assert [(row["sessions"], row["frames"]) for row in sessions] == [(1, 10), (2, 20)]
    assert all(row["slowest fps"] <= row["fastest fps"] for row in sessions)
    assert all(0 <= row["late p95 ms"] <= row["late most ms"] for row in sessions)
    assert [row["frames"] for row in lengths] == [10, 30]
    for row in lengths:
        assert row["RTF"] == pytest.approx(row["ms/frame"] / 40)
        assert 0 < row["MB after 1 s"] <= row["MB at most"]
    assert [(row["avatars"], row["opened"], row["still loaded"]) for row in avatars] == [(1, 1, 1), (3, 3, 2)]
    assert all(row["open, hit ms"] < row["open, miss ms"] for row in avatars)
    assert [path.name for path in toy_avatars.iterdir()] == [NAME]  # nothing is left behind


def test_lateness_is_counted_from_the_first_frame() -> None:
    listener = Listener(asked_s=9.0, came_s=[10.0, 10.02, 10.2])
    assert listener.late_ms == pytest.approx([0, 0, 120])
    assert listener.fps == pytest.approx(3 / 1.2)


@pytest.mark.slow
@pytest.mark.skipif(not any(shutil.which(voice) for voice in ("flite", "espeak-ng")), reason="nothing can speak here")
def test_service(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ["--runtime", "onnxruntime", "--size", "128x96", "--words", "3", "--streams", "2", "--stream_words", "4"]
    document = _run(service, toy_avatars, tmp_path / "a.json", *options)
    alone, heard, needed = (_table(document, number) for number in range(3))
    assert "128x96 px" in document["tables"][0]["title"]
    assert [row["what"] for row in alone[2:]] == ["3 words, cold", "3 words, warm"]
    assert alone[2]["frames"] == alone[3]["frames"] > 0
    assert 0 < alone[0]["first byte ms"] <= alone[1]["first byte ms"]  # alive before ready
    assert [(row["streams"], row["stream"]) for row in heard] == [(2, 1), (2, 2)]
    for row in heard:
        assert 0 <= row["late p50 ms"] <= row["late p95 ms"] <= row["late most ms"]
        assert row["speech s"] == pytest.approx(round(row["speech s"] * 25) / 25)
    assert "too short" in document["tables"][1]["notes"][-1]
    cost = needed[0]
    assert 0 < cost["/health median ms"] <= cost["/health slowest ms"]
    if Path("/proc/self/stat").exists():
        assert 0 < cost["CPU s per speech s"] < 1000
        assert 20 < cost["peak MB so far"] < 20_000


def test_live(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ["--runtime", "onnxruntime", "--rounds", "2", "--words", "8", "--streams", "2", "--browser_s", "0"]
    options += ["--soak", "3"]
    document = _run(live, toy_avatars, tmp_path / "a.json", *options)
    answers, tiers, patch, jpeg, soak = (_table(document, number) for number in range(5))
    assert len(answers) == 6
    for row in answers:
        assert 0 < row["p50 ms"] <= row["p95 ms"] <= row["most ms"]
    sizes = {row["tier"]: row for row in tiers}
    assert sizes["patch"]["frames"] == sizes["jpeg"]["frames"] > 25
    assert 0 < sizes["patch"]["kB/picture"] < sizes["jpeg"]["kB/picture"]
    for row in (*patch, *jpeg):
        assert row["speech s"] == pytest.approx(sizes["jpeg"]["frames"] / 25)
        assert 0 <= row["late p95 ms"] <= row["late most ms"]
    assert [row["utterances"] for row in soak] == [1, 3, "after it"]


class _Stutter(BaseHTTPRequestHandler):
    """Ten frames, the last five half a second after the first five."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.path.startswith("/generate"):
            self.wfile.write(b'{"type":"header"}\n' + 5 * b'{"type":"frame"}\n')
            time.sleep(0.5)
            self.wfile.write(5 * b'{"type":"frame"}\n' + b'{"type":"end"}\n')

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_stutters_is_found_out() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Stutter) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            client = Client(f"http://127.0.0.1:{http.server_address[1]}", os.getpid())
            heard, needed = side_by_side_tables(client, [1, 2], 10, 60)
        finally:
            http.shutdown()
            thread.join()
    rows = [dict(zip(heard.columns, row, strict=True)) for row in heard.rows]
    assert [(row["streams"], row["stream"]) for row in rows] == [(1, 1), (2, 1), (2, 2)]
    for row in rows:
        assert row["speech s"] == pytest.approx(0.4)
        assert row["fps"] < 20
        assert 0 <= row["after sound ms"] <= row["first frame ms"]
        # A client that notes the first frame late finds the others less late: 30 ms are allowed for that.
        assert row["late p50 ms"] >= 0.5 * (500 - 9 * 40 - 30)  # between frame 4, in time, and frame 9
        assert row["late most ms"] >= 500 - 5 * 40 - 30  # frame 5
        assert row["late p50 ms"] < row["late p95 ms"] <= row["late most ms"]
    assert "too short" in heard.notes[-1]
    for cost in (dict(zip(needed.columns, row, strict=True)) for row in needed.rows):
        assert cost["all fps"] < 20 * cost["streams"]
        if Path("/proc/self/stat").exists():
            assert cost["CPU s per speech s"] >= 0
            assert cost["peak MB so far"] >= resident_mb() * 0.5


def test_what_the_system_does_not_say_is_not_known() -> None:
    gone = Client("http://127.0.0.1:9", pid=2**22 + 1)  # above the highest number of a process
    assert gone.processor_s() is None
    assert gone.peak_mb() is None


def test_texts_of_the_service_benchmark_are_not_remembered() -> None:
    text = text_of(25, 100)
    assert text.split()[9:20:10] == ["100.", "101."]
    assert len(text.split()) == 25
    assert text.endswith(" jumps.")
    sentences = {sentence for number in (100, 200, 1000) for sentence in text_of(100, number).split(".")}
    assert len(sentences) == 30 + 1  # none twice; the empty one after the last full stop


@pytest.mark.slow
def test_first_frame(toy_avatars: Path, tmp_path: Path) -> None:  # noqa: F811
    options = ["--runtime", "onnxruntime", "--rounds", "1", "--starts", "1", "--no_server"]
    document = _run(first_frame, toy_avatars, tmp_path / "a.json", *options)
    warm, cold, imports = (_table(document, number) for number in range(3))
    for kind in ("seen", "new"):
        ms = {row["stage"]: row["wall ms"] for row in warm if row["template"] == kind}
        whole = {name: ms.pop(f"the session itself, {name}") for name in ["to its first line"]}
        total, after = ms.pop("sum of the stages"), ms.pop("of it after the first sound")
        assert total == pytest.approx(sum(ms.values()))
        assert after == pytest.approx(total - ms["speech: first chunk of the first sentence"])
        assert whole["to its first line"] > 0
        assert f"template encoder, {kind}" in ms
    steps = {row["stage"]: row["ms"] for row in cold}
    everything = steps.pop("until all is ready, step by step")
    assert everything == pytest.approx(sum(steps.values()))
    assert all(ms >= 0 for ms in steps.values())
    assert len(imports) == 11
    assert sum(row["ms"] for row in imports[:-1]) <= imports[-1]["ms"]


def test_imports_are_added_up_by_package() -> None:
    log = """import time: self [us] | cumulative | imported package
import time:       300 |        300 |   numpy.core
import time:       100 |        400 | numpy
import time:      2000 |       2000 | cv2
"""
    assert summarise_imports(log) == ([("cv2", 2.0, 1), ("numpy", 0.4, 2)], 2.4, 3)


def test_what_a_browser_shows(
    toy_avatars: Path,  # noqa: F811
    toy_services: Services,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not any(map(shutil.which, live_browser.NAMES)):
        pytest.skip("no browser is installed")
    monkeypatch.setattr(live_browser, "_CANCELS", 1)
    with serving(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as address:
        table = live_browser.in_a_browser(address, ["patch"], 2.0)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["tier"], row["what else runs"]) for row in rows] == [("patch", "nothing"), ("patch", "one core busy")]
    for row in rows:
        skews = [row["skew p50 ms"], row["skew p95 ms"], row["skew most ms"]]
        assert 0 <= skews[0] <= skews[1] <= skews[2] < 1000  # type: ignore[operator]
        assert row["speech s"] > 0.5 and row["first shown ms"] > 0  # type: ignore[operator]
        assert row["underruns"] >= 0 and row["silent after a cancel p95 ms"] > 0  # type: ignore[operator]


def test_machine_tells_the_class_and_the_peak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.main(["--rounds", "1", "--json", str(tmp_path / "a.json")]) == 0
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["machine"].startswith(str(this_processor())) and document["machine"] in capsys.readouterr().out
    rows = {(row["what"], row["threads"]): row["by the clock"] for row in document["tables"][0]["rows"]}
    assert rows["matrix product, float32", 1] > 1 and rows["copy", 1] > 0.1
    assert (("matrix product, int8", 1) in rows) == this_processor().sums_int8
    assert any(this_processor().kind in note for note in document["tables"][0]["notes"])


def test_every_table_names_the_processor(capsys: pytest.CaptureFixture[str]) -> None:
    report("Something", ["a"], [["b"]], None)
    assert capsys.readouterr().out.startswith(f"Something ({this_processor()}, load ")
