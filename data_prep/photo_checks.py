"""Which photos are refused, and what is said about the others.

The limits were found on the synthetic presenter: frames of its recording, masks, hands and cups drawn over the mouth,
closed lids, blur and shadow (tests/test_photo.py repeats them). Of the three signs of a hidden mouth two must agree.
"""

from __future__ import annotations

from typing import Final

from data_prep.errors import HiddenFaceError, PhotoFaceError
from data_prep.photo_evidence import PhotoEvidence

LEAST_FACE_PX: Final = 150
MOST_TURN_DEG: Final = 20.0
_LEVEL_PITCH_DEG: Final = -4.0  # what the pose reads of a face that looks straight ahead
_LEAST_SHARPNESS, _SOFT = 0.14, 0.25  # sharp: 0.9; Gaussian blur of 2 px: 0.18, of 4 px: 0.09
# Seen: edge 1.7 .. 4.1, line 0.07 .. 0.75, spread 0.003 .. 0.006. Hidden: 0 .. 1.5, -0.06 .. 0.05, 0.010 .. 0.036.
_LEAST_LIP_EDGE, _LEAST_LIP_LINE, _MOST_LIP_SPREAD = 0.9, 0.06, 0.008
_LEAST_EYE_OPEN: Final = 0.15  # open: 0.23 .. 0.31; closed 0.08
_SUNGLASSES, _SUNGLASSES_CONTRAST = 0.45, 0.25  # under the eyes against the cheeks; iris against white
_BEARD, _SHADOW = 0.75, 0.6
_OPEN_MOUTH, _SMILE = 0.05, 0.67


def check_photo(evidence: PhotoEvidence, name: str) -> list[str]:
    """Refuse a photo, or say what will not look well.

    Args:
        evidence: from `measure_photo`.
        name: of the file, for messages.
    Returns:
        Warnings for a person, empty if there is nothing to say.
    Raises:
        PhotoFaceError, HiddenFaceError: what was found, what was expected and what to do.
    """
    if evidence.face_px < LEAST_FACE_PX:
        raise PhotoFaceError(
            f"the face in {name} is {evidence.face_px:.0f} px wide, at least {LEAST_FACE_PX} px are needed: take the "
            "photo from nearer, or give it in its full size"
        )
    if evidence.sharpness < _LEAST_SHARPNESS:
        raise PhotoFaceError(
            f"the face in {name} is blurred (sharpness {evidence.sharpness:.2f}, at least {_LEAST_SHARPNESS} is "
            "needed): hold the camera still, and let it focus on the eyes"
        )
    _check_hidden(evidence, name)  # before the turn: that of a face half hidden is guessed
    turns = {
        "sideways": evidence.yaw_deg,
        "tilted": evidence.roll_deg,
        "up or down": evidence.pitch_deg - _LEVEL_PITCH_DEG,
    }
    worst = max(turns, key=lambda turn: abs(turns[turn]))
    if abs(turns[worst]) > MOST_TURN_DEG:
        raise PhotoFaceError(
            f"the face in {name} is turned {worst} by {abs(turns[worst]):.0f} degrees, at most {MOST_TURN_DEG:.0f} can "
            "be used: look straight into the camera"
        )
    return _warnings(evidence)


def _check_hidden(evidence: PhotoEvidence, name: str) -> None:
    signs = (
        evidence.lip_edge < _LEAST_LIP_EDGE,
        evidence.lip_line < _LEAST_LIP_LINE,
        evidence.lip_spread > _MOST_LIP_SPREAD,
    )
    if sum(signs) >= 2:
        raise HiddenFaceError(
            f"the mouth in {name} is hidden (lips differ from the skin by {evidence.lip_edge:.1f}, expected "
            f"{_LEAST_LIP_EDGE}; the line between them is {evidence.lip_line:.2f} darker, expected {_LEAST_LIP_LINE}): "
            "take the photo without a mask, hand or microphone before the mouth"
        )
    if evidence.eye_open < _LEAST_EYE_OPEN and not _wears_sunglasses(evidence):
        raise HiddenFaceError(
            f"the eyes in {name} are closed (open by {evidence.eye_open:.2f} of their width, at least "
            f"{_LEAST_EYE_OPEN} is needed): take the photo with open eyes"
        )


def _wears_sunglasses(evidence: PhotoEvidence) -> bool:
    return evidence.eye_light < _SUNGLASSES and evidence.eye_contrast < _SUNGLASSES_CONTRAST


def _warnings(evidence: PhotoEvidence) -> list[str]:
    said = []
    if _wears_sunglasses(evidence):
        said.append("sunglasses: the eyes cannot blink; take them off for a livelier avatar")
    if evidence.lower_face_light < _BEARD:
        said.append("a beard or a shadow around the lips: it is bent with the lips and may smear at wide openings")
    if evidence.side_light < _SHADOW:
        said.append("a hard shadow on the face: it moves with the skin; soft light from the front looks better")
    if evidence.mouth_open > _OPEN_MOUTH:
        said.append("the mouth is open: it is closed by force; a photo with closed lips looks better")
    elif evidence.smile > _SMILE:
        said.append("a broad smile: the avatar keeps smiling, whatever it says")
    if evidence.sharpness < _SOFT:
        said.append("the face is a little out of focus: so will the avatar be")
    return said
