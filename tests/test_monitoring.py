"""What deploy/monitoring asks of the server exists; Prometheus is run for real, where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from services.container import Services
from services.streaming.metrics import Lateness, ServiceMetrics
from tests.conftest import REPOSITORY
from tests.service_material import app_for, served, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811

MONITORING = REPOSITORY / "deploy" / "monitoring"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None or PROMTOOL is None, reason="prometheus is not installed (apt-get install)"
)


def expressions() -> list[str]:
    panels = json.loads((MONITORING / "avatar328.json").read_text(encoding="utf-8"))["panels"]
    (rules,) = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [r["expr"] for r in rules["rules"]]


def test_everything_that_is_looked_at_is_measured() -> None:
    metrics = ServiceMetrics()
    metrics.errors.labels(type="/problems/busy").inc()
    measured = {sample.name for family in metrics.registry.collect() for sample in family.samples} | {"up"}
    asked = {name for text in expressions() for name in re.findall(r"\b(?:avatar328|process)_\w+", text)}
    assert len(asked) > 12 and asked <= measured


def test_the_monitoring_fits_together() -> None:
    services: dict[str, Any] = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())["services"]
    watching = {name: service for name, service in services.items() if "monitoring" in service.get("profiles", [])}
    assert set(watching) == {"prometheus", "grafana"}
    mounted = [place.split(":") for service in watching.values() for place in service["volumes"]]
    files = {Path(source).name for source, *_ in mounted if source.startswith("./monitoring/")}
    assert files == {path.name for path in MONITORING.iterdir()}
    assert all(port.startswith("127.0.0.1:") for service in watching.values() for port in service.get("ports", []))
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["authorization"]["credentials_file"] in {target for _, target, *_ in mounted}
    (address,) = job["static_configs"][0]["targets"]
    assert address.split(":")[0] in services["server"]["environment"]["AVATAR328_SERVER__ALLOWED_HOSTS"].split(",")
    source = yaml.safe_load((MONITORING / "datasource.yml").read_text(encoding="utf-8"))["datasources"][0]
    panels = json.loads((MONITORING / "avatar328.json").read_text(encoding="utf-8"))["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


def test_lateness_is_that_of_a_player_that_began_with_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    late = Lateness()
    for now_s in (5.0, 5.02, 5.10, 5.30, 5.31):  # needed at 5.0, 5.04, 5.08, 5.12, 5.16
        monkeypatch.setattr("services.streaming.metrics.time.perf_counter", lambda now_s=now_s: now_s)
        late.frame()
    assert late.most_s == pytest.approx(0.18)


@needs_prometheus
def test_prometheus_reads_the_server(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    app = app_for(settings_for(toy_avatars, tmp_path / "work"), toy_services)
    (tmp_path / "metrics.key").write_text("any\n")
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(MONITORING / name, tmp_path / name)
    assert PROMETHEUS is not None and PROMTOOL is not None
    with served(app) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config = (tmp_path / "prometheus.yml").read_text(encoding="utf-8")
        for shipped, here in (
            ("server:8000", server.removeprefix("http://")),
            ("/run/keys", str(tmp_path)),
            ("scrape_interval: 5s", "scrape_interval: 1s"),
        ):
            assert shipped in config
            config = config.replace(shipped, here)
        (tmp_path / "prometheus.yml").write_text(config)
        checked = subprocess.run(
            [PROMTOOL, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0 and "4 rules found" in checked.stdout, checked.stdout + checked.stderr
        httpx.get(f"{server}/generate", params={"text": "one two"}).raise_for_status()
        command = [
            PROMETHEUS,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'measured'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(lambda: _value(port, "avatar328_utterances_total") == 1)
                assert _value(port, "avatar328_sessions_limit") > 0
                for text in expressions():
                    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": text})
                    assert answer.json()["status"] == "success", text
            finally:
                process.terminate()


def _value(port: int, query: str) -> float:
    """Nan until there is one."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return float("nan")
    if answer.status_code != 200 or not (found := answer.json()["data"]["result"]):
        return float("nan")
    return float(found[0]["value"][1])
