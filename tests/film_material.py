"""A film of the presenter as preparation would leave it, and a made-up face whose every movement is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.alignment import face_affines, person_template
from data_prep.dataset_328 import SCHEMA, VERSION
from data_prep.face_mesh import FaceMesh
from data_prep.video import FrameWriter, iter_rgb
from recipe.crop import crop_face
from recipe.film.points import KEPT, LOWER_GAP, MOVING, POSED, STEADY, UPPER_GAP, places_of
from recipe.mouth import LIPS, mouth_opening
from recipe.recipe_328 import INNER_PX, SAMPLES_PER_FRAME, recipe
from recipe.sound import load_audio, write_wav
from tests.metrics_material import DATA

NAME: Final = "ann"
FRAMES: Final = 250
SPLITS: Final = {"train": [(0, 170)], "val": [(178, 206)], "test": [(214, 250)]}
_UPPER = [place for place, landmark in enumerate(KEPT) if landmark not in MOVING]
_LIPS, _MOVING = places_of(LIPS), places_of(MOVING)


def write_film_dataset(folder: Path) -> Path:
    """Write what preparation would of the presenter's first ten seconds, with her landmarks.

    The affines are those of every single frame, and the blur is constant; nothing here depends on either.
    """
    folder.mkdir(parents=True)
    with FrameWriter(folder / "frames.mp4", 512, 512) as writer:
        for picture in islice(iter_rgb(DATA / "presenter.mp4"), FRAMES):
            writer.write(picture)
    frames, mesh = list(iter_rgb(folder / "frames.mp4")), FaceMesh()
    found = [mesh.process(frame) for frame in frames]
    landmarks_TK2 = np.stack([points for points in found if points is not None]).astype(np.float32)
    opening_T, valid_T = mouth_opening(landmarks_TK2), np.ones(FRAMES, bool)
    affine_T23 = face_affines(landmarks_TK2, valid_T, person_template(landmarks_TK2, opening_T)).astype(np.float32)
    crops = [crop_face(frame, affine) for frame, affine in zip(frames, affine_T23, strict=True)]
    np.save(folder / "crops.npy", np.stack(crops))
    np.savez(
        folder / "track.npz", affine_T23=affine_T23, landmarks_TK2=landmarks_TK2, valid_T=valid_T,
        opening_T=opening_T.astype(np.float32), blur_T=np.ones(FRAMES, "f4"), pose_T3=np.zeros((FRAMES, 3), "f4"),
        box_T4=np.zeros((FRAMES, 4), "f4"),
    )  # fmt: skip
    write_wav(folder / "audio.wav", load_audio(DATA / "presenter.mp4")[: FRAMES * SAMPLES_PER_FRAME])
    (folder / "report.html").write_text("")
    manifest = {
        "schema": SCHEMA, "version": VERSION, "name": folder.name, "recipe": recipe(), "frames": FRAMES, "width": 512,
        "height": 512, "clips": [(0, FRAMES)], "splits": SPLITS, "av_offset": {"frames": 0, "removed": False},
        "source": {"sha256": "ab" * 32, "width": 512, "height": 512},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@dataclass(frozen=True)
class MadeUp:
    """Landmarks and what they were made of.

    Attributes:
        points_TK2: what a landmarker would find, px of the inner square.
        lips_TZ: how far along its movements the mouth is.
        canonical_TK2: the same without size, turn and place.
    """

    points_TK2: NDArray[np.float64]
    lips_TZ: NDArray[np.float64]
    canonical_TK2: NDArray[np.float64]


def made_up_face(frames: int = 600, seed: int = 0, echo_px: float = 0.0, noise_px: float = 0.0) -> MadeUp:
    """A face that turns slowly and speaks quickly.

    Args:
        echo_px: by how much the upper landmarks go along with the first movement of the mouth.
        noise_px: of the tracking.
    """
    rng = np.random.default_rng(seed)
    mean_K2 = np.stack([rng.uniform(60, 260, len(KEPT)), rng.uniform(30, 180, len(KEPT))], axis=1)
    mean_K2[_MOVING, 1] = rng.uniform(190, 300, len(MOVING))
    around = np.linspace(0, 2 * np.pi, len(LIPS), endpoint=False)
    mean_K2[_LIPS] = np.stack([160 + 45 * np.cos(around), 220 + 14 * np.sin(around)], axis=1)
    for n, (above, below) in enumerate(zip(places_of(UPPER_GAP), places_of(LOWER_GAP), strict=True)):
        mean_K2[[above, below]] = [[140 + 20 * n, 215], [140 + 20 * n, 225]]
    ways = _ways_of_the_mouth(rng)
    t = np.arange(frames)
    turns = _ways_of_the_head(mean_K2)
    turned_TC = np.stack([np.sin(t / (19 + 9 * c) + c) for c in range(len(turns))], axis=1)
    kernel = np.pad(np.hanning(7), 22) / np.hanning(7).sum() - 1 / 51  # syllables; heads are slower
    quick = np.stack([np.convolve(rng.normal(0, 1, frames + 50), kernel, "valid") for _ in ways], axis=1)
    lips_TZ = quick / quick.std(0) * [6, 3, 2]
    canonical = mean_K2 + np.tensordot(turned_TC, turns, 1) + np.tensordot(lips_TZ, ways, 1)
    heard_U2 = _without_similarity(rng.normal(0, 1, (len(_UPPER), 2)), mean_K2)
    canonical[:, _UPPER] += echo_px * lips_TZ[:, 0, None, None] / 6 * heard_U2
    canonical += noise_px * rng.normal(0, 1, canonical.shape)
    angle, size = 0.05 * np.sin(t / 29), 1 + 0.03 * np.sin(t / 43)
    middle = np.array([INNER_PX / 2, INNER_PX / 2])
    turn = size[:, None, None] * np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)], axis=1
    )
    shift = np.stack([3 * np.sin(t / 23), 2 * np.cos(t / 31)], axis=1)
    points = np.einsum("tij,tkj->tki", turn, canonical - middle) + middle + shift[:, None]
    return MadeUp(points, lips_TZ, canonical)


def _without_similarity(heard_U2: NDArray[np.float64], mean_K2: NDArray[np.float64]) -> NDArray[np.float64]:
    """An echo that moves the face neither to and fro nor round: such a one cannot be told from the head's motion."""
    steady, upper = places_of(STEADY), _UPPER
    within = [_UPPER.index(place) for place in steady]
    x, y = (mean_K2 - mean_K2[steady].mean(0)).T
    one, nothing = np.ones_like(x), np.zeros_like(x)
    ways = np.stack([np.stack(way, axis=1) for way in ((one, nothing), (nothing, one), (x, y), (-y, x))])
    share = np.linalg.lstsq(ways[:, steady].reshape(4, -1).T, heard_U2[within].ravel(), rcond=None)[0]
    return np.asarray(heard_U2 - np.tensordot(share, ways[:, upper], 1))


