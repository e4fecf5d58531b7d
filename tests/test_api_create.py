"""Avatars made through the server: order, queue, cancel, restart, names, consent; and a photo that really speaks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from services.access.keys import new_key
from services.container import Services
from services.creation.commands import Programs
from services.creation.jobs import Job, JobStore, now
from services.creation.told import read_log
from tests.conftest import REPOSITORY
from tests.service_material import app_for, client_of, lines_of, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811
EVE = "Eve Example, 2026-11-20, tests: of all kinds"

# Says what training says, waits for permission, and keeps a checkpoint when it is asked to end.
PROGRAM = """
trap 'echo saved >> "{place}/{name}.saved"; exit 130' TERM
echo begun {name} >> {place}/order
echo "=== 1/3 prepare the recording  [{name}, film, cpu; 0:00:00 since the start]"
echo "face:  45%|####      | 450/1000 [00:10<01:12, 40.1it/s]"
echo "kept in {place}/some/where.txt"
while [ ! -e {place}/{name}.go ]; do sleep 0.02; done
[ ! -e {place}/{name}.fails ] || {{ echo "error: the mouth is hidden" >&2; exit 2; }}
echo "=== 2/3 fit the ears  [{name}, film, cpu; 0:00:00 since the start]"
echo ended {name} >> {place}/order
"""


class Place:
    """A folder with avatars, and permissions for what makes them."""

    def __init__(self, folder: Path, avatars_dir: Path) -> None:
        self.folder, self.avatars_dir = folder, avatars_dir

    def settings(self, **sections: Any) -> Any:
        return settings_for(self.avatars_dir, self.folder, **sections)

    def go(self, *names: str) -> None:
        for name in names:
            (self.folder / f"{name}.go").touch()

    @property
    def order(self) -> list[str]:
        path = self.folder / "order"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def place(toy_avatars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    avatars_dir = tmp_path / "avatars"
    shutil.copytree(toy_avatars, avatars_dir)

    def command(_: Programs, job: Job) -> list[str]:
        return ["bash", "-c", PROGRAM.format(place=tmp_path, name=job.name)]

    monkeypatch.setattr(Programs, "__call__", command)
    return Place(tmp_path, avatars_dir)


@pytest.fixture
def client(place: Place, toy_services: Services) -> Iterator[TestClient]:
    with client_of(app_for(place.settings(create={"queue": 2}), toy_services)) as client:
        yield client


def ask(client: TestClient, name: str, video: bytes | None = None, **fields: str) -> Any:
    files = {"image": b"a photo"} if video is None else {"video": video}
    return client.post("/avatars", data={"name": name, "consent": EVE} | fields, files=files)


def as_form(**fields: str) -> dict[str, tuple[None, str]]:
    """Multipart without a file."""
    return {name: (None, value) for name, value in fields.items()}


def state(client: TestClient, name: str) -> str:
    return client.get(f"/avatars/{name}/job").json()["state"]


def ended(client: TestClient, name: str) -> str:
    wait_for(lambda: state(client, name) not in ("queued", "running"))
    return state(client, name)


@pytest.fixture(scope="module")
def recording(presenter_video: Path) -> bytes:
    return presenter_video.read_bytes()


def test_one_at_a_time_in_order_and_photos_beside_recordings(
    client: TestClient, place: Place, recording: bytes
) -> None:
    answers = [ask(client, name, recording) for name in ("a", "b", "c")]
    assert [answer.status_code for answer in answers] == [202] * 3, answers[-1].text
    wait_for(lambda: state(client, "a") == "running")
    assert [client.get(f"/avatars/{name}/job").json()["position"] for name in "abc"] == [None, 0, 1]
    assert (place.folder / "dataset" / "a" / "a.video").read_bytes() == recording
    full = ask(client, "d", recording)
    assert (full.status_code, full.json()["type"]) == (503, "/problems/busy")
    assert not (place.folder / "dataset" / "d").exists()
    place.go("photo")
    assert ask(client, "photo").status_code == 202
    assert ended(client, "photo") == "done"
    assert state(client, "a") == "running"
    place.go("a", "b", "c")
    assert [ended(client, name) for name in "abc"] == ["done"] * 3
    assert [line for line in place.order if "photo" not in line] == [
        f"{word} {name}" for name in "abc" for word in ("begun", "ended")
    ]


def test_what_is_told_meanwhile(client: TestClient, place: Place, recording: bytes) -> None:
    ask(client, "ada", recording, preset="tiny")
    wait_for(lambda: client.get("/avatars/ada/job").json()["stage"])
    wait_for(lambda: len(client.get("/avatars/ada/job").json()["log"]) == 2)
    told = client.get("/avatars/ada/job").json()
    assert (told["kind"], told["preset"], told["state"]) == ("video", "tiny", "running")
    assert (told["stage"], told["stage_number"], told["stages"]) == ("prepare the recording", 1, 3)
    assert (told["progress"], told["eta_s"]) == (0.15, 72)
    assert told["log"][-1] == "kept in where.txt" and told["report"] is None
    assert client.get("/avatars/ada/job/report").status_code == 404
    (place.folder / "dataset" / "ada" / "report.html").write_text("<style>p{}</style><p>Good.")
    told = client.get("/avatars/ada/job").json()
    page = client.get(told["report"])
    assert "Good." in page.text and "sandbox" in page.headers["content-security-policy"]
    assert told["speaks"] is False
    assert told["preview"] is None and client.get("/avatars/ada/job/preview").status_code == 404
    pictures = place.folder / "checkpoint" / "ada" / "unet"
    pictures.mkdir(parents=True)
    for step, content in ((71, b"older"), (142, b"newer")):
        (pictures / f"preview_{step:06d}.jpg").write_bytes(content)
    told = client.get("/avatars/ada/job").json()
    (place.avatars_dir / "ada").mkdir()
    (place.avatars_dir / "ada" / "avatar.json").write_text("{}")
    assert client.get("/avatars/ada/job").json()["speaks"] is True
    assert told["preview"] == "/avatars/ada/job/preview?of=000142"
    assert client.get(told["preview"]).content == b"newer"
    place.go("ada")
    assert ended(client, "ada") == "done"
    assert client.get("/avatars/ada/job").json()["progress"] == 1


def test_cancel_keeps_the_checkpoint_and_the_same_request_resumes(
    client: TestClient, place: Place, recording: bytes
) -> None:
    ask(client, "ada", recording)
    ask(client, "ben", recording)
    wait_for(lambda: place.order == ["begun ada"])
    assert client.delete("/avatars/ben/job").json()["state"] == "cancelled"  # it had only waited
    wait_for(lambda: client.get("/avatars/ada/job").json()["log"])  # its trap is set
    assert client.delete("/avatars/ada/job").status_code == 202
    assert ended(client, "ada") == "cancelled"
    assert (place.folder / "ada.saved").read_text() == "saved\n"
    again = client.delete("/avatars/ada/job")
    assert (again.status_code, again.json()["type"]) == (409, "/problems/job-state")
    assert client.post("/avatars", data={"name": "ada"}, files={"none": b""}).status_code == 202
    place.go("ada")
    assert ended(client, "ada") == "done"
    assert place.order == ["begun ada", "begun ada", "ended ada"]
    resumed = client.post("/avatars", data={"name": "ada"}, files={"none": b""})
    assert (resumed.status_code, resumed.json()["type"]) == (409, "/problems/job-state")


def test_a_failure_says_why_and_a_photo_may_be_replaced(client: TestClient, place: Place) -> None:
    (place.folder / "eve.fails").touch()
    place.go("eve")
    ask(client, "eve")
    assert ended(client, "eve") == "failed"
    assert client.get("/avatars/eve/job").json()["problem"] == "the mouth is hidden"
    (place.folder / "eve.fails").unlink()
    assert ask(client, "eve").status_code == 202
    assert ended(client, "eve") == "done"


def test_jobs_survive_a_restart(place: Place, toy_services: Services, recording: bytes) -> None:
    with client_of(app_for(place.settings(), toy_services)) as client:
        ask(client, "ada", recording)
        ask(client, "ben", recording)
        wait_for(lambda: client.get("/avatars/ada/job").json()["log"])
    kept = json.loads((place.folder / "jobs" / "ada" / "job.json").read_text())
    assert kept["state"] == "interrupted" and (place.folder / "ada.saved").exists()
    place.go("ada", "ben")
    with client_of(app_for(place.settings(), toy_services)) as client:
        assert ended(client, "ben") == "done"  # it had waited, and was begun
        assert state(client, "ada") == "interrupted"
        client.post("/avatars", data={"name": "ada"}, files={"none": b""})
        assert ended(client, "ada") == "done"


def test_what_ran_when_a_server_was_killed_is_interrupted(place: Place, toy_services: Services) -> None:
    store = JobStore(place.folder / "jobs")
    store.reserve("ada")
    store.write(Job(name="ada", kind="video", consent=EVE, state="running", queued_at=now()))
    with client_of(app_for(place.settings(), toy_services)) as client:
        assert state(client, "ada") == "interrupted"
        with client_of(app_for(place.settings(), toy_services)) as second:  # has the same folder of jobs
            refused = ask(second, "eve")
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/creation-off")


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"name": "../evil"}, 422, "name-not-allowed"),
        ({"name": ".hidden"}, 422, "name-not-allowed"),
        ({"name": "toy"}, 409, "name-taken"),
        ({"consent": ""}, 422, "consent-not-readable"),
        ({"consent": "refused"}, 422, "consent-not-readable"),
        ({"consent": "Eve, yesterday, all"}, 422, "consent-not-readable"),
        ({"synthetic": "true"}, 422, "consent-not-readable"),
        ({"preset": "endless"}, 422, "invalid-request"),
        ({"of": "toy", "background": "blur"}, 422, "invalid-request"),  # and a photo as well
    ],
)
def test_bad_requests(client: TestClient, place: Place, fields: dict[str, str], status: int, kind: str) -> None:
    answer = ask(client, fields.pop("name", "eve"), None, **fields)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), answer.text
    assert place.order == [] and list((place.folder / "jobs").glob("[!.]*")) == []


@pytest.mark.parametrize(
    ("fields", "status", "kind"),
    [
        ({"of": "toy"}, 422, "invalid-request"),
        ({"background": "blur"}, 422, "invalid-request"),
        ({"of": "toy", "background": "forest"}, 422, "invalid-request"),
        ({"of": "nobody", "background": "blur"}, 404, "avatar-not-found"),
        ({"of": "../evil", "background": "blur"}, 422, "name-not-allowed"),
        ({"of": "toy", "background": "#112233"}, 409, "job-state"),  # a network draws it
    ],
)
def test_copies_that_cannot_be(
    client: TestClient, place: Place, fields: dict[str, str], status: int, kind: str
) -> None:
    answer = client.post("/avatars", files=as_form(name="copy", **fields))
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), answer.text
    assert place.order == [] and list((place.folder / "jobs").glob("[!.]*")) == []


def test_bad_recordings_and_unknown_jobs(client: TestClient, place: Place) -> None:
    answer = ask(client, "eve", b"no video")
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/upload-not-readable")
    assert not (place.folder / "dataset" / "eve").exists()
    for path, method in (
        ("/avatars/eve/job", "GET"),
        ("/avatars/eve/job", "DELETE"),
        ("/avatars/eve/job/report", "GET"),
    ):
        missing = client.request(method, path)
        assert (missing.status_code, missing.json()["type"]) == (404, "/problems/job-not-found")
    resumed = client.post("/avatars", data={"name": "eve"}, files={"none": b""})
    assert (resumed.status_code, resumed.json()["type"]) == (404, "/problems/job-not-found")
    both = client.post("/avatars", data={"name": "eve"}, files={"image": b"x", "video": b"x"})
    assert (both.status_code, both.json()["type"]) == (422, "/problems/invalid-request")


def test_removing_takes_everything_and_asks_for_the_name(client: TestClient, place: Place, recording: bytes) -> None:
    ask(client, "ada", recording)
    wait_for(lambda: state(client, "ada") == "running")
    assert client.delete("/avatars/ada?confirm=ada").json()["type"] == "/problems/job-state"
    place.go("ada")
    ended(client, "ada")
    for folder in ("avatars", "checkpoint"):
        (place.folder / folder / "ada").mkdir(parents=True)
    client.post("/generate", json={"text": "Hello.", "cache": True})
    kept = place.folder / "animations"
    assert len(list(kept.iterdir())) == 1
    for query in ("", "?confirm=bob"):
        refused = client.delete(f"/avatars/ada{query}")
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-request")
    assert client.delete("/avatars/ada?confirm=ada").status_code == 204
    left = [path for path in place.folder.rglob("*ada*") if path.suffix != ".go"]
    assert left == [] and list(kept.iterdir()) == []
    assert client.delete("/avatars/ada?confirm=ada").json()["type"] == "/problems/avatar-not-found"
    assert client.delete("/avatars/toy?confirm=toy").json()["type"] == "/problems/job-state"  # the default one


def test_only_keys_that_may_create_and_never_without_keys_where_others_come(
    place: Place, toy_services: Services
) -> None:
    file = place.folder / "keys.txt"
    speak, create = new_key(file, "web", ("speak",)), new_key(file, "studio", ("speak", "create"))
    place.go("eve")
    guarded = place.settings(server={"host": "0.0.0.0"}, access={"keys_file": file})
    with client_of(app_for(guarded, toy_services)) as client:
        client.headers["X-API-Key"] = speak
        for method, path in (
            ("POST", "/avatars"),
            ("DELETE", "/avatars/toy?confirm=toy"),
            ("DELETE", "/avatars/toy/job"),
        ):
            assert client.request(method, path).status_code == 403, path
        client.headers["X-API-Key"] = create
        assert ask(client, "eve").status_code == 202
        assert ended(client, "eve") == "done"
    public = place.settings(server={"allowed_hosts": "avatar.lan"}, access={"open_to_all": True})
    for settings in (public, place.settings(create={"enabled": False})):
        with client_of(app_for(settings, toy_services)) as client:
            told = client.get("/health").json()["creation"]
            assert told["enabled"] is False and told["reason"]
            for answer in (ask(client, "bob"), client.delete("/avatars/eve?confirm=eve")):
                assert (answer.status_code, answer.json()["type"]) == (403, "/problems/creation-off")


def test_uploads_are_limited_before_they_are_received(place: Place, toy_services: Services) -> None:
    with client_of(app_for(place.settings(limits={"upload_mb": 1}), toy_services)) as client:
        answer = client.post("/avatars", headers={"Content-Length": str(2 << 20)}, content=b"x")
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


def test_the_command_of_a_recording_goes_through_no_shell(tmp_path: Path) -> None:
    programs = Programs(JobStore(tmp_path), tmp_path / "a", tmp_path / "d", tmp_path / "c", "0")
    job = Job(
        name="ada",
        kind="video",
        consent="$(x); 'Ada', 2026-11-20, all",
        preset="tiny",
        queued_at=now(),
    )
    words = programs(job)
    assert words[-4:] == ["bash", str(REPOSITORY / "training_328.sh"), "ada", "0"]
    assert {"PRESET=tiny", "CONSENT=$(x); 'Ada', 2026-11-20, all", f"AVATAR328_DATASET_DIR={tmp_path / 'd'}"} <= set(
        words
    )
    assert programs.missing() == ""


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    told = read_log(tmp_path / "log.txt")
    assert (told.progress, told.lines, told.problem) == (0, (), "")


def test_a_photo_of_the_presenter_becomes_an_avatar_and_speaks(
    toy_avatars: Path, toy_services: Services, photo_file: Path, tmp_path: Path
) -> None:
    """With the real program, models and services."""
    from config import Models
    from services.container import build_services
    from tests.service_material import Humming

    avatars_dir = tmp_path / "avatars"
    shutil.copytree(toy_avatars, avatars_dir)
    services = build_services(
        Models(avatars_dir=avatars_dir, runtime="onnxruntime", device="cpu", threads=1), Humming()
    )
    with client_of(app_for(settings_for(avatars_dir, tmp_path), services)) as client:
        wish = {"name": "eve", "synthetic": "true"}
        assert client.post("/avatars", data=wish, files={"image": photo_file.read_bytes()}).status_code == 202
        wait_for(lambda: state(client, "eve") not in ("queued", "running"), 60)
        told = client.get("/avatars/eve/job").json()
        assert told["state"] == "done", told
        assert str(tmp_path) not in json.dumps(told) and os.sep + "home" not in json.dumps(told)
        listed = next(entry for entry in client.get("/avatars").json()["avatars"] if entry["name"] == "eve")
        assert (listed["status"], listed["kind"], listed["synthetic"]) == ("ok", "photo", True)
        said = lines_of(client.post("/generate", json={"text": "Hello there.", "avatar": "eve"}).content)
        assert said[0]["avatar"] == "eve" and said[-1]["type"] == "end" and said[-1]["frames"] == 12
        copied = client.post("/avatars", files=as_form(name="eve-2", of="eve", background="#204060"))
        assert (copied.status_code, copied.json()["kind"]) == (202, "copy"), copied.text
        wait_for(lambda: state(client, "eve-2") not in ("queued", "running"), 60)
        told = client.get("/avatars/eve-2/job").json()
        assert told["state"] == "done", told
        first, second = (client.get(f"/avatar?avatar={name}").content for name in ("eve", "eve-2"))
        assert first != second
        assert client.post("/generate", json={"text": "Hello.", "avatar": "eve-2"}).status_code == 200
        assert client.delete("/avatars/eve?confirm=eve").status_code == 204
        assert client.post("/generate", json={"text": "Hello.", "avatar": "eve"}).status_code == 404
