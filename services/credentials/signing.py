"""Put Content Credentials into finished files: MP4 and WAV.

    credentials = find_credentials(folder)         # None where nobody set any up
    credentials.sign(path, "video/mp4")            # in place; whole or not at all

What is claimed: created by this program, by a trained algorithm, of no camera. A stream cannot carry it: the signature
covers the file, which is not there before its end.

Source: Coalition for Content Provenance and Authenticity, "Content Credentials: C2PA Technical Specification", 2.1.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import wave
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from recipe.errors import UserError
from recipe.installed import missing_packages_are_said

CERTIFICATES_FILE: Final = "certificates.pem"  # the signer's, then those that vouch for it
PRIVATE_KEY_FILE: Final = "private_key.pem"
INSTALL: Final = "AVATAR328_EXTRAS=credentials bash scripts/setup.sh"
SIGNED_TYPES: Final = ("video/mp4", "audio/wav")

_GENERATED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PIECE_BYTES: Final = 1 << 20


class CredentialsError(UserError):
    """Files cannot be signed, or what they carry cannot be read."""


class Credentials:
    """Who signs; safe to use from several threads, each file by a signer of its own."""

    def __init__(self, folder: Path, version: str) -> None:
        """Read the certificates and the key, and try them.

        Args:
            folder: with CERTIFICATES_FILE and PRIVATE_KEY_FILE.
            version: of this program.
        Raises:
            CredentialsError: they cannot be read, or do not fit each other.
            NotInstalledError: c2pa is not installed.
        """
        self._folder, self._version = folder, version
        try:
            self._certificates = (folder / CERTIFICATES_FILE).read_bytes()
            self._key = (folder / PRIVATE_KEY_FILE).read_bytes()
        except OSError as error:
            raise CredentialsError(
                f"{error.filename}: {error.strerror}; `python -m services.credentials new` makes a pair to try it with"
            ) from error
        self._try()

    def _try(self) -> None:
        """Sign a WAV without sound: whether a key and a certificate belong together shows only then."""
        with self._signer() as signer, io.BytesIO() as source, io.BytesIO() as target:
            import c2pa

            with wave.open(source, "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
            source.seek(0)
            try:
                c2pa.Builder(json.dumps(self._claim("trial"))).sign(signer, "audio/wav", source, target)
                target.seek(0)
                with c2pa.Reader("audio/wav", target) as reader:
                    state = str(reader.get_validation_state())
            except c2pa.C2paError as error:
                raise self._unfit(str(error)) from error
        if state == "Invalid":
            raise self._unfit("what they sign is not valid")

    def _unfit(self, why: str) -> CredentialsError:
        return CredentialsError(
            f"{self._folder}: its certificates and its key do not sign ({why}); expected the signer's certificate for "
            "document signing, then those that vouch for it, and an unencrypted key in PKCS8"
        )

    def _claim(self, title: str) -> dict[str, Any]:
        actions = [{"action": "c2pa.created", "digitalSourceType": _GENERATED}]
        return {
            "claim_generator_info": [{"name": "avatar328", "version": self._version}],
            "title": title,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
        }

    def _signer(self) -> Any:
        with missing_packages_are_said(INSTALL):
            import c2pa
        info = c2pa.C2paSignerInfo(_algorithm(self._key, self._folder), self._certificates, self._key, None)
        try:
            return c2pa.Signer.from_info(info)
        except c2pa.C2paError as error:
            raise self._unfit(str(error)) from error

    def sign(self, path: Path, media_type: str, name: str | None = None) -> None:
        """Sign a file where it lies; it stays as it was if that fails.

        Args:
            path: a finished file.
            media_type: one of SIGNED_TYPES.
            name: of the file for whoever reads it later; that of the path by default.
        Raises:
            CredentialsError: it cannot be signed.
        """
        import c2pa

        claim = self._claim(name or path.name)
        handle, part_name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        part = Path(part_name)
        try:
            with path.open("rb") as source, os.fdopen(handle, "w+b") as target, self._signer() as signer:
                c2pa.Builder(json.dumps(claim)).sign(signer, media_type, source, target)
            part.chmod(path.stat().st_mode)
            part.replace(path)
        except c2pa.C2paError as error:
            raise CredentialsError(f"{path} cannot be signed as {media_type} ({error})") from error
        finally:
            part.unlink(missing_ok=True)

    def signed(self, pieces: Generator[bytes, None, None], media_type: str, name: str) -> Generator[bytes, None, None]:
        """A whole file that comes in pieces, signed; an empty piece comes with each that is not the result yet,
        because a generator can be closed only where it yields."""
        with closing(pieces), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "whole"
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
                    yield b""
            self.sign(path, media_type, name)
            with path.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    yield piece


def find_credentials(folder: Path, version: str) -> Credentials | None:
    """Those of a folder; None where there is no such folder.

    Raises:
        CredentialsError, NotInstalledError: see Credentials.
    """
    return Credentials(folder, version) if folder.is_dir() else None


def read_credentials(path: Path) -> dict[str, Any]:
    """What a file says of itself, and whether that holds.

    Returns:
        `state`: "Valid" (untouched, by somebody whom nobody vouches for), "Trusted" or "Invalid"; `problems`; `signer`;
        `title`; `made_by`; `generated`.
    Raises:
        CredentialsError: it carries none, or cannot be read.
        NotInstalledError: c2pa is not installed.
    """
    with missing_packages_are_said(INSTALL):
        import c2pa
    try:
        with c2pa.Reader(str(path)) as reader:
            told, state = json.loads(reader.json()), str(reader.get_validation_state())
    except (c2pa.C2paError, OSError) as error:
        raise CredentialsError(f"{path} carries no Content Credentials that can be read ({error})") from error
    claim = told["manifests"][told["active_manifest"]]
    actions = [
        action
        for assertion in claim.get("assertions", [])
        if assertion["label"].startswith("c2pa.actions")
        for action in assertion["data"]["actions"]
    ]
    signature, made_by = claim.get("signature_info", {}), claim.get("claim_generator_info", [{}])[0]
    return {
        "state": state,
        "problems": [entry["code"] for entry in told.get("validation_status", [])],
        "signer": f"{signature.get('issuer', '?')} ({signature.get('common_name', '?')})",
        "title": claim.get("title", ""),
        "made_by": f"{made_by.get('name', '?')} {made_by.get('version', '')}".strip(),
        "generated": any(action.get("digitalSourceType") == _GENERATED for action in actions),
    }


def _algorithm(key_pem: bytes, folder: Path) -> Any:
    import c2pa
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_pem, None)
    except (ValueError, TypeError) as error:
        raise CredentialsError(f"{folder / PRIVATE_KEY_FILE} is no unencrypted key in PEM ({error})") from error
    if isinstance(key, ec.EllipticCurvePrivateKey):
        by_size = {256: "ES256", 384: "ES384", 521: "ES512"}
        return c2pa.C2paSigningAlg[by_size.get(key.curve.key_size, "ES256")]
    if isinstance(key, rsa.RSAPrivateKey):
        return c2pa.C2paSigningAlg.PS256
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return c2pa.C2paSigningAlg.ED25519
    raise CredentialsError(f"{folder / PRIVATE_KEY_FILE} is a {type(key).__name__}; expected EC, RSA or Ed25519")
