"""Settings: read when first used, wrong ones named, and none without effect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import api
import config
from config import ConfigError, Settings
from tests.conftest import REPOSITORY

SECTIONS: dict[str, type[BaseModel]] = {name: field.annotation for name, field in Settings.model_fields.items()}  # type: ignore[misc]
FIELDS = [(section, field) for section, kind in SECTIONS.items() for field in kind.model_fields]


@pytest.fixture(autouse=True)
def nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipe.places.home", lambda: tmp_path)  # no .env here
    monkeypatch.setattr(config, "_loaded", {})
    monkeypatch.setattr("services.http.server.serve", lambda *_, **__: pytest.fail("the server was started"))
    for section, field in FIELDS:
        monkeypatch.delenv(variable(section, field), raising=False)


def variable(section: str, field: str) -> str:
    return f"AVATAR328_{section}__{field}".upper()


class Watched:
    """Settings that remember which fields were read."""

    def __init__(self, inner: Any, path: tuple[str, ...], read: set[tuple[str, ...]]) -> None:
        self._inner, self._path, self._read = inner, path, read

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        path = (*self._path, name)
        if isinstance(value, BaseModel):
            return Watched(value, path, self._read)
        self._read.add(path)
        return value


def test_every_field_is_read_when_the_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody reads has no effect. What reading them does is shown by the tests of the server and of speech."""
    read: set[tuple[str, ...]] = set()
    monkeypatch.setitem(config._loaded, "settings", Watched(Settings(), (), read))
    served: list[tuple[str, int]] = []
    monkeypatch.setattr("services.http.server.serve", lambda app, host, port, *_, **__: served.append((host, port)))
    assert api.main([]) == 0
    assert served == [("127.0.0.1", 8000)]
    assert set(FIELDS) - read == set()


def test_every_field_is_documented() -> None:
    undocumented = [
        (section, name)
        for section, kind in SECTIONS.items()
        for name, field in kind.model_fields.items()
        if not field.description
    ]
    assert undocumented == []


def test_the_example_lists_every_setting_with_its_default() -> None:
    lines = (REPOSITORY / ".env.example").read_text(encoding="utf-8").splitlines()
    for section, kind in SECTIONS.items():
        for name, field in kind.model_fields.items():
            default = "" if field.default is None else str(field.default)
            value = default.lower() if isinstance(field.default, bool) else default
            at = lines.index(f"#{variable(section, name)}={value}")
            assert lines[at - 1] == f"# {field.description}"
    assert sum(line.startswith("#AVATAR328_") for line in lines) == len(FIELDS)


def test_settings_are_built_on_first_use_only() -> None:
    program = (
        "import config, api; assert config._loaded == {}; from config import settings; "
        "assert settings is config.settings; print(settings.models.device, settings.tts.model_path)"
    )
    environment = {"PATH": "/usr/bin:/bin", "AVATAR328_MODELS__DEVICE": "cpu", "PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("cpu None\n", "")


def test_environment_goes_before_the_file_and_options_before_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("AVATAR328_SERVER__PORT=1111\nAVATAR328_SERVER__HOST=localhost\nOTHER=ignored\n")
    assert config.settings.server.port == 1111
    monkeypatch.setenv("AVATAR328_SERVER__PORT", "2222")
    assert (config.load_settings().server.port, config.load_settings().server.host) == (2222, "localhost")
    assert config.load_settings(server={"port": 3333}).server.port == 3333
    monkeypatch.setenv("AVATAR328_TTS__MODEL_PATH", "voices/ada.onnx")
    assert config.load_settings().tts.model_path == tmp_path / "voices" / "ada.onnx"
    monkeypatch.setenv("AVATAR328_TTS__MODEL_PATH", "")
    assert config.load_settings().tts.model_path is None


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AVATAR328_MODELS__DEVISE", "cpu", "unknown setting AVATAR328_MODELS__DEVISE; .env.example"),
        ("AVATAR328_MODEL__DEVICE", "cpu", "unknown setting AVATAR328_MODEL__DEVICE; .env.example"),
        ("AVATAR328_MODELS__DEVICE", "tpu", "AVATAR328_MODELS__DEVICE is 'tpu': Input should be 'auto'"),
        ("AVATAR328_SERVER__PORT", "70000", "AVATAR328_SERVER__PORT is '70000': Input should be less than"),
        ("AVATAR328_LIMITS__UPLOAD_S", "nan", "AVATAR328_LIMITS__UPLOAD_S"),
        ("AVATAR328_LIMITS__SESSIONS", "-1", "AVATAR328_LIMITS__SESSIONS is '-1'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("source", ["environment", "file"])
def test_what_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    source: str, name: str, value: str, says: str,
) -> None:  # fmt: skip
    if source == "file":
        (tmp_path / ".env").write_text(f"{name}={value}\n")
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        config.load_settings()
    assert says in str(raised.value)
    assert api.main(["--host", "localhost"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_names_of_setup_and_training_do_not_stop_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """AVATAR328_PYTHON, exported as the guide shows, was an "unknown setting"."""
    monkeypatch.setenv("AVATAR328_PYTHON", "/usr/bin/python3.12")
    monkeypatch.setenv("AVATAR328_TEMPLATE_S", "8")
    monkeypatch.setenv("AVATAR328_PORT", "9000")
    assert config.load_settings().server.port == 8000
    assert [record.getMessage() for record in caplog.records] == [
        "AVATAR328_PORT is not a setting of the server: AVATAR328_SERVER__PORT is"
    ]


def test_relative_paths_start_at_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Started from another folder, the server found no avatars."""
    monkeypatch.chdir("/")
    monkeypatch.setenv("AVATAR328_DEBUG__FOLDER", "/elsewhere/debug")
    found = config.load_settings()
    assert found.models.avatars_dir == tmp_path / "avatars" and found.debug.folder == Path("/elsewhere/debug")


def test_options_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[dict[str, Any]] = []

    def serve(app: Any, host: str, port: int, **_: Any) -> None:
        served.append({"app": app, "host": host, "port": port})

    monkeypatch.setattr("services.http.server.serve", serve)
    with caplog.at_level("WARNING"):
        assert api.main(["--port", "8123"]) == 0
        assert caplog.text == ""
        assert api.main(["--host", "0.0.0.0"]) == 2  # without keys
        assert "python -m services.access new NAME" in capsys.readouterr().err
        monkeypatch.setenv("AVATAR328_ACCESS__OPEN_TO_ALL", "true")
        assert api.main(["--host", "0.0.0.0"]) == 0
        monkeypatch.setenv("AVATAR328_SERVER__ALLOWED_HOSTS", "avatar.lan")
        assert api.main(["--port", "8124"]) == 0
    assert caplog.text.count("others can reach this server") == 2
    assert [(run["host"], run["port"]) for run in served] == [
        ("127.0.0.1", 8123),
        ("0.0.0.0", 8000),
        ("127.0.0.1", 8124),
    ]
    assert [run["app"].state.settings.public for run in served] == [False, True, True]


def test_a_device_that_is_not_there_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.runtimes.onnx import cuda_device_count

    if cuda_device_count():
        pytest.skip("there is a CUDA device")
    monkeypatch.setenv("AVATAR328_MODELS__DEVICE", "cuda")
    assert api.main([]) == 2
    assert "device cuda was asked for" in capsys.readouterr().err
