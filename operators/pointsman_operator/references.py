"""Follows the models that ModelDeployments refer to: pins them, and notices a moved alias. Never keeps a reconcile waiting.

A version of the registry is downloaded once, into a folder that is deleted again, to know its digest; pods fetch it for
themselves and check it. What the status says was proposed last is taken up after a restart and not downloaded again.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog
from prometheus_client import Counter

from pointsman.api.model_deployment import ModelDeployment, ModelReference
from pointsman.api.reasons import Reason
from pointsman.deployments.history import newest
from pointsman.deployments.plan import Unresolved
from pointsman.models.artifact import ArtifactRefused, digest_of
from pointsman.registry.port import (
    FilesRefused,
    InvalidModelUri,
    ModelUri,
    Registry,
    RegistryError,
    ResolvedModel,
)
from pointsman_operator.cluster.memory import Key
from pointsman_operator.resources.source import REGISTERED
from pointsman_operator.seen import Raw, Reference

log = structlog.get_logger()

IN_THE_REGISTRY = "models:/"
AT_ONCE = 4
"""Questions under way at the same time"""
QUESTIONS = Counter("pointsman_operator_registry_questions", "Questions to the model registry", ["outcome"])
for _outcome in ("answered", "unreachable"):
    QUESTIONS.labels(_outcome)


@dataclass(frozen=True, kw_only=True)
class Files:
    """A version's files: where they are, and their digest. They never change."""

    version: str
    source: str
    digest: str


class References:
    """What every reference means. `changed` is told of each ModelDeployment whose reference means something else now."""

    def __init__(self, registry: Registry, *, poll_seconds: float, changed: Callable[[Key], None]) -> None:
        self._registry, self._poll, self._changed = registry, poll_seconds, changed
        self._tasks = dict[str, asyncio.Task[None]]()
        self._users = dict[str, set[Key]]()
        self._wants = dict[Key, str]()
        self._files = dict[str, Files]()
        self._troubles = dict[str, Unresolved]()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def known(self, key: Key, deployment: ModelDeployment, status: Raw) -> Reference:
        """What is known of a ModelDeployment's model now; it is followed from here on."""
        model = deployment.spec.model
        if not model.uri.startswith(IN_THE_REGISTRY):
            self.forget(key)
            return _addressed(model)
        if self._wants.get(key) != model.uri:
            self.forget(key)
            self._wants[key] = model.uri
            self._users.setdefault(model.uri, set()).add(key)
            before = newest(status.get("history", ()))
            if before is not None and before.get("uri") == model.uri and before.get("source"):
                files = Files(version=before["version"], source=before["source"], digest=before["digest"])
                self._files.setdefault(model.uri, files)
            if model.uri not in self._tasks:
                self._tasks[model.uri] = asyncio.create_task(
                    self._follow(model.uri), name=f"follow {model.uri}", context=Context()
                )
        return _checked(model, self._files.get(model.uri), self._troubles.get(model.uri))

    def forget(self, key: Key) -> None:
        """Follow nothing for a ModelDeployment any more."""
        uri = self._wants.pop(key, None)
        if uri is None:
            return
        self._users[uri].discard(key)
        if not self._users[uri]:
            del self._users[uri]
            self._tasks.pop(uri).cancel()
            self._files.pop(uri, None)
            self._troubles.pop(uri, None)

    async def close(self) -> None:
        """Follow nothing any more. A question that is under way ends by its own time limit."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, uri: str) -> None:
        while True:
            before = self._files.get(uri), self._troubles.get(uri)
            async with self._slots:
                files, trouble = await asyncio.to_thread(self._ask, uri, before[0])
            away = trouble is not None and trouble.reason == Reason.RegistryUnreachable
            QUESTIONS.labels("unreachable" if away else "answered").inc()
            if (files, trouble) != before:
                self._remember(uri, files, trouble)
                log.info("registry", uri=uri, version=files and files.version, trouble=trouble and trouble.message)
                for key in self._users.get(uri, ()):
                    self._changed(key)
            await asyncio.sleep(self._poll)

    def _remember(self, uri: str, files: Files | None, trouble: Unresolved | None) -> None:
        if files is not None:
            self._files[uri] = files
        if trouble is not None:
            self._troubles[uri] = trouble
        else:
            self._troubles.pop(uri, None)

    def _ask(self, uri: str, known: Files | None) -> tuple[Files | None, Unresolved | None]:
        """What the reference means now. What was known stays where the registry is in trouble."""
        try:
            resolved = self._registry.resolve(ModelUri.parse(uri))
            source = _source(resolved)
            if known is not None and (known.version, known.source) == (resolved.version, source):
                return known, None
            return Files(version=resolved.version, source=source, digest=self._digest(resolved)), None
        except RegistryError as error:
            return known, Unresolved(reason=error.reason, message=_line(error))
        except ArtifactRefused as error:
            return known, Unresolved(reason=Reason.ArtifactRefused, message=_line(error))
        except InvalidModelUri as error:
            return known, Unresolved(reason=Reason.InvalidReference, message=_line(error))
        except Exception as error:  # the task must live, and the cause be told
            log.exception("a model could not be pinned", uri=uri)
            return known, Unresolved(reason=Reason.RegistryUnreachable, message=_line(error))

    def _digest(self, resolved: ResolvedModel) -> str:
        with tempfile.TemporaryDirectory(prefix="pointsman-digest-") as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir()
            self._registry.fetch(resolved, folder)
            return digest_of(folder)


def _source(resolved: ResolvedModel) -> str:
    """The address of the files, as our fetcher takes it. Raises FilesRefused where the registry does not hand them out."""
    place = urlsplit(resolved.artifact_uri)
    if place.scheme != "mlflow-artifacts":
        raise FilesRefused(
            f'the files are at "{resolved.artifact_uri}": let the MLflow server hand them out (--serve-artifacts)'
        )
    return REGISTERED + unquote(place.path).lstrip("/")


def _addressed(model: ModelReference) -> Reference:
    """A model that is not in the registry: its address and digest are all there is to know."""
    assert model.digest is not None
    version = model.digest.removeprefix("sha256:")[:12]
    return Reference(uri=model.uri, version=version, digest=model.digest, source=model.uri)


def _checked(model: ModelReference, files: Files | None, trouble: Unresolved | None) -> Reference:
    """With the digest that the document asks for, where it asks for one."""
    if files is None:
        return Reference(uri=model.uri, trouble=trouble)
    if model.digest is not None and files.digest != model.digest:
        message = f'"{model.uri}" has the digest {files.digest}, not {model.digest}: correct one of them'
        return Reference(uri=model.uri, trouble=Unresolved(reason=Reason.DigestMismatch, message=message))
    return Reference(uri=model.uri, version=files.version, digest=files.digest, source=files.source, trouble=trouble)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
