"""Certificates and keys in files: beside a graph's documents, and where a person keeps the key that signs."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import ValidationError

from pointsman.certificates.document import SignedCertificate, key_id
from pointsman.certificates.standing import Known

OTHERS_MAY = 0o077


class CannotRead(Exception):
    """A file that is not what it is taken for; the message names it, and holds nothing of a key."""


def write_new_key(file: Path) -> Ed25519PrivateKey:
    """Make a key that signs, in a file that only its owner can read; the public one beside it, as `….pub.pem`.

    Raises FileExistsError: a key is never overwritten.
    """
    key = Ed25519PrivateKey.generate()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public_file(file).write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key


def public_file(file: Path) -> Path:
    """Where the public key of a key's file lies."""
    return file.with_name(f"{file.name.removesuffix('.pem')}.pub.pem")


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """Raises CannotRead, also where others may read the file."""
    try:
        if file.stat().st_mode & OTHERS_MAY:
            raise CannotRead(f"{file}: others may read it: chmod 600")
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise CannotRead(f"{file}: no private key in PEM without a password ({type(error).__name__})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CannotRead(f"{file}: not an Ed25519 key")
    return key


def read_public_key(given: Path | str) -> Ed25519PublicKey:
    """From a file in PEM, or from what stands in one, as `public_text` writes it. Raises CannotRead."""
    path = Path(given)
    try:
        if isinstance(given, str) and not path.exists():
            key = load_der_public_key(base64.b64decode(given, validate=True))
        else:
            key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CannotRead(f"{given}: no public key in PEM ({type(error).__name__})") from None
    if not isinstance(key, Ed25519PublicKey):
        raise CannotRead(f"{given}: not an Ed25519 key")
    return key


def public_text(key: Ed25519PublicKey) -> str:
    """A public key in one line."""
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def read_certificate(file: Path) -> SignedCertificate:
    """Raises CannotRead."""
    try:
        return SignedCertificate.model_validate_json(file.read_bytes())
    except OSError as error:
        raise CannotRead(f"{file}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CannotRead(f"{file}: {place}: {first['msg']}") from None


def write_certificates(folder: Path, signed: Sequence[SignedCertificate]) -> list[Path]:
    """One file each, named by band and id."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{each.certificate.band}-{each.certificate.id}.json" for each in signed]
    for file, each in zip(files, signed, strict=True):
        file.write_bytes(each.to_json())
    return files


def read_known(folder: Path, graph: str) -> Known:
    """What a folder knows of a graph, by its name: `*.json` are certificates, `*.pem` the public keys that may sign.

    A folder that does not exist knows nothing. Raises CannotRead.
    """
    keys = {key_id(key): key for key in map(read_public_key, sorted(folder.glob("*.pem")))}
    found = [read_certificate(file) for file in sorted(folder.glob("*.json"))]
    mine = sorted((each for each in found if each.certificate.graph == graph), key=lambda each: each.certificate.issued)
    return Known(
        certificates=[each.certificate for each in mine if each.is_signed_by(keys)],
        refused=tuple(each.certificate.band for each in mine if not each.is_signed_by(keys)),
    )
