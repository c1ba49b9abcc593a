"""What is asked of a model registry, whichever it is: which version a reference means, that version's files, and its tags.

The supervisor and the operator ask through this port when a ModelDeployment is applied, look again for moved aliases, and
write back what has become of a version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pointsman.api.reasons import Reason

_REFERENCE = re.compile(r"models:/(?P<name>[^\s/@]{1,256})(/(?P<version>[1-9][0-9]{0,9})|@(?P<alias>[^\s/@]{1,256}))")


class RegistryError(Exception):
    """A reference did not become files. `reason` is what a condition says; `retry` whether asking again can help."""

    reason: ClassVar[Reason]
    retry: ClassVar[bool] = False


class RegistryUnreachable(RegistryError):
    """Nobody answered, or not as a registry does. Ask again later."""

    reason = Reason.RegistryUnreachable
    retry = True


class ModelNotFound(RegistryError):
    """The registry has no such model or version. Register it, or correct the reference."""

    reason = Reason.ModelNotFound


class AliasNotFound(RegistryError):
    """The model has no such alias. Set it, or correct the reference."""

    reason = Reason.AliasNotFound


class FilesRefused(RegistryError):
    """The version's files are not where they may be read from, have unsafe names, or are too many or too large."""

    reason = Reason.ArtifactRefused


class InvalidModelUri(ValueError):
    """A text that is no reference to a registered model."""


@dataclass(frozen=True, kw_only=True)
class ModelUri:
    """A reference to a registered model: by version, or by an alias that can move. One of the two is None."""

    name: str
    version: str | None = None
    alias: str | None = None

    @staticmethod
    def parse(text: str) -> ModelUri:
        """Read `models:/name@alias` or `models:/name/3`. Raises InvalidModelUri."""
        match = _REFERENCE.fullmatch(text)
        if match is None or match["name"] in (".", ".."):
            raise InvalidModelUri(f'not "models:/name@alias" or "models:/name/version": "{text}"')
        return ModelUri(**match.groupdict())

    def __str__(self) -> str:
        return f"models:/{self.name}@{self.alias}" if self.alias else f"models:/{self.name}/{self.version}"


def lasting(uri: str, version: str) -> str | None:
    """The reference to this version, wherever an alias moves to; None where nothing in a registry was referred to."""
    try:
        return str(ModelUri(name=ModelUri.parse(uri).name, version=version))
    except InvalidModelUri:
        return None


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """What a reference meant at the moment of asking. `alias` is None where the reference named the version."""

    name: str
    version: str
    alias: str | None
    artifact_uri: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: str


class Registry(Protocol):
    """A model registry. All methods raise RegistryError's kinds, and nothing of the library beneath."""

    def resolve(self, uri: ModelUri) -> ResolvedModel:
        """Ask which version the reference means now; nothing is downloaded."""

    def fetch(self, resolved: ResolvedModel, folder: Path) -> None:
        """Write the version's files into a folder that exists and is empty; after an error they mean nothing."""

    def read(self, source: str, name: str) -> bytes | None:
        """One small file of a version, by the address of the version's files; None where it has no such file."""

    def tags(self, version: ModelVersion) -> Mapping[str, str] | None:
        """The tags of a version; None where the registry does not have it any more."""

    def tag(self, version: ModelVersion, name: str, value: str) -> None:
        """Give a version a tag, in place of the one of this name."""
