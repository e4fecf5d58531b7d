"""Which photos are refused, and what is said about the others.

The limits were set on half of twelve rendered people and checked on the other half, of whom good and bad photos were
made (docs/decisions/0014-photo-avatars.md has the table); frames of four filmed people were looked at, too.
"""

from __future__ import annotations

import math
from typing import Final

from data_prep.errors import HiddenFaceError, PhotoFaceError
from data_prep.photo_evidence import PhotoEvidence

LEAST_FACE_PX: Final = 150
MOST_TURN_DEG: Final = 20.0
_MOST_BLUR, _SOFT = 1.65, 1.0  # sharp: up to 0.9; a Gaussian blur of 1.2 % of the eye distance: to 1.6, 2.4 %: from 1.7
# How dark the lips' line is over how far looks at it differ. Seen: 16 and more; hidden: 98 of 100 below 9.
_LEAST_LIPS: Final = 16.0
_LEAST_IRIS: Final = 0.15  # open: 0.19 and more, squinting and in half shadow, too; closed: up to 0.12
_LEAST_EYE_OPEN: Final = 0.10  # one eye alone, or nearly closed
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
    if evidence.blur > _MOST_BLUR:
        raise PhotoFaceError(
            f"the face in {name} is blurred (its edges are {evidence.blur:.1f} % of the eye distance wide, at most "
            f"{_MOST_BLUR} % can be used): hold the camera still, and let it focus on the eyes"
        )
    _check_hidden(evidence, name)  # before the turn: that of a face half hidden is guessed
    turns = {
        "sideways": evidence.yaw_deg,
        "tilted": evidence.roll_deg,
        "up or down": evidence.pitch_deg,
    }
    worst = max(turns, key=lambda turn: abs(turns[turn]))
    if abs(turns[worst]) > MOST_TURN_DEG:
        too_far = math.ceil(10 * abs(turns[worst])) / 10  # else it may read as what is allowed
        raise PhotoFaceError(
            f"the face in {name} is turned {worst} by {too_far:.1f} degrees, at most {MOST_TURN_DEG:.0f} can "
            "be used: look straight into the camera"
        )
    return _warnings(evidence)


def _check_hidden(evidence: PhotoEvidence, name: str) -> None:
    lips = evidence.lip_line / max(evidence.lip_spread, 1e-6)
    if lips < _LEAST_LIPS:
        raise HiddenFaceError(
            f"the mouth in {name} is hidden (where lips should meet it is {100 * evidence.lip_line:.0f} % darker, and "
            f"looks at them differ by {100 * evidence.lip_spread:.1f} % of the eye distance: a ratio of {lips:.0f}, "
            f"expected {_LEAST_LIPS:.0f}): take the photo without a mask, hand or microphone before the mouth"
        )
    closed = evidence.iris < _LEAST_IRIS or evidence.eye_open < _LEAST_EYE_OPEN
    if closed and not _wears_sunglasses(evidence):
        raise HiddenFaceError(
            f"the eyes in {name} are closed (irises {100 * evidence.iris:.0f} % darker than their whites, expected "
            f"{100 * _LEAST_IRIS:.0f} %; open by {evidence.eye_open:.2f} of their width, expected {_LEAST_EYE_OPEN}): "
            "take the photo with open eyes"
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
    if evidence.blur > _SOFT:
        said.append("the face is a little out of focus: so will the avatar be")
    return said
