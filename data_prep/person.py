"""Where in a picture the person is: mediapipe's selfie segmentation, made runnable in OpenVINO.

Its last layer is an operation of mediapipe's own, a transposed convolution with a bias, which no other runtime knows.

Source: mediapipe 0.10.21, modules/selfie_segmentation (Apache-2.0). Axes: H W C picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.face_mesh import MESH_POINTS
from data_prep.face_networks import open_network

_NETWORK: Final = "selfie_segmentation/selfie_segmentation.tflite"
_INPUT_PX: Final = 256
_STRIDE: Final = 2
_SURE: Final = 0.5
_COVERED: Final = 0.8  # of the face must be person, or the network looked at something else


def find_person(rgb_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How surely each pixel shows the person, 0..1: (H, W).

    Raises:
        FileNotFoundError: the network is not installed.
        ValueError: it is another than mediapipe 0.10.21's.
    """
    height, width = rgb_HWC.shape[:2]
    request = open_network(_NETWORK, _read)
    seen = cv2.resize(rgb_HWC, (_INPUT_PX, _INPUT_PX), interpolation=cv2.INTER_AREA)
    (answer,) = request.infer([np.asarray(seen, np.float32)[None] / np.float32(255)]).values()
    person = cv2.resize(np.array(answer[0, ..., 0]), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(person, 0, 1), np.float32)


def face_in_person(person_HW: NDArray[np.float32], points_K3: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """The one person whose face it is, without others; None where the network did not see the face's owner.

    Args:
        person_HW: from `find_person`.
        points_K3: the face's landmarks.
    """
    face = np.zeros(person_HW.shape, np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(points_K3[:MESH_POINTS, :2].astype(np.int32)), 1)
    sure = (person_HW > _SURE).astype(np.uint8)
    if sure[face > 0].mean() < _COVERED:
        return None
    _, labels = cv2.connectedComponents(np.maximum(sure, face))
    own = labels == np.bincount(labels[face > 0]).argmax()
    return np.where(own, np.maximum(person_HW, face), 0).astype(np.float32)


def _read(path: Path) -> Any:
    from openvino import opset13 as ops
    from openvino.frontend import FrontEndManager

    frontend = FrontEndManager().load_by_framework("tflite")
    model = frontend.convert_partially(frontend.load(str(path)))
    unknown = [node for node in model.get_ordered_ops() if node.get_type_name() == "TFFrameworkNode"]
    if len(unknown) != 1 or unknown[0].get_input_size() != 3:
        raise ValueError(f"{path} has {len(unknown)} operations of mediapipe's own, expected 1: install 0.10.21")
    features, weights_OHWI, bias = (value.get_source_output() for value in unknown[0].inputs())
    order = np.array([3, 0, 1, 2])
    grown = ops.convolution_backprop_data(
        ops.transpose(features, np.array([0, 3, 1, 2])),
        ops.transpose(weights_OHWI, order),  # to I O H W
        strides=[_STRIDE, _STRIDE],
        auto_pad="same_upper",
    )
    replacement = ops.add(ops.transpose(grown, np.array([0, 2, 3, 1])), bias).output(0)
    replacement.set_names(unknown[0].output(0).names)
    unknown[0].output(0).replace(replacement)
    model.validate_nodes_and_infer_types()
    return model
