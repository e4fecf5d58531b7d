"""A pretrained network that makes a face sharp: GFPGAN, CodeFormer, RestoreFormer, as ONNX files of the user's own.

All three see one face of 512 px, aligned by eyes, nose and corners of the mouth, RGB in [-1, 1], and answer with the
same face. CodeFormer takes one number more: how faithful to stay. None of them comes with this product.

Axes: B = 1, C H W picture (RGB), K landmarks (MediaPipe's 478), x y pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.errors import UserError

SIDE_PX: Final = 512
Within = Literal["face", "mouth"]
# Where FFHQ's alignment, as in facexlib, puts eyes, tip of the nose and corners of the mouth; picture's left first.
_PLACES_52: Final = np.array(
    [[192.98, 239.95], [318.90, 240.19], [256.63, 314.02], [201.26, 371.41], [313.09, 371.15]], np.float32
)
_LANDMARKS_5: Final = (468, 473, 4, 61, 291)
_MARGIN_PX, _FEATHER_PX = 40, 14  # of the square that is taken back
_MOUTH_CENTRE, _MOUTH_RADII = (257, 378), (92, 70)
_TYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_FIDELITY: Final = 0.7  # CodeFormer's own advice for faces that must stay themselves


class RestorerError(UserError):
    """The file is no network that restores faces, or it failed."""


class FaceRestorer:
    """One network, loaded; for one thread at a time."""

    def __init__(
        self, path: Path, fidelity: float = _FIDELITY, providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        """Load a network and look at what it takes and gives.

        Args:
            path: the ONNX file.
            fidelity: 0 to 1, for a network that asks for it: 1 keeps most of what was photographed.
            providers: of ONNX Runtime, the best first.
        Raises:
            RestorerError: it cannot be loaded, or has another layout.
        """
        if not path.is_file():
            raise RestorerError(
                f"the restorer {path.absolute()} is not a file: give the ONNX file of GFPGAN, CodeFormer or alike"
            )
        import onnxruntime  # here: few ever restore

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(str(path), options, list(providers))
        except Exception as error:  # ONNX Runtime's errors have no base class
            raise RestorerError(f"the restorer {path} cannot be loaded ({_line(error)})") from error
        self.path = path
        self._session = session
        self._picture = _the_picture(session.get_inputs(), path, "input")
        _the_picture(session.get_outputs()[:1], path, "first output")
        self._numbers = {
            given.name: np.full([1] * len(given.shape), fidelity, _type_of(given, path))
            for given in session.get_inputs()
            if given.name != self._picture.name
        }

    def restored(
        self, rgb_HWC: NDArray[np.uint8], points_K2: NDArray[np.floating], within: Within = "face"
    ) -> NDArray[np.uint8]:
        """The picture with its face restored; every other pixel is the same.

        Args:
            rgb_HWC: any size; a face narrower than 512 px gains nothing beyond its own pixels.
            points_K2: the landmarks of its face.
            within: what is taken back: the face, or the mouth alone.
        Raises:
            RestorerError: the network failed, or gave no picture.
        """
        to_512 = _alignment(points_K2)
        aligned = cv2.warpAffine(
            rgb_HWC, to_512, (SIDE_PX, SIDE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        drawn = self._run(np.asarray(aligned, np.uint8))
        size = rgb_HWC.shape[1::-1]
        back = cv2.invertAffineTransform(to_512)
        method = cv2.INTER_AREA if np.linalg.det(to_512[:, :2]) > 1 else cv2.INTER_CUBIC
        there = cv2.warpAffine(drawn, back, size, flags=method, borderMode=cv2.BORDER_REPLICATE)
        share = cv2.warpAffine(_share_HW(within), back, size)[..., None]
        mixed = np.where(share > 0, rgb_HWC + (there - rgb_HWC) * share, rgb_HWC)
        return np.clip(np.round(mixed), 0, 255).astype(np.uint8)

    def _run(self, rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One aligned face -> the restored one, 0 to 255."""
        picture = (rgb_HWC.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        given = {self._picture.name: picture.astype(_type_of(self._picture, self.path)), **self._numbers}
        try:
            found = np.asarray(self._session.run(None, given)[0], np.float32)
        except Exception as error:  # ONNX Runtime's errors have no base class
            raise RestorerError(f"the restorer {self.path} failed ({_line(error)})") from error
        if found.shape != picture.shape or not np.isfinite(found).all():
            raise RestorerError(
                f"the restorer {self.path} gave {found.shape} or what is no number, expected {picture.shape} in [-1, 1]"
            )
        return np.asarray((np.clip(found[0], -1, 1) + 1).transpose(1, 2, 0) * np.float32(127.5))


def _alignment(points_K2: NDArray[np.floating]) -> NDArray[np.float64]:
    """2x3, picture px -> px of the aligned face: turned, scaled and moved."""
    five = np.asarray(points_K2, np.float32)[list(_LANDMARKS_5), :2]
    found, _ = cv2.estimateAffinePartial2D(five, _PLACES_52, method=cv2.LMEDS)
    if found is None:
        raise RestorerError("the face cannot be aligned: its eyes and mouth lie in one point")
    return np.asarray(found, np.float64)


def _share_HW(within: Within) -> NDArray[np.float32]:
    """How much of the restored pixel is taken, by place in the aligned face."""
    share = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    if within == "mouth":
        cv2.ellipse(share, _MOUTH_CENTRE, _MOUTH_RADII, 0, 0, 360, 1.0, -1)
    else:
        share[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX] = 1
    return np.asarray(cv2.GaussianBlur(share, (0, 0), _FEATHER_PX), np.float32)


def _the_picture(tensors: list[Any], path: Path, what: str) -> Any:
    """The one that holds a face; every other may hold one number.

    Raises:
        RestorerError: there is none, or something else.
    """
    fits = [one for one in tensors if len(one.shape) == 4 and _agree(one.shape, (1, 3, SIDE_PX, SIDE_PX))]
    others = [one for one in tensors if one not in fits and any(isinstance(n, int) and n != 1 for n in one.shape)]
    if len(fits) != 1 or others:
        found = ", ".join(f"{one.name} {one.shape}" for one in tensors)
        raise RestorerError(
            f"the restorer {path} has as {what} {found}; expected one (1, 3, {SIDE_PX}, {SIDE_PX}), an aligned face"
        )
    return fits[0]


def _agree(shape: list[Any], wanted: tuple[int, ...]) -> bool:
    """Names and None stand for any number."""
    return all(not isinstance(n, int) or n == m for n, m in zip(shape, wanted, strict=True))


def _type_of(tensor: Any, path: Path) -> Any:
    if tensor.type not in _TYPES:
        raise RestorerError(f"the restorer {path} takes {tensor.name} as {tensor.type}; expected {', '.join(_TYPES)}")
    return _TYPES[tensor.type]


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
