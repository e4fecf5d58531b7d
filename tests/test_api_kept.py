"""What a server keeps on disk: animations that were asked for with cache=true, and what debug mode saves."""

from __future__ import annotations

import base64
import wave
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from recipe.recipe_328 import SAMPLE_RATE_HZ
from services.container import Services
from services.streaming.animation_cache import AnimationCache
from tests.service_material import (
    Gated,
    Humming,
    app_for,
    client_of,
    http,  # noqa: F401
    lines_of,
    of_type,
    settings_for,
    sound_of,
)
from tests.toy_avatar import FRAMES, NAME, SIZE, build_toy_avatar, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


# --- cache ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["ndjson", "mp4"])
def test_a_kept_animation_is_answered_without_drawing(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, form: str
) -> None:
    drawn: list[int] = []
    models = Gated(toy_services.models.open(NAME), lambda: drawn.append(1))
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, models=models)) as client:
        wish = {"text": "one two", "cache": "true", "format": form}
        made, kept = client.get("/generate", params=wish), client.get("/generate", params=wish)
        assert (made.headers["x-cache"], kept.headers["x-cache"]) == ("miss", "hit")
        assert made.content == kept.content
        assert made.headers["x-utterance-id"] == kept.headers["x-utterance-id"]
        assert kept.headers["content-type"] == made.headers["content-type"]
        assert len(drawn) == 12
        other = client.get("/generate", params={**wish, "start_frame": 1})
        assert other.headers["x-cache"] == "miss"
        assert "x-cache" not in client.get("/generate", params={"text": "one two", "format": form}).headers


