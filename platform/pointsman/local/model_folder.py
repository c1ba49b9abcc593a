"""Pins a model that lies in a folder of this machine: `file:///path` with a digest. For trials without a registry."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pointsman.models.artifact import ArtifactRefused, digest_of
from pointsman.registry.pins import Pin, keep
from pointsman.registry.port import InvalidModelUri


def pin_folder(uri: str, digest: str, models: Path) -> Pin:
    """Copy the folder to `models/<hex>`, unless it is there already. The copy, not the original, must have the digest.

    Raises InvalidModelUri for what is no folder here, and ArtifactRefused.
    """
    place = models / digest.removeprefix("sha256:")
    version = digest.removeprefix("sha256:")[:8]
    if not place.is_dir():
        source = _folder(uri)
        with tempfile.TemporaryDirectory(prefix=".copying-", dir=models) as temporary:
            copy = Path(temporary) / "model"
            shutil.copytree(source, copy, symlinks=True)
            found = digest_of(copy)
            if found != digest:
                raise ArtifactRefused(f'"{uri}" has the digest {found}, not {digest}: correct one of them')
            keep(copy, digest, models)
    return Pin(uri=uri, name=place.name, version=version, digest=digest, folder=place)


def _folder(uri: str) -> Path:
    parts = urlsplit(uri)
    folder = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not folder.is_absolute() or parts.query or parts.fragment:
        raise InvalidModelUri(f'not a folder of this machine: "{uri}": write file:///absolute/path')
    if not folder.is_dir():
        raise InvalidModelUri(f'no such folder: "{uri}"')
    return folder
