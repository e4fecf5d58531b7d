"""The walk through the template never jumps, and frames come out as they are in the file, in any order."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.colour import decode_rgb
from recipe.errors import BrokenAvatarError
from services.avatars.template import TemplateVideo, TemplateWalk, turning_frames
from services.errors import TemplateRangeError
from tests.toy_avatar import write_template

FRAMES, WIDTH, HEIGHT = 60, 96, 64

motions = st.lists(st.floats(0, 20, width=32), min_size=1, max_size=200).map(lambda v: np.array(v, np.float32))


@given(motion_T=motions, data=st.data())
@settings(deadline=None)
def test_the_walk_moves_to_a_neighbour_or_stands(motion_T: np.ndarray, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(motion_T) - 1))
    walk = TemplateWalk.start(motion_T, start, data.draw(st.sampled_from([1, -1])))
    shown = walk.take(500)
    assert shown[0] == start
    assert min(shown) >= 0
    assert max(shown) < len(motion_T)
    low, high = turning_frames(motion_T)
    assert set(np.abs(np.diff(shown)).tolist()) <= ({1} if low < high else {0})


@given(motion_T=motions, cuts=st.lists(st.integers(1, 40), max_size=20))
@settings(deadline=None)
def test_the_walk_does_not_depend_on_how_it_is_taken(motion_T: np.ndarray, cuts: list[int]) -> None:
    walk = TemplateWalk.start(motion_T)
    pieces = [index for count in cuts for index in walk.take(count)]
    assert pieces == TemplateWalk.start(motion_T).take(sum(cuts))


def test_the_walk_turns_where_the_head_is_calm() -> None:
    motion_T = np.full(500, 3.0, np.float32)
    motion_T[30:33] = motion_T[470:473] = 0.1
    shown = TemplateWalk.start(motion_T).take(2000)
    turns = [shown[i] for i in range(1, 1999) if shown[i - 1] == shown[i + 1]]
    assert turns == [471, 31, 471, 31]


def test_a_walk_outside_the_turning_frames_finds_its_way_back() -> None:
    motion_T = np.full(500, 3.0, np.float32)
    motion_T[30:33] = motion_T[470:473] = 0.1
    assert TemplateWalk.start(motion_T, 499).take(3) == [499, 498, 497]
    assert TemplateWalk.start(motion_T, 0, direction=-1).take(3) == [0, 1, 2]


def test_a_start_outside_the_template_is_refused() -> None:
    motion_T = np.ones(60, np.float32)
    for start in (-1, 60):
        with pytest.raises(TemplateRangeError, match="choose 0 to 59"):
            TemplateWalk.start(motion_T, start)


@pytest.fixture(scope="module")
def template_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "frames.mp4"
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    pictures = [np.stack([x + 2 * i, y + i, x + y], axis=-1).astype(np.uint8) for i in range(FRAMES)]
    write_template(path, pictures)
    return path


@pytest.fixture(scope="module")
def decoded(template_path: Path) -> list[np.ndarray]:
    with av.open(str(template_path)) as container:
        return [decode_rgb(frame) for frame in container.decode(video=0)]


def _open(path: Path, cache_bytes: int, frames: int = FRAMES) -> TemplateVideo:
    return TemplateVideo(path, frames, WIDTH, HEIGHT, cache_bytes)


@pytest.mark.parametrize("cache_bytes", [0, 10 * WIDTH * HEIGHT * 3, 1 << 30])
def test_frames_in_any_order_are_the_files_own(
    template_path: Path, decoded: list[np.ndarray], cache_bytes: int
) -> None:
    template = _open(template_path, cache_bytes)
    order = [0, 59, 58, 57, 24, 25, 26, 3, *np.random.default_rng(0).integers(0, FRAMES, 40).tolist(), 59, 0]
    for index in order:
        np.testing.assert_array_equal(template.frame(index), decoded[index])


def test_a_frame_may_be_drawn_on(template_path: Path, decoded: list[np.ndarray]) -> None:
    template = _open(template_path, 1 << 30)
    template.frame(7)[:] = 0
    np.testing.assert_array_equal(template.frame(7), decoded[7])


def _decoded_groups(template: TemplateVideo) -> list[int]:
    """Grows with every group that is decoded."""
    groups: list[int] = []
    decode_group = template._decode_group

    def counting(group: int) -> list[av.VideoFrame]:
        groups.append(group)
        return decode_group(group)

    template._decode_group = counting  # type: ignore[method-assign]
    return groups


def test_walking_to_and_fro_decodes_each_group_once_per_pass(template_path: Path) -> None:
    """Backwards must not decode from the key frame again for every single frame."""
    template = _open(template_path, 25 * WIDTH * HEIGHT * 3)
    groups = _decoded_groups(template)
    for index in [*range(60), *range(58, -1, -1)]:
        template.frame(index)
    assert groups == [0, 1, 2, 1, 0]


def test_sessions_at_different_places_do_not_drop_each_others_group(template_path: Path) -> None:
    """Two groups of 25 pictures, each half as large as RGB, and room for four pictures in RGB."""
    template = _open(template_path, 29 * WIDTH * HEIGHT * 3)
    groups = _decoded_groups(template)
    for step in range(25):
        template.frame(step)
        template.frame(49 - step)
    assert groups == [0, 1]


def test_decoded_pictures_stay_within_the_budget(template_path: Path) -> None:
    picture_bytes = WIDTH * HEIGHT * 3
    template = _open(template_path, 20 * picture_bytes)
    most = 0
    tracemalloc.start()
    for index in [*range(60)] * 4:
        template.frame(index)
        most = max(most, template._kept.used_bytes)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20 * picture_bytes  # RGB; what the decoder gave is not traced
    assert 15 * picture_bytes < most <= 20 * picture_bytes


def test_a_video_of_another_length_is_refused(template_path: Path) -> None:
    with pytest.raises(BrokenAvatarError, match=r"holds 60 frames of 96x64 px, avatar\.json says 61"):
        _open(template_path, 0, frames=61)


def test_a_video_with_b_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"bf": "3", "b-adapt": "0", "g": "25"}
        for i in range(30):
            picture = np.full((HEIGHT, WIDTH, 3), 4 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(BrokenAvatarError, match="B-frames"):
        _open(path, 0, frames=30)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames.mp4"
    path.write_bytes(b"not a video" * 100)
    with pytest.raises(BrokenAvatarError, match="cannot be read as a video"):
        _open(path, 0)


def test_a_damaged_picture_is_an_error_not_another_picture(template_path: Path, tmp_path: Path) -> None:
    with av.open(str(template_path)) as container:
        packet = next(p for i, p in enumerate(container.demux(video=0)) if i == 25)
        position, size = packet.pos, packet.size
    damaged = bytearray(template_path.read_bytes())
    damaged[position : position + size] = b"\xff" * size
    path = tmp_path / "frames.mp4"
    path.write_bytes(damaged)
    template = _open(path, 0)
    with pytest.raises(BrokenAvatarError, match="frame"):
        template.frame(30)