def test_kept_animations_stay_within_their_budget(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    settings = settings_for(toy_avatars, tmp_path, server={"cache_mb": 1})
    kept = tmp_path / "animations"
    with client_of(app_for(settings, toy_services)) as client:
        for number in range(4):
            words = " ".join(["word"] * (3 + number))
            client.get("/generate", params={"text": words, "cache": "true"})
        sizes = [path.stat().st_size for path in kept.iterdir()]
        assert 1 <= len(sizes) < 4
        assert sum(sizes) <= 1 << 20
        last = client.get("/generate", params={"text": words, "cache": "true"})
        assert last.headers["x-cache"] == "hit"
        client.get("/generate", params={"text": " ".join(["word"] * 40), "cache": "true"})  # larger than all of it
        assert sum(path.stat().st_size for path in kept.iterdir()) <= 1 << 20
        assert [path.name for path in kept.iterdir() if path.suffix == ".part"] == []


def test_what_the_disk_does_at_the_end_costs_no_animation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = AnimationCache(tmp_path, 1000)
    (tmp_path / "notes.txt").write_bytes(b"x" * 5000)  # somebody's: the folder was chosen badly
    (tmp_path / "folder").mkdir()
    (tmp_path / f".{'b' * 50}.{'0' * 16}.part").write_bytes(b"of a process that was killed")
    assert b"".join(cache.keep("a" * 64, made(b"one", b"two"), lambda: True)) == b"onetwo"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a" * 64, "folder", "notes.txt"]
    assert b"".join(cache.keep("c" * 64, made(b"three"), lambda: False)) == b"three"
    assert cache.find("c" * 64) is None

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert b"".join(cache.keep("d" * 64, made(b"four"), lambda: True)) == b"four"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a" * 64, "folder", "notes.txt"]


def made(*pieces: bytes) -> Generator[bytes, None, None]:
    yield from pieces


def test_debug_mode_touches_nothing_but_utterances(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    mine = tmp_path / "debug" / "audio" / "my music.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(bytes(2 << 20))
    settings = settings_for(toy_avatars, tmp_path, debug={"enabled": True, "quota_mb": 1})
    with client_of(app_for(settings, toy_services)) as client:
        name = client.get("/generate", params={"text": "one"}).headers["x-utterance-id"]
    assert mine.stat().st_size == 2 << 20
    assert (tmp_path / "debug" / "audio" / f"{name}.wav").is_file()


def test_a_failed_animation_is_not_kept(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    speech = Humming()
    speech.fail_after_sentences = 1
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, tts=speech)) as client:
        wish = {"text": "one. two", "cache": "true"}
        assert lines_of(client.get("/generate", params=wish).content)[-1]["type"] == "error"
        assert list((tmp_path / "animations").iterdir()) == []
        speech.fail_after_sentences = None
        assert lines_of(client.get("/generate", params=wish).content)[-1]["type"] == "end"


def test_without_a_cache_nothing_is_kept(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    settings = settings_for(toy_avatars, tmp_path, server={"cache_mb": 0})
    with client_of(app_for(settings, toy_services)) as client:
        for _ in range(2):
            assert client.get("/generate", params={"text": "one", "cache": "true"}).headers["x-cache"] == "miss"
    assert not (tmp_path / "animations").exists()


# --- debug ----------------------------------------------------------------------------------------
def test_debug_mode_saves_every_frame_and_the_sound(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as client:
        off = {"enabled": False, "save_frames": True, "save_audio": True, "used_bytes": 0, "quota_bytes": 1 << 30}
        off |= {"frames_dir": "debug/frames", "audio_dir": "debug/audio"}
        assert client.get("/debug/status").json() == off
        client.get("/generate", params={"text": "not saved"})
        assert not (tmp_path / "debug").exists()
        wish = {"enabled": True, "save_frames": True, "save_audio": True}
        assert client.post("/debug/config", json=wish).json()["enabled"] is True
        answer = client.get("/generate", params={"text": "one two"})
        messages = lines_of(answer.content)
        name = answer.headers["x-utterance-id"]
        saved = sorted((tmp_path / "debug" / "frames" / name).iterdir())
        assert [path.name for path in saved] == [f"{i:05d}.jpg" for i in range(12)]
        sent = [base64.b64decode(m["image"]) for m in of_type(messages, "frame")]
        assert [path.read_bytes() for path in saved] == sent
        with wave.open(str(tmp_path / "debug" / "audio" / f"{name}.wav")) as file:
            assert file.getframerate() == messages[0]["sample_rate"]
            samples_S = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        np.testing.assert_array_equal(samples_S, sound_of(messages))
        assert client.get("/debug/status").json()["used_bytes"] > sum(map(len, sent))
        assert client.post("/debug/config", json={"save_frames": False}).json()["save_audio"] is True
        upload = client.post("/generate-from-audio", files={"file": wav_upload(tmp_path)})
        assert (tmp_path / "debug" / "audio" / f"{upload.headers['x-utterance-id']}.wav").is_file()
        assert not (tmp_path / "debug" / "frames" / upload.headers["x-utterance-id"]).exists()


def wav_upload(folder: Path) -> bytes:
    path = folder / "upload.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.full(6400, 1000, "<i2").tobytes())
    return path.read_bytes()


def test_debug_mode_keeps_its_quota_and_drops_the_oldest(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    settings = settings_for(toy_avatars, tmp_path, debug={"enabled": True, "quota_mb": 1})
    with client_of(app_for(settings, toy_services)) as client:
        made = [client.get("/generate", params={"text": "a b c d e"}) for _ in range(5)]
        names = [answer.headers["x-utterance-id"] for answer in made]
        saved = {path.name for path in (tmp_path / "debug" / "frames").iterdir()}
        assert 1 <= len(saved) < 5
        assert saved == set(names[-len(saved) :])
        assert client.get("/debug/status").json()["used_bytes"] <= 1 << 20
        long = client.get("/generate", params={"text": " ".join(["word"] * 40)})  # more than the quota by itself
        assert lines_of(long.content)[-1]["type"] == "end"
        assert client.get("/debug/status").json()["used_bytes"] <= 1 << 20


def test_debug_mode_on_a_full_disk_costs_no_speech(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    (tmp_path / "debug").write_text("a file where the folder should be")
    settings = settings_for(toy_avatars, tmp_path, debug={"enabled": True}, server={"cache_dir": tmp_path / "debug"})
    with client_of(app_for(settings, toy_services)) as client:
        answer = client.get("/generate", params={"text": "one", "cache": "true"})
        assert lines_of(answer.content)[-1]["type"] == "end"
