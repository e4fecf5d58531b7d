"""Keys and their scopes, read from a file that may change while the server runs.

    NAME  SCOPE[,SCOPE...]  SHA-256 of the key        one per line; # begins a comment

A key is 256 random bits, so a plain hash of it tells nothing. The file holds no key: `python -m services.access` makes
one, shows it once, and appends its line.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from recipe.files import written_aside
from recipe.names import check_name
from services.errors import KeysError

Scope = Literal["speak", "create", "operate"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; not the key itself."""

    name: str
    scopes: frozenset[str]
    digest: bytes


class KeyRing:
    """The keys of a file; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeysError: it cannot be read, or a line of it is wrong.
        """
        self._path = path
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._keys = read_keys(path)

    def find(self, secret: str) -> Key | None:
        """The key that this is; in a time that does not tell how much of it is right."""
        digest = hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
        found = None
        for key in self._current():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _current(self) -> tuple[Key, ...]:
        """What the file says now; while it says nothing that can be read, what it said before."""
        with self._lock:
            try:
                stamp = _stamp(self._path)
                if stamp != self._stamp:
                    self._keys, self._stamp = read_keys(self._path), stamp
                    logger.info("%s: %d keys are valid now", self._path.name, len(self._keys))
            except KeysError as error:
                logger.error("the keys of before stay valid: %s", error)
            return self._keys


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a file of keys.

    Raises:
        KeysError: it cannot be read, or a line of it is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise KeysError(
            f"the keys of {path} cannot be read ({error}); make one by python -m services.access new NAME"
        ) from error
    return tuple(
        _parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if _says_something(line)
    )


def new_key(path: Path, name: str, scopes: tuple[str, ...]) -> str:
    """Make a key, append it to the file (which only its owner may read), and return it: nothing else ever tells it.

    Raises:
        KeysError: the name is taken, or the file cannot be read.
        BadNameError: the name is not a possible one.
    """
    check_name(name)
    known = read_keys(path) if path.exists() else ()
    if any(key.name == name for key in known):
        raise KeysError(f"{path} has a key {name!r} already; choose another name, or revoke it first")
    secret = secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    _replace(path, f"{before.rstrip()}\n{name} {','.join(scopes)} {digest}\n".lstrip())
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Take a key out of the file; a running server refuses it from its next request on.

    Raises:
        KeysError: there is no such key, or the file cannot be read.
    """
    if all(key.name != name for key in read_keys(path)):
        raise KeysError(f"{path} has no key {name!r}")
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not (_says_something(line) and line.split()[0] == name)]
    _replace(path, "\n".join(kept) + "\n" if kept else "")


def _replace(path: Path, text: str) -> None:
    with written_aside(path) as part:
        part.chmod(0o600)
        part.write_text(text, encoding="utf-8")


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _parsed(line: str, where: str) -> Key:
    parts = line.split()
    try:
        name, scopes, digest_hex = parts
        digest = bytes.fromhex(digest_hex)
    except ValueError as error:
        raise KeysError(
            f"{where}: expected a name, scopes and 64 hex digits; make keys by python -m services.access"
        ) from error
    unknown = set(scopes.split(",")) - set(SCOPES)
    if unknown or len(digest) != hashlib.sha256().digest_size:
        raise KeysError(f"{where}: the scopes are {', '.join(SCOPES)}, the hash has 64 hex digits; found {scopes}")
    return Key(name, frozenset(scopes.split(",")), digest)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise KeysError(
            f"the keys of {path} cannot be read ({error.strerror}); make one by python -m services.access new NAME"
        ) from error
    return status.st_mtime_ns, status.st_size
