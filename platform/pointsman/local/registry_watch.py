"""Follows the models that deployments refer to: pins them, and notices a moved alias. Runs beside the reconcile.

A registry that is away, slow or broken keeps nobody waiting: the last pin stays, and the trouble is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Pinned, Unresolved
from pointsman.local.model_folder import pin_folder
from pointsman.models.artifact import ArtifactRefused
from pointsman.registry.pins import Pin, pin
from pointsman.registry.port import InvalidModelUri, ModelUri, Registry, RegistryError

log = structlog.get_logger()

POLL_SECONDS = 2.0
"""Between two questions for a deployment's model: a moved alias is noticed within this and the time of an answer."""
AT_ONCE = 4
"""Questions under way at the same time."""
IN_A_REGISTRY, IN_A_FOLDER = "models:/", "file://"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a deployment refers to; `digest` is what the files must have, None where any will do."""

    uri: str
    digest: str | None


@dataclass(frozen=True, kw_only=True)
class Known:
    """The last answer for one deployment. A pin outlives a registry that is away."""

    pin: Pin | None = None
    trouble: Unresolved | None = None

    @property
    def pinned(self) -> Pinned | None:
        found = self.pin
        return None if found is None else Pinned(uri=found.uri, version=found.version, digest=found.digest)


NOTHING_KNOWN = Known()


class RegistryWatch:
    """The pins of all deployments. `changed` is called when one changes."""

    def __init__(self, registry: Registry, *, models: Path, changed: Callable[[], None]) -> None:
        self._registry, self._models, self._changed = registry, models, changed
        self._wanted = dict[str, Reference]()
        self._known = dict[str, Known]()
        self._tasks = dict[str, asyncio.Task[None]]()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def watch(self, deployments: Mapping[str, ModelDeployment]) -> None:
        """Follow the models of these, and forget all others. What is asked for anew is asked at once."""
        wanted = {
            name: Reference(uri=each.spec.model.uri, digest=each.spec.model.digest)
            for name, each in deployments.items()
        }
        for name in [*self._tasks]:
            if wanted.get(name) != self._wanted.get(name):
                self._tasks.pop(name).cancel()
                self._known.pop(name, None)
        self._wanted = wanted
        for name, reference in wanted.items():
            if name not in self._tasks:
                self._tasks[name] = asyncio.create_task(self._follow(name, reference), name=f"pin {name}")

    def remember(self, name: str, pinned: Pinned) -> None:
        """Take up a pin from before a restart, so that it is used before the registry is up. Call it before `watch`."""
        folder = self._models / pinned.digest.removeprefix("sha256:")
        if folder.is_dir():
            model = ModelUri.parse(pinned.uri).name if pinned.uri.startswith(IN_A_REGISTRY) else folder.name
            self._known[name] = Known(
                pin=Pin(uri=pinned.uri, name=model, version=pinned.version, digest=pinned.digest, folder=folder)
            )

    def known(self, name: str) -> Known:
        """What is known of a deployment's model."""
        return self._known.get(name, NOTHING_KNOWN)

    async def close(self) -> None:
        """Follow nothing any more. A question that is under way ends by its own time limit."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str, reference: Reference) -> None:
        while True:
            before = self.known(name)
            async with self._slots:
                after = await asyncio.to_thread(self._ask, reference, before)
            if after != before:
                self._known[name] = after
                log.info(
                    "registry",
                    deployment=name,
                    uri=reference.uri,
                    version=after.pin and after.pin.version,
                    trouble=after.trouble and after.trouble.message,
                )
                self._changed()
            await asyncio.sleep(POLL_SECONDS)

    def _ask(self, reference: Reference, before: Known) -> Known:
        try:
            found = self._pin(reference, before.pin)
        except RegistryError as error:
            return Known(pin=before.pin, trouble=_trouble(error.reason, error))
        except ArtifactRefused as error:
            return Known(pin=before.pin, trouble=_trouble(Reason.ArtifactRefused, error))
        except InvalidModelUri as error:
            return Known(pin=before.pin, trouble=_trouble(Reason.InvalidReference, error))
        except Exception as error:  # the task must live, and the cause be told
            log.exception("a model could not be pinned", uri=reference.uri)
            return Known(pin=before.pin, trouble=_trouble(Reason.RegistryUnreachable, error))
        if reference.digest is not None and found.digest != reference.digest:
            message = f'"{reference.uri}" has the digest {found.digest}, not {reference.digest}: correct one of them'
            return Known(pin=before.pin, trouble=Unresolved(reason=Reason.DigestMismatch, message=message))
        return Known(pin=found)

    def _pin(self, reference: Reference, known: Pin | None) -> Pin:
        if reference.uri.startswith(IN_A_FOLDER):
            return pin_folder(reference.uri, reference.digest or "", self._models)
        if not reference.uri.startswith(IN_A_REGISTRY):
            raise InvalidModelUri(
                f'"{reference.uri}" is not fetched here: register the model, or use models:/… or file:///… with digest'
            )
        return pin(self._registry, ModelUri.parse(reference.uri), self._models, known=known)


def _trouble(reason: Reason, error: Exception) -> Unresolved:
    return Unresolved(reason=reason, message=" ".join(str(error).split()) or type(error).__name__)
