"""Pins: a reference becomes a folder of files that never change again, named by their digest.

The supervisor pins what a ModelDeployment refers to; runtimes open the folder by its digest and never ask a registry.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pointsman.models.artifact import digest_of
from pointsman.registry.port import ModelUri, Registry, ResolvedModel

READ_ONLY = 0o444


@dataclass(frozen=True, kw_only=True)
class Pin:
    """What a reference meant when it was asked for, and where the files lie."""

    uri: str
    name: str
    version: str
    digest: str
    """`sha256:` and hex; the folder is named by the hex"""
    folder: Path


def pin(registry: Registry, uri: ModelUri, models_folder: Path, *, known: Pin | None = None) -> Pin:
    """Resolve, fetch, digest, and keep under `models_folder/<hex>`.

    The same files come to lie in the same folder, however often and by however many processes. With `known`, an earlier
    pin, a version that it already holds is not fetched again: asking for a moved alias costs one question.
    Raises RegistryError, and models.artifact.ArtifactRefused for what cannot be digested.
    """
    resolved = registry.resolve(uri)
    if known is not None and (known.name, known.version) == (resolved.name, resolved.version) and known.folder.is_dir():
        return _pin(uri, resolved, known.digest, known.folder)
    models_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=models_folder) as temporary:
        fetched = Path(temporary) / "model"
        fetched.mkdir()
        registry.fetch(resolved, fetched)
        digest = digest_of(fetched)
        return _pin(uri, resolved, digest, keep(fetched, digest, models_folder))


def keep(fetched: Path, digest: str, models_folder: Path) -> Path:
    """Move a folder of this digest, on the same file system, to its place and make its files read-only.

    Where the place is taken by the same files nothing happens; files that were tampered with there are replaced.
    """
    place = models_folder / digest.removeprefix("sha256:")
    for file in fetched.rglob("*"):
        if file.is_file():
            file.chmod(READ_ONLY)
    try:
        os.rename(fetched, place)
    except OSError:
        if not place.is_dir():
            raise
        if digest_of(place) != digest:
            with tempfile.TemporaryDirectory(prefix=".refused-", dir=models_folder) as aside:
                os.rename(place, Path(aside) / "model")
                os.rename(fetched, place)
        else:
            shutil.rmtree(fetched)
    return place


def _pin(uri: ModelUri, resolved: ResolvedModel, digest: str, folder: Path) -> Pin:
    return Pin(uri=str(uri), name=resolved.name, version=resolved.version, digest=digest, folder=folder)