def _ways_of_the_head(mean_K2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turning, nodding and what a camera near by adds: smooth in the place, px, (6, K, 2)."""
    x, y = ((mean_K2 - [160, 160]) / 110).T
    nothing = np.zeros_like(x)
    fields = [(1 - x**2, nothing), (nothing, 1 - x**2 - y**2), (x * y, nothing), (nothing, x * y), (x**3, nothing),
              (nothing, y**3)]  # fmt: skip
    sizes = np.array([6, 4, 3, 2, 2, 2])
    return np.stack([size * np.stack(field, axis=1) for size, field in zip(sizes, fields, strict=True)])


def _ways_of_the_mouth(rng: np.random.Generator) -> NDArray[np.float64]:
    """Three movements, px per unit: the jaw drops, the corners go apart, something askew; (3, K, 2)."""
    ways = np.zeros((3, len(KEPT), 2))
    lower = [k for k in MOVING if k not in UPPER_GAP and k not in POSED]
    ways[0, places_of(tuple(lower)), 1] = rng.uniform(0.3, 1, len(lower))
    ways[0, places_of(LOWER_GAP), 1] = 1
    ways[1, _LIPS, 0] = np.cos(np.linspace(0, 2 * np.pi, len(LIPS), endpoint=False))
    ways[2, _MOVING] = rng.normal(0, 0.5, (len(MOVING), 2))
    ways[:, places_of((*STEADY, *POSED))] = 0  # these tell where the head is
    return ways


def grey(picture_HWC: NDArray[Any]) -> NDArray[np.float32]:
    """Lightness, for differences."""
    return np.asarray(cv2.cvtColor(picture_HWC[..., :3].astype(np.uint8), cv2.COLOR_RGB2GRAY), np.float32)
