"""Secrets of the local runtime: files that only their owner can read, `<secrets>/<name>/<key>`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
FIRST_KEY = ("pointsman-key", "key")
"""The API key of whoever owns the home: the command line sends it."""
KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


class SecretStore:
    """The secrets below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, values: Mapping[str, str]) -> None:
        """Keep a secret's values; keys that it no longer has are removed. Raises ValueError for a bad name."""
        _check(name, *values)
        place = self.folder / name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key, value in values.items():
            fresh = place / f".{key}.new"
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(value)
            fresh.replace(place / key)
        for old in place.iterdir():
            if old.name not in values:
                old.unlink()

    def get(self, name: str, key: str) -> str | None:
        """A value, or None where there is none."""
        _check(name, key)
        try:
            return (self.folder / name / key).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, name: str) -> None:
        """Remove a secret; nothing happens where there is none."""
        _check(name)
        shutil.rmtree(self.folder / name, ignore_errors=True)


def _check(name: str, *keys: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f'not a secret\'s name: "{name}"')
    for key in keys:
        if not KEY.fullmatch(key) or key in (".", ".."):
            raise ValueError(f'not a secret\'s key: "{key}"')
