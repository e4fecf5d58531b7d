"""A certificate to try Content Credentials with: it shows that a file is untouched, and nobody vouches for who signed.

In production a certificate authority that readers trust vouches: put its certificates and the key in its place.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Final

from recipe.installed import missing_packages_are_said
from services.credentials.signing import CERTIFICATES_FILE, INSTALL, PRIVATE_KEY_FILE, CredentialsError

_ORGANISATION: Final = "avatar328 development, vouched for by nobody"
_LASTS: Final = datetime.timedelta(days=3650)
_EARLIER: Final = datetime.timedelta(hours=1)  # clocks differ


def new_credentials(folder: Path) -> None:
    """Make a key and its certificate; files that are there stay.

    Raises:
        CredentialsError: there are some already.
        NotInstalledError: cryptography is not installed.
    """
    with missing_packages_are_said(INSTALL):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    if folder.exists():
        raise CredentialsError(f"{folder} is there already; remove it first if it is to be replaced")

    def named(common_name: str) -> x509.Name:
        parts = {NameOID.ORGANIZATION_NAME: _ORGANISATION, NameOID.COMMON_NAME: common_name}
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts.items()])

    def certificate(common_name: str, key: ec.EllipticCurvePrivateKey, is_authority: bool) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        signs = dict.fromkeys(_KEY_USES, False) | {
            "digital_signature": True,
            "key_cert_sign": is_authority,
            "crl_sign": is_authority,
        }
        return (
            x509.CertificateBuilder()
            .subject_name(named(common_name))
            .issuer_name(named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _EARLIER)
            .not_valid_after(now + _LASTS)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.KeyUsage(**signs), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )

    above, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = certificate("authority", above, is_authority=True).sign(above, hashes.SHA256())
    signer = (
        certificate("signer", own, is_authority=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        .sign(above, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    folder.mkdir(parents=True, mode=0o700)
    (folder / CERTIFICATES_FILE).write_bytes(signer.public_bytes(pem) + authority.public_bytes(pem))
    secret = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    handle = os.open(folder / PRIVATE_KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secret)


_KEY_USES: Final = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)
