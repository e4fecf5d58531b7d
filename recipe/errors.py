"""What is the input's or the machine's fault, not the program's; every message is meant for a person.

    UserError
    +- BadNameError          a name that is not allowed, or names nothing
    +- MediaError
    |  +- NotAVideoError     nothing that could be shown or heard can be decoded
    |  +- NoAudioError       there is no sound track, or it is silent
    |  +- ColourError        its colours are coded in a way that is not read
    +- InUseError            another process is writing the same folder
    +- OutputError           a result cannot go where it was asked to
    +- BrokenAvatarError     an avatar's folder does not hold what its avatar.json promises
    +- RevokedError          the person wants no avatar any more
    +- ConsentFormatError    a consent text does not say who agreed, when, and to what
    +- PhotoRefusedError     a picture that no avatar can be made of (data_prep.errors.PhotoError and below)
    +- PreparationError      data_prep.errors: a recording that cannot become a dataset
    +- ServiceError          services.errors: what a server or a program refuses

A message says in one or two sentences what, where, what was found, what was expected and what to do. Everything else
that is raised is a fault of the program; only a session's outer edge catches it.
"""

from __future__ import annotations


class UserError(Exception):
    """The base of them all: entry points show its message and end with code 2."""


class BadNameError(UserError):
    """A name that is not allowed, or names nothing."""


class MediaError(UserError):
    """A file that should hold picture or sound does not."""


class NotAVideoError(MediaError):
    """Nothing that could be shown or heard can be decoded."""


class NoAudioError(MediaError):
    """There is no sound track, or it is silent."""


class ColourError(MediaError):
    """Its colours are coded in a way that is not read."""


class InUseError(UserError):
    """Another process is writing the same folder."""


class OutputError(UserError):
    """A result cannot go where it was asked to."""


class BrokenAvatarError(UserError):
    """The avatar's folder does not hold what its avatar.json promises."""


class RevokedError(UserError):
    """The avatar was revoked, and may neither be made nor shown."""


class ConsentFormatError(UserError, ValueError):
    """The consent text does not say who agreed, when, and to what."""


class PhotoRefusedError(UserError):
    """No avatar can be made of this picture."""
