"""What can be wrong with a recording or with the request to prepare it.

    PreparationError
        BadNameError          the dataset's name is not allowed, or names nothing
        RecordingError        the recording cannot be used
            NotAVideoError    no picture can be decoded
            TruncatedError    the file ends early or is damaged
            NoAudioError      no sound track, or a silent one
            TooShortError     less than ten seconds of picture with sound
            FaceError         no face, or one that is too small, in most of the recording
        DiskFullError         the dataset does not fit on the disk
        BusyError             another process is preparing the same dataset

Each message says in one or two sentences what, where, what was expected and what to do.
"""

from __future__ import annotations


class PreparationError(Exception):
    """Preparation cannot go on; the message is meant for the person who started it."""


class BadNameError(PreparationError):
    """The dataset's name is not allowed, or names nothing."""


class RecordingError(PreparationError):
    """The recording cannot be used."""


class NotAVideoError(RecordingError):
    """No picture can be decoded."""


class TruncatedError(RecordingError):
    """The file ends early or is damaged."""


class NoAudioError(RecordingError):
    """There is no sound track, or it is silent."""


class TooShortError(RecordingError):
    """Less than ten seconds of picture with sound."""


class FaceError(RecordingError):
    """No face, or one that is too small, in most of the recording."""


class DiskFullError(PreparationError):
    """The dataset does not fit on the disk."""


class BusyError(PreparationError):
    """Another process is preparing the same dataset."""
