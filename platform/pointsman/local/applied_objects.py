"""The applied objects of a running home: the picture in memory, and the database and secret files behind it.

The control socket applies and deletes through it, the supervisor reads its picture and writes statuses. One write at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog

from pointsman.api.documents import Companion
from pointsman.api.meta import Resource
from pointsman.local.applied import NOTHING, Applied
from pointsman.local.companions import read_secret
from pointsman.local.model_changes import ModelChange, change
from pointsman.local.objects import Key, ObjectStore, Result, StoredObject, changes
from pointsman.local.secrets import SecretStore
from pointsman.planning import Told, written

log = structlog.get_logger()


class NotYet(Exception):
    """The objects were not read yet: the database is still starting."""


class AppliedObjects:
    """What is applied. `changed` is called after each change; psycopg.OperationalError is raised while the store is away."""

    def __init__(self, store: ObjectStore, secrets: SecretStore, *, changed: Callable[[], None]) -> None:
        self._store, self._secrets, self._changed = store, secrets, changed
        self._writing = asyncio.Lock()
        self._loaded = False
        self.now = NOTHING

    async def load(self) -> None:
        """Read everything from the database."""
        async with self._writing:
            self.now = Applied.parse(await asyncio.to_thread(self._store.all))
            self._loaded = True

    async def apply(
        self, documents: Sequence[Resource | Companion], *, dry_run: bool = False
    ) -> list[tuple[StoredObject, Result]]:
        """Keep what is new or changed, all or none; with `dry_run` only say what would be. Raises NotYet."""
        self._refuse_too_early()
        async with self._writing:
            values = {
                each.name: read_secret(each.document)
                for each in documents
                if isinstance(each, Companion) and each.kind == "Secret"
            }
            fresh = [name for name, given in values.items() if not self._has(name, given)]
            results = changes(documents, self.now.stored, new_values=fresh)
            news = [stored for stored, result in results if result != "unchanged"]
            if dry_run or not news:
                return results
            for name in values:
                self._secrets.put(name, values[name])
            await asyncio.to_thread(self._store.write, news)
            self.now = Applied.parse({**self.now.stored, **{(each.kind, each.name): each for each in news}})
        self._changed()
        return results

    async def delete(self, kind: str, name: str) -> None:
        """Remove an object; what runs for it ends at the next reconcile. Raises NotYet."""
        self._refuse_too_early()
        async with self._writing:
            await asyncio.to_thread(self._store.delete, (kind, name))
            if kind == "Secret":
                self._secrets.delete(name)
            self.now = Applied.parse({key: each for key, each in self.now.stored.items() if key != (kind, name)})
        self._changed()

    async def write_statuses(self, seen: Applied, told: Mapping[Key, Told], *, now: datetime) -> int:
        """Write each status that says something else than before; how many did.

        Nothing is written for a picture that is no longer the newest: the next reconcile tells about that one.
        """
        async with self._writing:
            if seen is not self.now:
                return 0
            statuses, begun = dict[Key, Mapping[str, object]](), list[ModelChange]()
            for key, each in told.items():
                before = seen.stored[key]
                after = written(each, before.status, generation=before.generation, now=now)
                if after != before.status:
                    statuses[key] = after
                    if (found := change(before.uid, before.name, before.status, after)) is not None:
                        begun.append(found)
            if statuses:
                await asyncio.to_thread(self._store.write_statuses, statuses, begun)
                self.now = seen.with_statuses(statuses)
            return len(statuses)

    def close(self) -> None:
        self._store.close()

    def _has(self, name: str, given: Mapping[str, str]) -> bool:
        return all(self._secrets.get(name, key) == value for key, value in given.items())

    def _refuse_too_early(self) -> None:
        if not self._loaded:
            raise NotYet("the database is still starting")
