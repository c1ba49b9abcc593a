"""The digest of a model's folder. Called when a model is pinned and each time a pinned one is opened.

The folder is read as data by whoever may have written it: every link, special file, shared inode and doubtful name is
refused, so that what was digested is what will be opened.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NoReturn

import orjson

from pointsman.models.tensors import ArtifactRefused

FILES = 1_000
FILE_BYTES = 2 * 1024**3
FOLDER_BYTES = 4 * 1024**3
FOLDER_DEPTH = 16
CHUNK = 1024 * 1024


def digest_of(folder: Path) -> str:
    """SHA-256 of the sorted manifest of (path, size, sha256), as `sha256:<hex>`. Raises ArtifactRefused."""
    manifest = [[name, size, digest] for name, size, digest in sorted(_files(folder))]
    if not manifest:
        raise ArtifactRefused(f'no files: "{folder}": register the model again')
    return "sha256:" + hashlib.sha256(orjson.dumps(manifest)).hexdigest()


def _files(folder: Path) -> list[tuple[str, int, str]]:
    if folder.is_symlink() or not folder.is_dir():
        raise ArtifactRefused(f'not a folder: "{folder}": fetch the model again')
    found, taken = list[tuple[str, int, str]](), 0
    for parent, folders, names in os.walk(folder, followlinks=False, onerror=_unreadable):
        for name in [*folders, *names]:
            path = Path(parent) / name
            relative = _plain(path.relative_to(folder))
            if name in folders and not path.is_symlink():
                continue
            size, digest = _read(path)
            taken += size
            if taken > FOLDER_BYTES:
                raise ArtifactRefused(f'more than {FOLDER_BYTES} bytes: "{folder}": register the model alone')
            found.append((relative, size, digest))
            if len(found) > FILES:
                raise ArtifactRefused(f'more than {FILES} files: "{folder}": register the model alone')
    return found


def _unreadable(error: OSError) -> NoReturn:
    raise ArtifactRefused(f'a folder that cannot be read: "{error.filename}": give it to the user who runs this')


def _plain(path: Path) -> str:
    """The name inside the folder: it must mean the same on every system that the model is fetched to."""
    name = path.as_posix()
    if len(path.parts) > FOLDER_DEPTH:
        raise ArtifactRefused(f'folders deeper than {FOLDER_DEPTH}: "{name[:200]}": register the model alone')
    if not name.isprintable() or any(strange in name for strange in '\\:*?"<>|') or path.is_absolute():
        raise ArtifactRefused(f"a name that is not plain text: {name[:200]!a}: rename the file and register again")
    return name


def _read(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a plain file, looked at and read through one descriptor: it cannot be swapped in between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise ArtifactRefused(f'a link: "{path}": register plain files') from error
        raise ArtifactRefused(
            f'a file that cannot be read: "{path}": {error.strerror}: fetch the model again'
        ) from error
    with open(descriptor, "rb", buffering=0) as stream:
        state = os.fstat(stream.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise ArtifactRefused(f'a special file: "{path}": register plain files')
        if state.st_nlink > 1:
            raise ArtifactRefused(f'a file that has other names: "{path}": fetch the model again')
        if state.st_size > FILE_BYTES:
            raise ArtifactRefused(f'{state.st_size} bytes: "{path}": at most {FILE_BYTES} are taken')
        sha, size = hashlib.sha256(), 0
        while chunk := stream.read(CHUNK):
            sha.update(chunk)
            size += len(chunk)
        if size != state.st_size:
            raise ArtifactRefused(f'a file that changes while it is read: "{path}": fetch the model again')
    return size, sha.hexdigest()
