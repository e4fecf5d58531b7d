"""What can go wrong in a service, as far as a user can do something about it.

    ServiceError                (a recipe.errors.UserError)
    +- AvatarNotFoundError      no folder of that name
    +- WrongKindError           a photo avatar where only a trained one will do
    +- NotCutOutError           an avatar of whose person no outline is known
    +- TemplateRangeError       a start frame outside the avatar's template
    +- ModelRuntimeError        a network could not be loaded or run on this machine
    +- VideoWriteError          the result could not be written
    +- TextRejectedError        a text with nothing to say, too long, or at a speed no voice has
    +- VoiceNotFoundError       no voice of that name
    +- SpeechError              the engine failed, or a voice could not be fetched
    +- UploadRejectedError      an upload whose sound cannot be read
    +- TakeRejectedError        pictures and sound that a client kept do not fit together
    +- TooMuchError             an upload that is too large or too long
    +- ConsentMissingError      a server that others can reach may not show this avatar
    +- PhotosUnavailableError   this server makes no avatars of photos, or not in the way that was asked for
    +- TokenNotFoundError       no photo is kept under this token (any more)
    +- CreationOffError         this server makes no avatars
    +- NameTakenError           there is an avatar, or a job for one, of that name
    +- JobNotFoundError         no job makes an avatar of that name
    +- JobStateError            does not fit what a job, or an avatar, is for at the moment
    +- KeysError                a file of keys cannot be read
    +- QuotaError               a key asked too often, or for too much
    +- BusyError                all places are taken; try again soon
    +- LiveOrderError           a live session was asked for what does not fit what it is doing
    +- SessionNotFoundError     no live session waits to be gone on with under this key
    +- RemoteError              a language model or recogniser elsewhere failed
    +- PublishError             a stream cannot be published there
    +- OfferRejectedError       a WebRTC offer that cannot be answered
    +- StoppingError            the server is stopping
    +- StalledError             a client stopped taking what it had asked for
    +- CannotListenError        the server's address cannot be used

Names that do not fit the pattern, sounds that cannot be decoded and broken avatars raise errors of `recipe.errors`.
Everything else is a fault of the program and is not caught.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recipe.errors import UserError

if TYPE_CHECKING:
    from recipe.avatar_format import AvatarManifest


class ServiceError(UserError):
    """Base of every error of a service that is the input's or the machine's, not the program's."""


class AvatarNotFoundError(ServiceError):
    """There is no avatar of that name."""


class WrongKindError(ServiceError):
    """The avatar is of another kind than what it was asked for can use."""


class NotCutOutError(ServiceError):
    """The person of an avatar is not told from the background."""

    def __init__(self, manifest: AvatarManifest) -> None:
        """Say what would help."""
        command = f'python -m data_prep.background {manifest.name} --out NEW --colour "#808080"'
        remedy = f"only those of kind film can be, it is of kind {manifest.kind}"
        if manifest.kind == "film":
            remedy = f"copy it before one colour first: {command}"
        super().__init__(f"avatar {manifest.name} cannot be shown without its background; {remedy}")


class TemplateRangeError(ServiceError, ValueError):
    """The template has no such frame."""


class ModelRuntimeError(ServiceError):
    """ONNX Runtime refused a network, or failed while running it."""


class VideoWriteError(ServiceError):
    """The video file could not be written."""


class TextRejectedError(ServiceError, ValueError):
    """The text cannot be spoken as asked."""

    def __init__(self, message: str, voices: Sequence[str] = ()) -> None:
        """Say what is wrong, and name voices that can say it, the likeliest first."""
        super().__init__(message)
        self.voices = tuple(voices)


class VoiceNotFoundError(ServiceError):
    """There is no voice of that name on this machine."""


class SpeechError(ServiceError):
    """Text-to-speech failed."""


class UploadRejectedError(ServiceError):
    """The upload is not of a kind whose sound is read."""


class TakeRejectedError(ServiceError, ValueError):
    """What a client kept of an animation is damaged, or its pieces do not fit together."""


class TooMuchError(ServiceError):
    """The upload is larger or longer than this server takes."""


class ConsentMissingError(ServiceError):
    """The avatar shows a person of whose consent nothing is recorded, and others can reach this server."""


class PhotosUnavailableError(ServiceError):
    """This server makes no avatars of photos, or not in the way that was asked for."""


class TokenNotFoundError(ServiceError):
    """No photo is kept under this token, or not any more."""


class CreationOffError(ServiceError):
    """This server makes no avatars, and the message says why."""


class NameTakenError(ServiceError):
    """There is an avatar, a recording, or a job for one, of that name."""


class JobNotFoundError(ServiceError):
    """No job makes an avatar of that name."""


class JobStateError(ServiceError):
    """What was asked does not fit the state of the job, or of the avatar."""


class KeysError(ServiceError):
    """A file of keys cannot be read, or has no such key."""


class QuotaError(ServiceError):
    """A key asked too often, or for too much."""

    def __init__(self, message: str, retry_s: int) -> None:
        """Say when it may ask again."""
        super().__init__(message)
        self.headers = {"Retry-After": str(retry_s)}


class CaptionRejectedError(ServiceError):
    """No caption can be drawn: a letter is in none of the fonts, there is no text, or the answer is no MP4."""


class BusyError(ServiceError):
    """Every place for such work is taken."""


class LiveOrderError(ServiceError):
    """What was asked of a live session does not fit what it is doing."""


class SessionNotFoundError(ServiceError):
    """No live session waits under this key, or not any more."""


class RemoteError(ServiceError):
    """A server that the operator named (a language model, a recogniser, a voice) cannot be reached, or refuses."""


class PublishError(ServiceError):
    """The target of a stream cannot be reached, or takes nothing any more."""


class OfferRejectedError(ServiceError):
    """A WebRTC offer (SDP) cannot be read, or asks for nothing that is sent here."""


class StoppingError(ServiceError):
    """The server was asked to stop."""


class StalledError(ServiceError):
    """A client kept its stream open without reading it."""


class CannotListenError(ServiceError):
    """The address that the server should listen on is taken, not allowed, or not of this machine."""
