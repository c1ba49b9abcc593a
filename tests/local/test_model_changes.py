"""Which version of a model served from when is in the ledger: once each, with the status that says so, or not at all."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
import pytest

from pointsman.ledger.verify import verify
from pointsman.local.model_changes import ModelChange, change
from pointsman.local.objects import ObjectStore, StoredObject
from pointsman.store.database import connect

pytestmark = pytest.mark.slow

UID = "11111111-1111-1111-1111-111111111111"
KEY = ("ModelDeployment", "fraud")
FIRST, SECOND = "2026-11-03T12:00:00Z", "2026-11-03T13:00:00Z"


def status(version: str, since: str, **more: str) -> dict[str, Any]:
    uri = "models:/fraud@champion"
    entry = {
        "version": version,
        "digest": f"sha256:{version}",
        "revision": f"r{version}",
        "uri": uri,
        "servedFrom": since,
    }
    return {"version": version, "history": [entry], **more}


def begun(before: dict[str, Any], after: dict[str, Any]) -> list[ModelChange]:
    found = change(UID, "fraud", before, after)
    return [] if found is None else [found]


@pytest.fixture
def store(database_url: str) -> Any:
    store = ObjectStore(database_url)
    document = {"metadata": {"name": "fraud"}}
    store.write([StoredObject(kind=KEY[0], name=KEY[1], uid=UID, generation=1, document=document, status={})])
    yield store
    store.close()


def recorded(database_url: str) -> list[tuple[str, str]]:
    """Version and moment of what the ledger commits to; the ledger holds."""
    with connect(database_url) as connection:
        bodies = [orjson.loads(body) for (body,) in connection.execute("SELECT body FROM model_changes ORDER BY seq")]
        connection.commit()
        report = verify(connection)
    assert report.holds, report.problems
    assert report.bodies_checked == len(bodies)
    assert all((body["version"], body["deployment"], body["name"]) == (1, UID, "fraud") for body in bodies)
    return [(body["model"]["version"], body["servedFrom"]) for body in bodies]


def test_each_version_that_begins_to_serve_is_a_leaf(store: ObjectStore, database_url: str) -> None:
    one, two = status("1", FIRST), status("2", SECOND)
    for before, after in (({}, one), (one, {**one, "replicas": 1}), (one, two)):
        store.write_statuses({KEY: after}, begun(before, after))
    assert recorded(database_url) == [("1", FIRST), ("2", SECOND)]


def test_a_body_that_was_changed_is_found(store: ObjectStore, database_url: str, owner_url: str) -> None:
    store.write_statuses({KEY: status("1", FIRST)}, begun({}, status("1", FIRST)))
    with connect(owner_url) as connection, connection.transaction():
        connection.execute("UPDATE model_changes SET body = convert_to('{}', 'UTF8')")
    with connect(database_url) as connection:
        assert "leaf 0: this model's stored body" in verify(connection).problems[0]


def test_what_is_recorded_cannot_be_changed_by_who_records_it(store: ObjectStore, database_url: str) -> None:
    with connect(database_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM model_changes")


def test_a_status_that_cannot_be_written_leaves_no_leaf(store: ObjectStore, database_url: str) -> None:
    after = status("1", FIRST)
    broken = ModelChange(deployment_uid="no uid", name="fraud", entry=after["history"][0])
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        store.write_statuses({KEY: after}, [broken])
    assert store.all()[KEY].status == {}
    assert recorded(database_url) == []


def test_what_ceases_to_serve_and_what_is_only_proposed_is_no_beginning() -> None:
    one = status("1", FIRST)
    over = {"history": [{**one["history"][0], "servedUntil": SECOND}]}
    proposed = {"history": [*one["history"], {"version": "2", "digest": "sha256:2", "proposedAt": SECOND}]}
    assert begun(one, over) == begun(one, proposed) == begun(over, over) == []
    assert len(begun(over, status("1", SECOND))) == 1
