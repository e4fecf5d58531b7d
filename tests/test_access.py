"""A server that others can reach lets in whoever has a key, for what the key is for, and as much as it allows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import create_app
from config import ConfigError
from services.access.__main__ import main
from services.access.keys import KeyRing, new_key, read_keys, revoke_key
from services.access.quotas import Quotas
from services.container import Services
from services.errors import KeysError, QuotaError
from tests.service_material import app_for, client_of, lines_of, settings_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811


@dataclass
class Guarded:
    """A server with keys."""

    client: TestClient
    keys_file: Path
    speak: str
    operate: str

    def get(self, path: str, key: str = "", **headers: str) -> Any:
        return self.client.get(path, headers={"Authorization": f"Bearer {key}"} | headers if key else headers)


@pytest.fixture
def guarded(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> Iterator[Guarded]:
    file = tmp_path / "keys.txt"
    speak, operate = new_key(file, "web", ("speak",)), new_key(file, "ops", ("operate", "speak"))
    settings = settings_for(
        toy_avatars, tmp_path, server={"host": "0.0.0.0"}, access={"keys_file": file, "requests_per_minute": 40}
    )
    with client_of(app_for(settings, toy_services)) as client:
        yield Guarded(client, file, speak, operate)


def test_nothing_is_served_without_a_key_but_signs_of_life(guarded: Guarded) -> None:
    for path in ("/generate?text=a", "/avatars", "/health", "/metrics", "/openapi.json", "/debug/status", "/nowhere"):
        answer = guarded.get(path)
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/key-needed"), path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert guarded.get(path, "wrong").status_code == 401
    for path in ("/livez", "/readyz", "/static/style.css", "/login"):
        assert guarded.get(path).status_code == 200, path
    assert guarded.client.post("/generate", json={"text": "a"}).status_code == 401


def test_a_key_opens_what_it_is_for(guarded: Guarded) -> None:
    assert lines_of(guarded.get("/generate?text=a", guarded.speak).content)[-1]["type"] == "end"
    assert guarded.client.get("/health", headers={"X-API-Key": guarded.speak}).status_code == 200
    refused = guarded.get("/metrics", guarded.speak)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
    assert "the key web may not operate" in refused.json()["detail"]
    assert guarded.get("/metrics", guarded.operate).status_code == 200
    made = guarded.client.post("/preload", files={"image": b"x"}, headers={"X-API-Key": guarded.operate})
    assert made.status_code == 403 and "may not create" in made.json()["detail"]


def test_the_page_asks_for_a_key_and_keeps_it_from_scripts(guarded: Guarded) -> None:
    page = guarded.client.get("/", follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert guarded.client.post("/login", data={"key": "wrong"}).status_code == 401
    answer = guarded.client.post("/login", data={"key": guarded.speak}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert all(word in answer.headers["set-cookie"] for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert guarded.client.get("/").status_code == guarded.client.get("/avatars").status_code == 200


def test_keys_change_while_the_server_runs(guarded: Guarded) -> None:
    further = new_key(guarded.keys_file, "further", ("speak",))
    assert guarded.get("/avatars", further).status_code == 200
    revoke_key(guarded.keys_file, "web")
    assert guarded.get("/avatars", guarded.speak).status_code == 401
    guarded.keys_file.write_text("half a line\n")  # whoever edits it by hand does not open or close the server
    assert guarded.get("/avatars", further).status_code == 200


def test_a_key_that_asks_too_often_waits(guarded: Guarded) -> None:
    answers = [guarded.get("/avatars", guarded.speak) for _ in range(41)]
    assert {answer.status_code for answer in answers[:40]} == {200}
    last = answers[-1]
    assert (last.status_code, last.json()["type"]) == (429, "/problems/quota-used-up")
    assert last.headers["retry-after"] == "60"
    assert guarded.get("/avatars", guarded.operate).status_code == 200


def test_a_day_has_so_many_seconds_for_a_key(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    secret = new_key(file, "web", ("speak",))
    settings = settings_for(toy_avatars, tmp_path, access={"keys_file": file, "seconds_per_day": 1})
    with client_of(app_for(settings, toy_services)) as client:
        client.headers["X-API-Key"] = secret
        assert client.get("/generate?text=a+sentence+that+takes+its+time").status_code == 200
        used_up = client.get("/generate?text=a")
        assert (used_up.status_code, used_up.json()["type"]) == (429, "/problems/quota-used-up")
        assert client.get("/avatars").status_code == 200


def test_seconds_beyond_the_limit_are_counted_as_far_as_it_reaches() -> None:
    quotas = Quotas(0, 10)
    for _ in range(3):
        quotas.check_seconds("a")
        quotas.spend("a", 3.2)
    with pytest.raises(QuotaError, match="10 seconds of animation"):
        quotas.check_seconds("a")
    quotas.check_seconds("b")


@pytest.mark.parametrize("reach", [{"host": "0.0.0.0"}, {"allowed_hosts": "avatar.lan"}])
def test_a_server_for_others_does_not_start_without_keys(toy_avatars: Path, tmp_path: Path, reach: Any) -> None:
    with pytest.raises(ConfigError, match=r"has no keys: make one by python -m services\.access new NAME"):
        create_app(settings_for(toy_avatars, tmp_path, server=reach))
    with pytest.raises(KeysError, match=r"missing\.txt cannot be read"):
        create_app(settings_for(toy_avatars, tmp_path, server=reach, access={"keys_file": tmp_path / "missing.txt"}))
    assert create_app(settings_for(toy_avatars, tmp_path, server=reach, access={"open_to_all": True}))


def test_a_private_server_that_listens_elsewhere_serves_nobody(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    app = app_for(settings_for(toy_avatars, tmp_path), toy_services)
    with TestClient(app, base_url="http://192.0.2.7") as client:  # uvicorn api:app --host 0.0.0.0
        answer = client.get("/avatars")
    assert answer.status_code == 403 and "set up for its own machine" in answer.json()["detail"]


def test_the_command_makes_lists_and_revokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--file", str(tmp_path / "keys.txt")]
    assert main([*file, "new", "web", "--scopes", "speak", "create"]) == 0
    secret = capsys.readouterr().out.strip()
    ring = KeyRing(tmp_path / "keys.txt")
    found = ring.find(secret)
    assert found is not None and (found.name, found.scopes) == ("web", {"speak", "create"})
    assert secret not in (tmp_path / "keys.txt").read_text() and (tmp_path / "keys.txt").stat().st_mode & 0o77 == 0
    assert ring.find(secret + "x") is ring.find("") is ring.find("\udcff") is None
    assert main([*file, "list"]) == 0 and capsys.readouterr().out == "web: speak, create\n"
    assert main([*file, "new", "web"]) == 2 and "has a key 'web' already" in capsys.readouterr().err
    assert main([*file, "revoke", "web"]) == 0 and read_keys(tmp_path / "keys.txt") == ()
    assert main([*file, "revoke", "web"]) == 2 and "has no key 'web'" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["web speak", "web speak xyz", "web fly " + "0" * 64, "web speak " + "0" * 62])
def test_a_line_that_is_no_key_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys.txt").write_text(f"# keys\n\n{line}\n")
    with pytest.raises(KeysError, match=r"keys\.txt, line 3: "):
        read_keys(tmp_path / "keys.txt")


def test_a_clock_that_is_put_back_locks_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    quotas = Quotas(2, 10)
    for _ in range(2):
        quotas.ask("a")
    with pytest.raises(QuotaError):
        quotas.ask("a")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    quotas.ask("a")  # not after a day
    quotas.ask("a")
    with pytest.raises(QuotaError):
        quotas.ask("a")


def test_speech_does_not_mind_a_clock_that_is_put(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as client:
        plain = client.get("/generate?text=one+two+three")
        now, jumps = time.time, itertools.cycle((0, 86_400, -86_400))
        monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
        told, expected = (
            [line for line in lines_of(answer.content) if line["type"] != "header"]
            for answer in (client.get("/generate?text=one+two+three"), plain)
        )
        assert told == expected and told[-1]["type"] == "end"
