"""What is known about every frame, written beside the video as `ground_truth.npz`.

| field | axes | meaning |
| --- | --- | --- |
| `schema`, `fps`, `size_px`, `voice`, `seed` | | what was rendered |
| `visemes` | (T, 15) | activations that sum to 1; `viseme_names` |
| `face_units` | (T, U) | weights; `face_unit_names` |
| `mouth_open_mm`, `mouth_open_px` | (T,) | gap between the lips along the head's vertical; 0 when they touch |
| `mouth_width_mm`, `mouth_width_px` | (T,) | between the inner corners of the mouth |
| `keypoints_mm`, `keypoints_px` | (T, P, 3), (T, P, 2) | world (y up) and picture; `keypoint_names` |
| `head_pitch_yaw_roll_rad`, `head_shift_mm` | (T, 3) | turn and shift from the rest pose |
| `gaze_pitch_yaw_rad` | (T, 2) | in the head's frame |
| `blink` | (T,) | 0 open, 1 closed |
| `face_height_px` | (T,) | forehead to chin |
| `phones`, `phone_shapes`, `phone_start_s`, `phone_stop_s` | (I,) | intervals; `alphabet`; shapes parted by blanks |
| `sentences`, `sentence_start_s`, `sentence_stop_s` | (J,) | what is said |

Frame i shows the moment (i + 0.5) / fps. Pixel centres lie at whole numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from presenter.animation import Performance
from presenter.geometry import Float
from presenter.head import Person
from presenter.keypoints import INNER_LIP_POINTS, find_key_points
from presenter.lighting import Camera
from presenter.timeline import FPS, Timeline
from recipe.articulation.visemes import VISEMES, shapes_of_phone
from recipe.files import written_aside

SCHEMA = "avatar328/presenter_ground_truth/1"
_MM_PER_DM = 100.0


def ground_truth(person: Person, performance: Performance, timeline: Timeline, camera: Camera) -> dict[str, Any]:
    """All fields of the table above, except `voice` and `seed`."""
    points = find_key_points(person)
    traced = points.trace(performance.weights_TU, performance.head_T3, performance.shift_T3)
    pixels = camera.project(traced)
    up = np.stack([person.motions(head, np.zeros(3))[-1, :3, 1] for head in performance.head_T3])
    upper, lower = points.at(traced, "lip_inner_0"), points.at(traced, f"lip_inner_{INNER_LIP_POINTS // 2}")
    gap = np.maximum(((upper - lower) * up).sum(1), 0)
    corners = [f"lip_inner_{INNER_LIP_POINTS // 4}", f"lip_inner_{3 * INNER_LIP_POINTS // 4}"]
    left, right = (points.at(traced, name) for name in corners)
    phones = timeline.phones
    return {
        "schema": SCHEMA,
        "fps": FPS,
        "size_px": camera.size_px,
        "viseme_names": np.array(VISEMES),
        "visemes": _f32(performance.visemes_T15),
        "face_unit_names": np.array(person.unit_names),
        "face_units": _f32(performance.weights_TU),
        "mouth_open_mm": _f32(gap * _MM_PER_DM),
        "mouth_open_px": _f32(_distance(camera.project(upper), camera.project(upper - up * gap[:, None]))),
        "mouth_width_mm": _f32(_distance(left, right) * _MM_PER_DM),
        "mouth_width_px": _f32(_distance(camera.project(left), camera.project(right))),
        "keypoint_names": np.array(points.names),
        "keypoints_mm": _f32(traced * _MM_PER_DM),
        "keypoints_px": _f32(pixels),
        "head_pitch_yaw_roll_rad": _f32(performance.head_T3),
        "head_shift_mm": _f32(performance.shift_T3 * _MM_PER_DM),
        "gaze_pitch_yaw_rad": _f32(performance.gaze_T2),
        "blink": _f32(performance.blink_T),
        "face_height_px": _f32(_distance(points.at(pixels, "forehead"), points.at(pixels, "chin"))),
        "alphabet": timeline.alphabet,
        "phones": np.array([phone.name for phone in phones]),
        "phone_shapes": np.array([" ".join(shapes_of_phone(phone.name, timeline.alphabet)) for phone in phones]),
        "phone_start_s": np.array([phone.start_s for phone in phones]),
        "phone_stop_s": np.array([phone.stop_s for phone in phones]),
        "sentences": np.array([text for _, _, text in timeline.sentences]),
        "sentence_start_s": np.array([start for start, _, _ in timeline.sentences]),
        "sentence_stop_s": np.array([stop for _, stop, _ in timeline.sentences]),
    }


def _f32(values: Float) -> np.ndarray:
    return np.asarray(values, np.float32)


def _distance(a: Float, b: Float) -> Float:
    return np.asarray(np.linalg.norm(a - b, axis=-1))


def write_ground_truth(path: Path, fields: dict[str, Any]) -> None:
    """Write the fields; the file appears only when it is complete."""
    with written_aside(path) as part:
        np.savez_compressed(part, allow_pickle=False, **fields)
