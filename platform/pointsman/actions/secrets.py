"""The secrets of a target, as files `<folder>/<secret's name>/<key>`.

On a laptop the supervisor writes them, in a pod the kubelet does. They are read when they are needed, so one that appears or
changes later is used without a restart.
"""

from __future__ import annotations

from pathlib import Path

from pointsman.api.action_target import ActionTarget
from pointsman.api.secret_keys import secret_keys


class SecretUnusable(Exception):
    """The secret is not there or cannot stand in a header; the message does not hold it."""


def missing_secrets(target: ActionTarget, folder: Path | None) -> list[str]:
    """Those that its authentication needs and that cannot be used now, each as `name/key`."""
    needed = () if target.spec.auth is None else secret_keys(target.spec.auth)
    return [f"{name}/{key}" for name, key in needed if not _is_usable(name, key, folder)]


def read_secret(name: str, key: str, folder: Path | None) -> str:
    """A secret's value, without a newline at its end. Raises SecretUnusable."""
    if folder is None:
        raise SecretUnusable(f'secret: there is no folder of secrets: "{name}"')
    try:
        value = (folder / name / key).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise SecretUnusable(f'secret: cannot be read: "{name}", key "{key}"') from None
    if not value or not value.isascii() or not value.isprintable():
        raise SecretUnusable(f'secret: is empty or has characters that no header may have: "{name}"')
    return value


def _is_usable(name: str, key: str, folder: Path | None) -> bool:
    try:
        read_secret(name, key, folder)
    except SecretUnusable:
        return False
    return True
