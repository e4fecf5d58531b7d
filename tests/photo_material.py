"""Photos of the presenter, an avatar of one of them, and what their tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.photo import PreparedPhoto, Stopwatch, prepare_photo
from data_prep.photo_avatar import PhotoRequest
from data_prep.photo_evidence import PhotoEvidence, measure_photo
from data_prep.still_landmarks import StillLandmarks, still_landmarks
from recipe.warp.units import mouth_units

AA = mouth_units({"jawOpen": 0.46, "mouthLowerDown": 0.30, "mouthUpperUp": 0.14})
Picture = np.ndarray


def request(photo: Path, avatars_dir: Path, **changes: Any) -> PhotoRequest:
    return PhotoRequest(
        **{"name": "eve", "size_px": 512, "synthetic": True, **changes}, photo=photo, avatars_dir=avatars_dir
    )


def found_in(picture: Picture) -> StillLandmarks:
    found = still_landmarks(picture, FaceDetector().find(picture)[0], FaceMesh())
    assert found is not None
    return found


def written(path: Path, picture: Picture, **options: Any) -> Path:
    Image.fromarray(picture).save(path, **options)
    return path


def prepared(path: Path, size_px: int = 512) -> PreparedPhoto:
    return prepare_photo(path, size_px, Stopwatch())


def evidence_of(picture: Picture) -> PhotoEvidence:
    return measure_photo(picture, found_in(picture))
