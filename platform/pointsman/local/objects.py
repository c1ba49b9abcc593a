"""The applied objects, in the database: created, configured, left unchanged, deleted. All writes are idempotent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.api.documents import Companion, plain, read
from pointsman.api.meta import Resource

Key = tuple[str, str]
"""(kind, name)"""


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
        """The document as a kind, with its uid and generation."""
        (found,) = read([self.document])
        if isinstance(found, Companion):
            return found
        metadata = found.metadata.model_copy(update={"uid": self.uid, "generation": self.generation})
        return found.model_copy(update={"metadata": metadata})

    def whole(self) -> dict[str, Any]:
        """As `get` shows it."""
        metadata = {**self.document.get("metadata", {}), "uid": self.uid, "generation": self.generation}
        return {**self.document, "metadata": metadata, "status": self.status}


class ObjectStore:
    """The `objects` table through one connection; the caller reconnects when the server was away."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection

    def all(self) -> dict[Key, StoredObject]:
        """Every applied object."""
        with self._connection.transaction():
            rows = self._connection.execute(
                "SELECT kind, name, uid, generation, document, status FROM objects ORDER BY created_at, kind, name"
            ).fetchall()
        return {
            (kind, name): StoredObject(
                kind=kind, name=name, uid=str(uid), generation=generation, document=document, status=status
            )
            for kind, name, uid, generation, document, status in rows
        }

    def apply(
        self, documents: Sequence[Resource | Companion], existing: dict[Key, StoredObject], *, dry_run: bool
    ) -> list[tuple[StoredObject, str]]:
        """Write what is new or changed, in one transaction; each with `created`, `configured` or `unchanged`."""
        results = list[tuple[StoredObject, str]]()
        for each in documents:
            document, known = _without_values(each), existing.get((each.kind, each.name))
            if known is None:
                stored = StoredObject(
                    kind=each.kind, name=each.name, uid=str(uuid4()), generation=1, document=document, status={}
                )
                results.append((stored, "created"))
            elif known.document == document:
                results.append((known, "unchanged"))
            else:
                changed = _spec(known.document) != _spec(document)
                generation = known.generation + (1 if changed else 0)
                results.append((replace(known, document=document, generation=generation), "configured"))
        if not dry_run:
            with self._connection.transaction():
                for stored, result in results:
                    if result != "unchanged":
                        self._connection.execute(
                            "INSERT INTO objects (kind, name, uid, generation, document) VALUES (%s, %s, %s, %s, %s) "
                            "ON CONFLICT (kind, name) DO UPDATE SET generation = excluded.generation, "
                            "document = excluded.document, updated_at = now()",
                            (stored.kind, stored.name, stored.uid, stored.generation, _json(stored.document)),
                        )
        return results

    def write_status(self, key: Key, status: dict[str, Any]) -> None:
        """Keep an object's status; call it only when it changed."""
        with self._connection.transaction():
            self._connection.execute(
                "UPDATE objects SET status = %s, updated_at = now() WHERE kind = %s AND name = %s",
                (_json(status), *key),
            )

    def delete(self, key: Key) -> None:
        """Remove an object; nothing happens where it is gone already."""
        with self._connection.transaction():
            self._connection.execute("DELETE FROM objects WHERE kind = %s AND name = %s", key)


def _without_values(each: Resource | Companion) -> dict[str, Any]:
    """The document as it is kept. A Secret's values are not: they lie in files of their own."""
    document = plain(each)
    if each.kind == "Secret":
        keys = sorted({*document.get("stringData", {}), *document.get("data", {})})
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": document["metadata"],
            "data": dict.fromkeys(keys, ""),
        }
    return document


def _spec(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("metadata", "status")}


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
