"""The record of which version of a model served from when: a row and a leaf of the ledger each time another one begins.

Written in the transaction that writes the status which says so, so it is there once for each, whatever ends in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.deployments.history import Entry, serving
from pointsman.ledger.append import append_leaves

INSERT = "INSERT INTO model_changes (change_id, deployment_uid, at, body) VALUES (%s, %s, %s, %s)"


@dataclass(frozen=True, kw_only=True)
class ModelChange:
    """A revision that begins to serve, as the status's history has it."""

    deployment_uid: str
    name: str
    entry: Entry


def change(uid: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> ModelChange | None:
    """What two statuses of a deployment say has begun to serve in between."""
    old, new = serving(before.get("history", ())), serving(after.get("history", ()))
    if new is None or (old is not None and old["servedFrom"] == new["servedFrom"] and old["digest"] == new["digest"]):
        return None
    return ModelChange(deployment_uid=uid, name=name, entry=new)


def record(connection: psycopg.Connection[TupleRow], changes: Iterable[ModelChange]) -> None:
    """Write the rows and the leaves. Call it last in the transaction: it locks the ledger's head."""
    ids, bodies = list[UUID](), list[bytes]()
    for each in changes:
        change_id, entry = uuid4(), each.entry
        body = {
            "version": 1,
            "id": str(change_id),
            "deployment": each.deployment_uid,
            "name": each.name,
            "model": {field: entry.get(field) for field in ("uri", "version", "digest", "revision")},
            "servedFrom": entry["servedFrom"],
        }
        ids.append(change_id)
        bodies.append(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))
        connection.execute(INSERT, (change_id, each.deployment_uid, entry["servedFrom"], bodies[-1]))
    append_leaves(connection, "model", [each.bytes for each in ids], bodies)
