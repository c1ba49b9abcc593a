"""Follows the registry: pins what ModelDeployments refer to, and notices a moved alias. Runs beside the reconcile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Pinned, Unresolved
from pointsman.models.artifact import ArtifactRefused
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.pins import Pin, pin
from pointsman.registry.port import (
    AliasNotFound,
    FilesRefused,
    InvalidModelUri,
    ModelNotFound,
    ModelUri,
    RegistryError,
    RegistryUnreachable,
)

log = structlog.get_logger()

POLL_SECONDS = 2.0
REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (RegistryUnreachable, Reason.RegistryUnreachable),
    (ModelNotFound, Reason.ModelNotFound),
    (AliasNotFound, Reason.AliasNotFound),
    (FilesRefused, Reason.ArtifactRefused),
    (ArtifactRefused, Reason.ArtifactRefused),
    (InvalidModelUri, Reason.InvalidReference),
)


@dataclass(frozen=True, kw_only=True)
class Known:
    """The last answer for one deployment. A pin outlives a registry that is away."""

    pin: Pin | None = None
    trouble: Unresolved | None = None

    @property
    def pinned(self) -> Pinned | None:
        return None if self.pin is None else Pinned(version=self.pin.version, digest=self.pin.digest)


class RegistryWatch:
    """The pins of all deployments. `changed` is called when one changes."""

    def __init__(self, url: str, *, artifacts: Path, models: Path, changed: Callable[[], None]) -> None:
        self._registry = MlflowRegistry(url, local_root=artifacts)
        self._models, self._changed = models, changed
        self._wanted = dict[str, str]()
        self._known = dict[str, Known]()
        self._now = asyncio.Event()

    def want(self, deployments: Mapping[str, ModelDeployment]) -> None:
        """Follow these, and forget all others."""
        wanted = {name: each.spec.model.uri for name, each in deployments.items()}
        if wanted != self._wanted:
            self._known = {
                name: known for name, known in self._known.items() if wanted.get(name) == self._wanted.get(name)
            }
            self._wanted = wanted
            self._now.set()

    def remember(self, name: str, uri: str, pinned: Pinned) -> None:
        """Take up a pin from before a restart, where its files are still there."""
        folder = self._models / pinned.digest.removeprefix("sha256:")
        if folder.is_dir() and name not in self._known:
            model = ModelUri.parse(uri)
            self._known[name] = Known(
                pin=Pin(uri=uri, name=model.name, version=pinned.version, digest=pinned.digest, folder=folder)
            )
            self._wanted[name] = uri

    def known(self, name: str) -> Known:
        """What is known of a deployment's model."""
        return self._known.get(name, Known())

    async def run(self) -> None:
        """Ask the registry every two seconds, and at once when something new is wanted."""
        while True:
            self._now.clear()
            for name, uri in list(self._wanted.items()):
                before = self.known(name)
                after = await asyncio.to_thread(self._ask, uri, before)
                if after != before and self._wanted.get(name) == uri:
                    self._known[name] = after
                    log.info("registry", deployment=name, uri=uri, pin=after.pin and after.pin.version,
                             trouble=after.trouble and after.trouble.message)  # fmt: skip
                    self._changed()
            try:
                await asyncio.wait_for(self._now.wait(), POLL_SECONDS)
            except TimeoutError:
                continue

    def _ask(self, uri: str, before: Known) -> Known:
        try:
            return Known(pin=pin(self._registry, ModelUri.parse(uri), self._models, known=before.pin))
        except (RegistryError, ArtifactRefused, InvalidModelUri, OSError) as error:
            reason = next((why for kind, why in REASONS if isinstance(error, kind)), Reason.RegistryUnreachable)
            return Known(pin=before.pin, trouble=Unresolved(reason=reason, message=" ".join(str(error).split())))
