"""What can go wrong in a service, as far as a user can do something about it.

    ServiceError                (a recipe.errors.UserError)
    +- AvatarNotFoundError      no folder of that name
    +- WrongKindError           a photo avatar where only a trained one will do
    +- TemplateRangeError       a start frame outside the avatar's template
    +- ModelRuntimeError        a network could not be loaded or run on this machine
    +- VideoWriteError          the result could not be written
    +- TextRejectedError        a text with nothing to say, too long, or at a speed no voice has
    +- VoiceNotFoundError       no voice of that name
    +- SpeechError              the engine failed, or a voice could not be fetched
    +- UploadRejectedError      an upload whose sound cannot be read
    +- TooMuchError             an upload that is too large or too long
    +- ConsentMissingError      a server that others can reach may not show this avatar
    +- BusyError                all places are taken; try again soon
    +- StalledError             a client stopped taking what it had asked for
    +- CannotListenError        the server's address cannot be used

Names that do not fit the pattern, sounds that cannot be decoded and broken avatars raise errors of `recipe.errors`.
Everything else is a fault of the program and is not caught.
"""

from __future__ import annotations

from recipe.errors import UserError


class ServiceError(UserError):
    """Base of every error of a service that is the input's or the machine's, not the program's."""


class AvatarNotFoundError(ServiceError):
    """There is no avatar of that name."""


class WrongKindError(ServiceError):
    """The avatar is of another kind than what it was asked for can use."""


class TemplateRangeError(ServiceError, ValueError):
    """The template has no such frame."""


class ModelRuntimeError(ServiceError):
    """ONNX Runtime refused a network, or failed while running it."""


class VideoWriteError(ServiceError):
    """The video file could not be written."""


class TextRejectedError(ServiceError, ValueError):
    """The text cannot be spoken as asked."""


class VoiceNotFoundError(ServiceError):
    """There is no voice of that name on this machine."""


class SpeechError(ServiceError):
    """Text-to-speech failed."""


class UploadRejectedError(ServiceError):
    """The upload is not of a kind whose sound is read."""


class TooMuchError(ServiceError):
    """The upload is larger or longer than this server takes."""


class ConsentMissingError(ServiceError):
    """The avatar shows a person of whose consent nothing is recorded, and others can reach this server."""


class BusyError(ServiceError):
    """Every place for such work is taken."""


class StalledError(ServiceError):
    """A client kept its stream open without reading it."""


class CannotListenError(ServiceError):
    """The address that the server should listen on is taken, not allowed, or not of this machine."""
