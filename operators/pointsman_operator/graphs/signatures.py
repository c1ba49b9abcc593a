"""What models take and give, by the `MLmodel` that lies beside them in the registry: read once, and never the model itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context

import structlog

from pointsman.graphs.compile import Signature
from pointsman.models.mlmodel import DESCRIPTION, signature
from pointsman.models.tensors import ArtifactRefused
from pointsman.registry.port import Registry, RegistryError
from pointsman_operator.graphs.seen import Unknown
from pointsman_operator.resources.source import REGISTERED

log = structlog.get_logger()

AGAIN_SECONDS = 30.0
"""Between two questions for one that the registry did not tell"""

Known = Signature | ArtifactRefused | Unknown


class Signatures:
    """Those of all models that are asked for, by digest. A digest's signature never changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known = dict[str, Known]()
        self._tasks = dict[str, asyncio.Task[None]]()

    def of(self, sources: Mapping[str, str], changed: Callable[[], None]) -> dict[str, Known]:
        """What is known of these, each digest with the address of its files; `changed` is told when more is.

        Of a model that the registry does not describe, nothing is ever known here.
        """
        for digest, source in sources.items():
            if digest in self._tasks:
                continue
            if source.startswith(REGISTERED):
                self._tasks[digest] = asyncio.create_task(
                    self._learn(digest, source, changed), name=f"signature {digest[:15]}", context=Context()
                )
            else:
                self._known[digest] = Unknown(why=f'"{source}" is not of the registry')
        return {digest: self._known[digest] for digest in sources if digest in self._known}

    async def close(self) -> None:
        """Ask for nothing any more. A question that is under way ends by its own time limit."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _learn(self, digest: str, source: str, changed: Callable[[], None]) -> None:
        while True:
            try:
                text = await asyncio.to_thread(self._registry.read, source, DESCRIPTION)
                found = signature(text) if text is not None else None
                known: Known = found if found is not None else Unknown(why="the registry does not tell its signature")
                is_final = True
            except ArtifactRefused as error:
                known, is_final = error, True
            except RegistryError as error:
                known, is_final = Unknown(why=str(error)), False
                log.warning("signature", digest=digest, error=str(error))
            if known != self._known.get(digest):
                self._known[digest] = known
                changed()
            if is_final:
                return
            await asyncio.sleep(AGAIN_SECONDS)
