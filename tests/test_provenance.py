"""Who had which avatar say what: hashes that anybody can compute again, and no word of what was said."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from clients.python.avatar328_client import LiveClient
from config import ConfigError
from services.access.keys import new_key
from services.container import Services
from services.streaming.provenance import Asked, ProvenanceLog
from tests.bad_requests import wav
from tests.live_material import until
from tests.service_material import app_for, client_of, served, settings_for, wait_for
from tests.toy_avatar import NAME, toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811

TEXT = "never a dull word"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lines_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_every_answer_can_be_found_again(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    keys, file = tmp_path / "keys.txt", tmp_path / "provenance.jsonl"
    headers = {"X-API-Key": new_key(keys, "web", ("speak",))}
    settings = settings_for(toy_avatars, tmp_path, server={"host": "0.0.0.0"}, access={"keys_file": keys})
    sound = wav(1)
    with client_of(app_for(settings, toy_services)) as client:
        answers = [
            client.get("/generate", params={"text": TEXT, "format": "mp4"}, headers=headers),
            client.post("/generate-from-audio", files={"file": sound}, headers=headers),
            client.get("/generate", params={"text": TEXT, "cache": "true"}, headers=headers),
            client.get("/generate", params={"text": TEXT, "cache": "true"}, headers=headers),
        ]
        wait_for(lambda: len(lines_in(file)) == 4)
    assert [answer.status_code for answer in answers] == [200] * 4
    said = [TEXT.encode(), sound, TEXT.encode(), TEXT.encode()]
    for line, answer, heard in zip(lines_in(file), answers, said, strict=True):
        assert line["utterance"] == answer.headers["x-utterance-id"]
        assert (line["who"], line["avatar"], line["ended"]) == ("web", NAME, "whole")
        assert (line["output_sha256"], line["output_bytes"]) == (sha256(answer.content), len(answer.content))
        assert line["input_sha256"] == sha256(heard)
    assert [line["kind"] for line in lines_in(file)] == ["text", "sound", "text", "text"]
    assert "dull" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_off_on_loopback_and_a_setting(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    file = tmp_path / "provenance.jsonl"
    for wanted, count in (("auto", 0), ("on", 1)):
        settings = settings_for(toy_avatars, tmp_path, access={"provenance": wanted})
        with client_of(app_for(settings, toy_services)) as client:
            assert client.get("/generate", params={"text": TEXT}).status_code == 200
            wait_for(lambda: client.app.state.parts.animations.slots.used == 0)  # type: ignore[attr-defined]
        assert len(lines_in(file)) == count
    assert lines_in(file)[0]["who"] == "local"
    blocked = settings_for(toy_avatars, tmp_path, access={"provenance": "on", "provenance_file": file / "below"})
    with pytest.raises(ConfigError, match=r"AVATAR328_ACCESS__PROVENANCE_FILE is .* cannot be written"):
        app_for(blocked, toy_services)


def test_a_live_session_has_a_line_for_each_utterance(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    settings = settings_for(toy_avatars, tmp_path, access={"provenance": "on"})

    async def talk(address: str) -> None:
        async with await LiveClient.connect(address) as avatar:
            await avatar.speak(TEXT)
            await until(avatar, "finished")

    with served(app_for(settings, toy_services)) as address:
        asyncio.run(asyncio.wait_for(talk(address), 30))
        wait_for(lambda: lines_in(tmp_path / "provenance.jsonl"))
    (line,) = lines_in(tmp_path / "provenance.jsonl")
    assert (line["who"], line["kind"], line["input_sha256"]) == ("local", "text", sha256(TEXT.encode()))
    assert (line["ended"], line["output_bytes"] > 1000) == ("whole", True)


def test_how_an_answer_ended(tmp_path: Path) -> None:
    log = ProvenanceLog(tmp_path / "log", 1 << 20, 1)

    def pieces() -> Generator[bytes, None, None]:
        yield b"one"
        raise ValueError("burst")

    with pytest.raises(ValueError, match="burst"):
        list(log.watch(Asked("u-1", "local", "toy", "text"), pieces()))
    left = log.watch(Asked("u-2", "local", "toy", "text"), pieces())
    assert next(left) == b"one"
    left.close()
    assert [line["ended"] for line in lines_in(tmp_path / "log")] == ["failed", "left"]
    assert {line["output_sha256"] for line in lines_in(tmp_path / "log")} == {sha256(b"one")}


def test_files_are_kept_and_errors_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = ProvenanceLog(tmp_path / "log", 1000, 2)
    for number in range(20):
        log.write(Asked(f"u-{number}", "local", "toy", "text"), "00", 0, "whole")
    kept = [lines_in(tmp_path / name) for name in ("log.2", "log.1", "log")]
    names = [line["utterance"] for lines in kept for line in lines]
    assert names == [f"u-{number}" for number in range(20 - len(names), 20)]
    assert not (tmp_path / "log.3").exists()
    log.close()
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    with caplog.at_level(logging.ERROR):
        log.write(Asked("u-20", "local", "toy", "text"), "00", 0, "whole")
    assert "cannot be written" in caplog.text
