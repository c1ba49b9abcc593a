"""The applied objects in the database: created, configured, left unchanged, deleted. All writes are idempotent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar
from uuid import uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.api.documents import Companion, plain, read
from pointsman.api.meta import Resource
from pointsman.local.model_changes import ModelChange, record
from pointsman.store.database import connect

Key = tuple[str, str]
"""(kind, name)"""
Result = Literal["created", "configured", "unchanged"]
Connection = psycopg.Connection[TupleRow]
T = TypeVar("T")

SET_BY_A_SERVER = frozenset(
    {"uid", "generation", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp"}
)
"""Metadata that a document which was read from a server carries; it is no part of what its author asks for."""

UPSERT = """
INSERT INTO objects (kind, name, uid, generation, document, created_at) VALUES (%s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (kind, name) DO UPDATE
SET generation = excluded.generation, document = excluded.document, updated_at = now()
"""
UPDATE_STATUS = "UPDATE objects SET status = %s, updated_at = now() WHERE kind = %s AND name = %s"


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An applied document with its identity and its status."""

    kind: str
    name: str
    uid: str
    generation: int
    document: dict[str, Any]
    status: dict[str, Any]

    def resource(self) -> Resource | Companion:
        """The document as a kind, with its uid and generation. Raises InvalidDocuments."""
        (found,) = read([self.document])
        if isinstance(found, Companion):
            return found
        metadata = found.metadata.model_copy(update={"uid": self.uid, "generation": self.generation})
        return found.model_copy(update={"metadata": metadata})

    def whole(self) -> dict[str, Any]:
        """As `get` shows it."""
        metadata = {**self.document.get("metadata", {}), "uid": self.uid, "generation": self.generation}
        return {**self.document, "metadata": metadata, "status": self.status}


def changes(
    documents: Sequence[Resource | Companion],
    existing: Mapping[Key, StoredObject],
    *,
    new_values: Collection[str] = (),
    new_uid: Callable[[], str] = lambda: str(uuid4()),
) -> list[tuple[StoredObject, Result]]:
    """What applying the documents would make of them. The generation grows with the spec alone, the uid is made once.

    `new_values` names the Secrets whose values differ from those that are kept.
    """
    results = list[tuple[StoredObject, Result]]()
    for each in documents:
        document, known = _kept(each), existing.get((each.kind, each.name))
        if known is None:
            stored = StoredObject(
                kind=each.kind, name=each.name, uid=new_uid(), generation=1, document=document, status={}
            )
            results.append((stored, "created"))
        elif _spec(known.document) != _spec(document) or (each.kind == "Secret" and each.name in new_values):
            results.append((replace(known, document=document, generation=known.generation + 1), "configured"))
        elif known.document != document:
            results.append((replace(known, document=document), "configured"))
        else:
            results.append((known, "unchanged"))
    return results


class ObjectStore:
    """The `objects` table. Each call connects where the last connection was lost; it blocks.

    Raises psycopg.OperationalError while the server is away.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    def all(self) -> dict[Key, StoredObject]:
        """Every applied object, in the order of creation."""
        rows = self._do(
            lambda connection: connection.execute(
                "SELECT kind, name, uid, generation, document, status FROM objects ORDER BY created_at, kind, name"
            ).fetchall()
        )
        return {
            (kind, name): StoredObject(
                kind=kind, name=name, uid=str(uid), generation=generation, document=document, status=status
            )
            for kind, name, uid, generation, document, status in rows
        }

    def write(self, objects: Iterable[StoredObject]) -> None:
        """Keep documents with their generations, all or none."""
        rows = [(each.kind, each.name, each.uid, each.generation, _json(each.document)) for each in objects]
        if rows:
            self._do(lambda connection: connection.cursor().executemany(UPSERT, rows))

    def write_statuses(self, statuses: Mapping[Key, Mapping[str, Any]], begun: Sequence[ModelChange] = ()) -> None:
        """Keep statuses, and the record of what they say has begun to serve, all or none; call it with those that changed."""
        rows = [(_json(status), *key) for key, status in statuses.items()]
        if not rows:
            return

        def write(connection: Connection) -> None:
            connection.cursor().executemany(UPDATE_STATUS, rows)
            record(connection, begun)

        self._do(write)

    def delete(self, key: Key) -> None:
        """Remove an object; nothing happens where it is gone already."""
        self._do(lambda connection: connection.execute("DELETE FROM objects WHERE kind = %s AND name = %s", key))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, work: Callable[[Connection], T]) -> T:
        """Work in one transaction; a connection that turns out to be lost is replaced once."""
        if self._connection is not None:
            try:
                with self._connection.transaction():
                    return work(self._connection)
            except psycopg.OperationalError:
                if not self._connection.broken and not self._connection.closed:
                    raise
                self.close()
        self._connection = connect(self._url)
        with self._connection.transaction():
            return work(self._connection)


def _kept(each: Resource | Companion) -> dict[str, Any]:
    """The document as it is kept: without what a server sets, and without a Secret's values, which lie in files."""
    document = {name: value for name, value in plain(each).items() if name != "status"}
    metadata = {name: value for name, value in document["metadata"].items() if name not in SET_BY_A_SERVER}
    if each.kind == "Secret":
        keys = sorted({*(document.get("stringData") or {}), *(document.get("data") or {})})
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": dict.fromkeys(keys, "")}
    return {**document, "metadata": metadata}


def _spec(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("metadata", "status")}


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
