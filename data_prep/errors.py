"""Why a recording cannot become a dataset.

    UserError (recipe.errors)
    +- PreparationError
       +- RecordingError        the recording cannot be used
       |  +- TruncatedError     the file ends early or is damaged
       |  +- TooShortError      less than ten seconds of picture with sound
       |  +- FaceError          no face, or one that is too small, in most of the recording
       +- DiskFullError         the dataset does not fit on the disk

A name that is not allowed, and a file without picture or sound, are errors of `recipe.errors`.
"""

from __future__ import annotations

from recipe.errors import UserError


class PreparationError(UserError):
    """Preparation cannot go on."""


class RecordingError(PreparationError):
    """The recording cannot be used."""


class TruncatedError(RecordingError):
    """The file ends early or is damaged."""


class TooShortError(RecordingError):
    """Less than ten seconds of picture with sound."""


class FaceError(RecordingError):
    """No face, or one that is too small, in most of the recording."""


class DiskFullError(PreparationError):
    """The dataset does not fit on the disk."""
