"""Signs certificates with the key of whoever runs the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.cli.connection import open_home
from pointsman.cli.errors import Exit, Failure

if TYPE_CHECKING:
    from pointsman.certificates.document import SignedCertificate


def default_key() -> Path:
    """Where the home keeps the key that signs."""
    return open_home().certificate_key


def signed(statements: Sequence[Mapping[str, Any]], key: Path | None) -> list[SignedCertificate]:
    """The statements, each signed by the key in a file, or the home's. Raises Failure, certificate_files.CannotRead."""
    from pointsman.certificate_files import read_private_key
    from pointsman.certificates.document import BandCertificate, SignedCertificate

    if not statements:
        return []
    private = read_private_key(found_key(key))
    return [SignedCertificate.sign(BandCertificate.model_validate(each), private) for each in statements]


def found_key(key: Path | None) -> Path:
    """The file of the key that signs. Raises Failure where there is none."""
    file = key or default_key()
    if not file.exists():
        raise Failure(f"there is no key that signs: {file}", hint="pointsman certificates keygen", code=Exit.NOT_FOUND)
    return file
