"""Jump cuts: found where the picture and the head jump, and nowhere else."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.clips import find_clips
from data_prep.landmarks import FaceTracker

FRAMES = 150


def _affine(x: float, y: float, scale: float = 1.0) -> NDArray[np.float32]:
    """Frame px -> crop px for a face whose middle lies there."""
    size = 2.2 / scale
    return np.array([[size, 0, 164 - size * x], [0, size, 164 - size * y]], np.float32)


def _film(positions_xy: NDArray[np.float64], noise: float = 1.5, gain: NDArray[np.float64] | None = None):  # type: ignore[no-untyped-def]
    """A textured head that stands at those places in front of a textured wall."""
    rng = np.random.default_rng(3)
    wall = cv2.GaussianBlur(rng.uniform(40, 200, (360, 360)).astype(np.float32), (0, 0), 12) * 3 - 240
    head = cv2.GaussianBlur(rng.uniform(60, 220, (140, 110)).astype(np.float32), (0, 0), 8) * 2 - 80
    alpha = np.zeros((140, 110), np.float32)
    cv2.ellipse(alpha, (55, 70), (50, 64), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    thumbnails = []
    for i, (x, y) in enumerate(positions_xy):
        move = np.array([[1, 0, x - 55], [0, 1, y - 70]], np.float32)
        over = cv2.warpAffine(alpha, move, (360, 360))
        picture = wall * (1 - over) + cv2.warpAffine(head, move, (360, 360)) * over
        picture = picture * (1.0 if gain is None else gain[i]) + rng.normal(0, noise, picture.shape)
        small = cv2.resize(np.clip(picture, 0, 255).astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
        thumbnails.append(small.astype(np.uint8))
    jitter = rng.normal(0, 0.15, positions_xy.shape)
    affine = np.stack([_affine(x, y) for x, y in positions_xy + jitter])
    return np.stack(thumbnails), affine, np.ones(len(affine), bool)


def _still() -> NDArray[np.float64]:
    return np.full((FRAMES, 2), 180.0)


def test_a_jump_of_the_head_is_a_cut() -> None:
    positions = _still()
    positions[70:] += (6, 3)  # 15 crop px: a small jump, the same wall and light
    assert find_clips(*_film(positions)) == [(0, 70), (70, FRAMES)]


def test_a_jump_within_motion_is_a_cut() -> None:
    positions = _still()
    positions[:, 0] += 25 * np.sin(np.arange(FRAMES) / 8)
    positions[91:] += (-14, 12)
    assert find_clips(*_film(positions)) == [(0, 91), (91, FRAMES)]


def test_two_cuts_give_three_clips() -> None:
    positions = _still()
    positions[40:] += (12, 0)
    positions[100:] += (0, 15)
    assert find_clips(*_film(positions)) == [(0, 40), (40, 100), (100, FRAMES)]


def test_fast_turn_is_no_cut() -> None:
    positions = _still()
    positions[60:66, 0] += np.array([8, 24, 48, 72, 88, 96])  # the whole head's width within a quarter of a second
    positions[66:, 0] += 96
    assert find_clips(*_film(positions)) == [(0, FRAMES)]


def test_nodding_at_a_dropped_frame_is_no_cut() -> None:
    time = np.arange(FRAMES) + np.arange(FRAMES) // 5  # every sixth frame was dropped: 30 fps made 25
    positions = _still()
    positions[:, 1] += 20 * np.sin(time / 4)
    assert find_clips(*_film(positions)) == [(0, FRAMES)]


def test_a_slow_camera_is_no_cut() -> None:
    time = (np.arange(FRAMES) * 0.4).astype(int) / 0.4  # 10 new pictures per second
    positions = _still()
    positions[:, 0] += 30 * np.sin(time / 9)
    assert find_clips(*_film(positions, noise=0)) == [(0, FRAMES)]


def test_flicker_and_flash_are_no_cut() -> None:
    gain = np.where(np.arange(FRAMES) % 3 == 0, 0.85, 1.0)
    gain[80] = 1.6  # a flash
    assert find_clips(*_film(_still(), gain=gain)) == [(0, FRAMES)]


def test_slow_change_of_light_is_no_cut() -> None:
    gain = np.linspace(0.5, 1.2, FRAMES)
    assert find_clips(*_film(_still(), gain=gain)) == [(0, FRAMES)]


def test_another_shot_is_a_cut_even_without_a_face() -> None:
    thumbnails, affine, valid = _film(_still())
    thumbnails[75:] = thumbnails[75:, ::-1, ::-1]
    valid[70:80] = False
    assert find_clips(thumbnails, affine, valid) == [(0, 75), (75, FRAMES)]


def test_lost_face_is_no_cut() -> None:
    thumbnails, affine, valid = _film(_still())
    valid[50:60] = False
    affine[50:60] = 0
    assert find_clips(thumbnails, affine, valid) == [(0, FRAMES)]


def test_nothing_and_one_frame() -> None:
    thumbnails, affine, valid = _film(_still()[:1])
    assert find_clips(thumbnails, affine, valid) == [(0, 1)]
    assert find_clips(thumbnails[:0], affine[:0], valid[:0]) == []


def _track(video: Path, most_frames: int = 1000):  # type: ignore[no-untyped-def]
    """Thumbnails and a rough face position from landmarks, at 25 fps."""
    tracker = FaceTracker()
    thumbnails, affine, valid = [], [], []
    with av.open(str(video)) as container, contextlib.closing(tracker):
        stream = container.streams.video[0]
        due = 0.0
        for frame in container.decode(stream):
            while frame.time is not None and frame.time >= due - 0.02:  # nearest picture for every 40 ms
                due += 0.04
                height = 512
                width = round(frame.width * height / frame.height)
                filmed = frame.to_ndarray(format="rgb24")
                picture = np.asarray(cv2.resize(filmed, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
                grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
                thumbnails.append(cv2.resize(grey, (64 * width // height, 64), interpolation=cv2.INTER_AREA))
                found = tracker.track(picture)
                valid.append(found is not None)
                affine.append(_from_eyes(np.zeros((0, 2)) if found is None else found[[33, 263, 168]]))
            if len(valid) >= most_frames:
                break
    return np.stack(thumbnails), np.stack(affine), np.array(valid)


def _from_eyes(points_xy: NDArray[np.floating]) -> NDArray[np.float32]:
    if not len(points_xy):
        return np.zeros((2, 3), np.float32)
    eyes = points_xy[1] - points_xy[0]
    turn = np.array([[eyes[0], eyes[1]], [-eyes[1], eyes[0]]]) * 150 / (eyes @ eyes)
    return np.column_stack([turn, np.array([164, 70]) - turn @ points_xy[2]]).astype(np.float32)


def test_presenter_has_no_cut(presenter_video: Path) -> None:
    thumbnails, affine, valid = _track(presenter_video, 300)
    assert valid.all()
    assert find_clips(thumbnails, affine, valid) == [(0, len(valid))]


def test_real_jump_cut_is_found_to_the_frame(shared_media: Path) -> None:
    thumbnails, affine, valid = _track(shared_media / "LatentSync_demo3_video.mp4")
    assert find_clips(thumbnails, affine, valid) == [(0, 226), (226, len(valid))]
    # A second cut, made by leaving out two seconds, is found as well.
    kept = np.r_[0:350, 400 : len(valid)]
    clips = find_clips(thumbnails[kept], affine[kept], valid[kept])
    assert clips == list(itertools.pairwise([0, 226, 350, len(kept)]))


def test_a_long_recording_is_cut_like_its_parts() -> None:
    before, affine_before, _ = _film(_still()[:50])
    behind, affine_behind, _ = _film(np.add(_still()[:50], (9, 4)))
    frame = np.arange(1200)  # worked on in blocks of 500
    for cut in (499, 500, 501, 1003):
        thumbnails = np.where((frame < cut)[:, None, None], before[frame % 50], behind[frame % 50])
        affine = np.where((frame < cut)[:, None, None], affine_before[frame % 50], affine_behind[frame % 50])
        assert find_clips(thumbnails, affine, np.ones(1200, bool)) == [(0, cut), (cut, 1200)]
