"""What can go wrong in a service, as far as a user can do something about it.

    ServiceError
    +- AvatarNotFoundError      no folder of that name
    +- BrokenAvatarError        a file of the avatar is missing, damaged or made by another version
    +- ConsentFormatError       the consent text is not "who, date, scope"
    +- TemplateRangeError       a start frame outside the avatar's template
    +- ModelRuntimeError        a network could not be loaded or run on this machine
    +- VideoWriteError          the result could not be written

Names that do not fit the pattern and recordings that cannot be decoded raise the errors of `data_prep.errors`.
Everything else is a fault of the program and is not caught.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of every error that is the input's or the machine's, not the program's."""


class AvatarNotFoundError(ServiceError):
    """There is no avatar of that name."""


class BrokenAvatarError(ServiceError):
    """The avatar's folder does not hold what its avatar.json promises."""


class ConsentFormatError(ServiceError, ValueError):
    """The consent text does not say who agreed, when, and to what."""


class TemplateRangeError(ServiceError, ValueError):
    """The template has no such frame."""


class ModelRuntimeError(ServiceError):
    """ONNX Runtime refused a network, or failed while running it."""


class VideoWriteError(ServiceError):
    """The video file could not be written."""
