"""Captions drawn into pictures: two lines at most, below the face, when they are said; what cannot be drawn is told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from starlette.testclient import TestClient

from config import ConfigError
from services.container import Services
from services.errors import CaptionRejectedError
from services.streaming import burned
from services.streaming.burned import CaptionFonts
from services.streaming.caption_lines import LINE, MOST, in_lines, parts_of, units
from services.streaming.events import Caption, End, Event, Frame, Header
from tests.service_material import app_for, client_of, lines_of, settings_for
from tests.test_api_takes import kept, send
from tests.toy_avatar import SIZE, toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811
WIDTH, HEIGHT = 320, 400
LONG = "Peter Piper picked a peck of pickled peppers, while Betty bought a bit of better butter, and Tom took tea."
CHINESE = "今天天气很好，我们一起去公园散步，看看湖边的花，然后在树下喝一杯热茶，慢慢聊天，等太阳下山以后再回家吃晚饭。"


@pytest.mark.parametrize("text", [LONG, CHINESE, "short", "x" * 200, "word " * 60, "é" * 100])
def test_parts_have_two_lines_and_nothing_is_lost(text: str) -> None:
    parts = parts_of(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(units(part) <= MOST for part in parts)
    for part in parts:
        lines = in_lines(part)
        assert len(lines) <= 2
        assert max(map(units, lines)) <= LINE + 12, "the lines are of like length"


def test_they_are_cut_where_one_would_pause_and_wide_letters_count_twice() -> None:
    assert parts_of(LONG)[0] == "Peter Piper picked a peck of pickled peppers,"
    assert units("你好") == 4 and units("e\u0301") == 1
    assert parts_of(CHINESE)[0].endswith("，")


def said(*texts: tuple[int, str], frames: int) -> Generator[Event, None, None]:
    yield Header("u-1", "a", WIDTH, HEIGHT, 16000, 0, 1)
    for index in range(frames):
        for at, text in texts:
            if at == index:
                yield Caption(0, text)
        yield Frame(index, 0, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), np.zeros(640, np.float32))
    yield End(frames, 0, 1)


def drawn(*texts: tuple[int, str], frames: int = 4) -> list[np.ndarray]:
    events = list(burned.burned(said(*texts, frames=frames), CaptionFonts(None)))
    assert isinstance(events[0], Header) and isinstance(events[-1], End)
    return [event.frame_rgb_HWC for event in events if isinstance(event, Frame)]


def rows_of(picture_HWC: np.ndarray) -> np.ndarray:
    """Of the rows that were drawn in."""
    return np.flatnonzero((picture_HWC != 90).any((1, 2)))


def test_they_lie_at_the_lower_edge_while_they_are_said() -> None:
    pictures = drawn((1, "Hello."), (3, LONG))
    assert len(rows_of(pictures[0])) == 0, "nothing is said yet"
    one, two = rows_of(pictures[1]), rows_of(pictures[3])
    assert one.min() > 0.85 * HEIGHT and two.min() > 0.78 * HEIGHT
    assert len(two) > len(one)
    assert np.array_equal(pictures[1], pictures[2])
    assert pictures[3].max() > 240, "the letters are white"
    inked = np.flatnonzero((pictures[3] > 200).all(2).any(0))
    assert inked.min() >= 8 and inked.max() < WIDTH - 8, "nothing is cut off"


def test_a_long_sentence_is_shown_in_parts() -> None:
    pictures = drawn((0, LONG), frames=120)
    assert not np.array_equal(pictures[0], pictures[-1])
    changes = sum(not np.array_equal(a, b) for a, b in itertools.pairwise(pictures))
    assert changes == len(parts_of(LONG)) - 1


def test_letters_that_no_font_has_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burned, "_USUAL", ())
    with pytest.raises(CaptionRejectedError, match="no font of the server has 你, 好;"):
        CaptionFonts(None).check("Hello 你好")
    CaptionFonts(None).check("Grüße, Привет, Ελληνικά – “quoted”…")


def test_a_chosen_font_goes_first_and_has_to_be_there(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    bold = burned._SHIPPED.with_name("DejaVuSans-Bold.ttf")
    assert CaptionFonts(bold).font("Hello", 20).getname() == ("DejaVu Sans", "Bold")
    with pytest.raises(ConfigError, match=r"CAPTION_FONT is .*none.ttf"):
        app_for(settings_for(toy_avatars, tmp_path, server={"caption_font": tmp_path / "none.ttf"}), toy_services)


def test_arabic_needs_a_library_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import features

    monkeypatch.setattr(features, "check", lambda name: name != "raqm")
    with pytest.raises(CaptionRejectedError, match="libfribidi"):
        CaptionFonts(None).check("مرحبا")
    CaptionFonts(None).check("Hello")


# --- over HTTP ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    with client_of(app_for(settings_for(toy_avatars, work), toy_services)) as client:
        yield client


def changed(before: bytes, after: bytes, path: Path) -> list[bool]:
    """Whether the lower fifth of every picture differs."""
    films = []
    for movie in (before, after):
        path.write_bytes(movie)
        with av.open(str(path)) as file:
            films.append(
                [frame.to_ndarray(format="gray")[-SIZE // 5 :].astype(float) for frame in file.decode(video=0)]
            )
    return [bool(np.abs(a - b).max() > 60) for a, b in zip(*films, strict=True)]


def test_a_take_is_captioned_from_the_picture_that_is_told(client: TestClient, tmp_path: Path) -> None:
    facts, pictures, sound = kept(lines_of(client.get("/generate", params={"text": "one two three"}).content))
    plain = send(client, facts, b"".join(pictures), sound)
    told = send(client, facts | {"captions": [{"at": 6, "text": "Hello."}]}, b"".join(pictures), sound)
    assert told.status_code == 200, told.text
    captioned = changed(plain.content, told.content, tmp_path / "a.mp4")
    assert captioned == [False] * 6 + [True] * (len(captioned) - 6)


def test_a_text_is_captioned_on_request_and_kept_apart(client: TestClient, tmp_path: Path) -> None:
    wish = {"text": "one two three", "format": "mp4", "cache": "true"}
    plain = client.get("/generate", params=wish)
    captioned = client.get("/generate", params=wish | {"captions": "true"})
    assert captioned.headers["x-cache"] == "miss"
    assert all(changed(plain.content, captioned.content, tmp_path / "a.mp4"))
    assert client.get("/generate", params=wish | {"captions": "true"}).headers["x-cache"] == "hit"


def test_what_cannot_be_captioned_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burned, "_USUAL", ())
    lines = client.get("/generate", params={"text": "one", "captions": "true"})
    chinese = client.get("/generate", params={"text": "你好", "format": "mp4", "captions": "true"})
    recording = client.post(
        "/generate-from-audio", params={"format": "mp4", "captions": "true"}, files={"file": b"RIFF"}
    )
    take = {"avatar": "a", "width": 2, "height": 2, "sample_rate": 16000, "sizes": [1]}
    sent = send(client, json.dumps(take | {"captions": [{"at": 0, "text": "你"}]}), b"x", b"")
    for answer, says in ((lines, "format=mp4"), (chinese, "你"), (recording, "words of a recording"), (sent, "你")):
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/captions-not-drawn"), answer.text
        assert says in answer.json()["detail"]
