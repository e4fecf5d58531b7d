"""Why a recording cannot become a dataset, or a photo an avatar.

    UserError (recipe.errors)
    +- PreparationError
       +- RecordingError        the recording cannot be used
       |  +- TruncatedError     the file ends early or is damaged
       |  +- TooShortError      less than ten seconds of picture with sound
       |  +- FaceError          no face, or one that is too small, in most of the recording
       +- DiskFullError         the dataset does not fit on the disk
       +- PhotoError            the picture cannot be used
          +- NotAPictureError   nothing in it can be shown, or it is damaged
          +- PictureSizeError   too large to be opened, or too small
          +- PhotoFaceError     no face, or more than one, too small, turned away, blurred
          +- HiddenFaceError    the mouth is hidden, or the eyes are closed

A name that is not allowed, and a file without picture or sound, are errors of `recipe.errors`.
"""

from __future__ import annotations

from recipe.errors import PhotoRefusedError, UserError


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


class PhotoError(PreparationError, PhotoRefusedError):
    """The picture cannot be used."""


class NotAPictureError(PhotoError):
    """Nothing in it can be shown, or it is damaged."""


class PictureSizeError(PhotoError):
    """Too large to be opened, or too small."""


class PhotoFaceError(PhotoError):
    """No face, or more than one, too small, turned away, blurred."""


class HiddenFaceError(PhotoError):
    """The mouth is hidden, or the eyes are closed."""
