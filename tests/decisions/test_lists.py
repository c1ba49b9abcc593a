"""Lists in the store: changed by people, in effect for the next batch, a leaf of the ledger for each change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import psycopg
import pytest

from pointsman.decisions import list_store
from pointsman.decisions.queries import explain
from pointsman.ledger.verify import verify
from pointsman.store.database import connect

NOW = datetime.now(UTC)


@pytest.fixture
def uid(library):
    return library.graph.resolved.graph_uid


@pytest.fixture
def connection(database_url):
    with connect(database_url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def look_at_every_batch(monkeypatch) -> None:
    monkeypatch.setattr(list_store, "READ_SECONDS", 0.0)


def block(connection, uid, value="card-1", expires_at=None):
    return list_store.add(
        connection, uid, "stolen_cards", value, author="ann", comment="phoned in", expires_at=expires_at, now=NOW
    )


def test_an_entry_is_in_effect_for_the_next_batch_and_stands_in_the_decision(
    open_engine, submit, event, connection, uid
) -> None:
    engine = open_engine()
    (before,) = submit(engine, [event()])
    listed, changed = block(connection, uid)
    (after,) = submit(engine, [event()])
    assert (before["outcome"], changed, after["outcome"], list(after["reasons"])) == (
        "approve",
        True,
        "review",
        ["StolenCard"],
    )
    record = explain(connection, str(after["decision"]))["decision"]
    assert record["lists"] == [
        {"list": "stolen_cards", "entry": listed.entry.entry_id, "author": "ann", "comment": "phoned in"}
    ]
    assert record["values"]["known.stolen_cards"] is True


def test_what_is_taken_out_counts_no_more(open_engine, submit, event, connection, uid) -> None:
    engine = open_engine()
    block(connection, uid)
    assert list_store.remove(connection, uid, "stolen_cards", "card-1", author="bob", comment="found", now=NOW)
    (answer,) = submit(engine, [event()])
    assert answer["outcome"] == "approve"
    assert not list_store.remove(connection, uid, "stolen_cards", "card-1", author="bob", comment="", now=NOW)


def test_the_same_again_changes_nothing(connection, uid) -> None:
    first, changed = block(connection, uid)
    again, changed_again = block(connection, uid)
    assert (changed, changed_again, again) == (True, False, first)


def test_a_later_addition_replaces_the_earlier_one(connection, uid) -> None:
    block(connection, uid)
    until = NOW + timedelta(hours=1)
    block(connection, uid, expires_at=until)
    (only,) = list_store.current(connection, uid, NOW)
    assert only.entry.expires_at == until
    assert list_store.current(connection, uid, until) == []


def test_every_change_is_a_leaf_that_verifies(connection, uid, database_url) -> None:
    block(connection, uid)
    list_store.remove(connection, uid, "stolen_cards", "card-1", author="bob", comment="", now=NOW)
    report = verify(connection)
    assert (report.holds, report.bodies_checked) == (True, 2)


def test_the_application_cannot_rewrite_who_changed_a_list(connection, uid) -> None:
    block(connection, uid)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE list_changes SET author = 'eve'")


@pytest.mark.parametrize(
    ("value", "says"), [("", "1 to 256 characters"), ("x" * 257, "1 to 256 characters"), ("a\0b", "U\\+0000")]
)
def test_a_value_that_no_list_can_hold_is_refused(connection, uid, value, says) -> None:
    with pytest.raises(list_store.InvalidEntry, match=says):
        block(connection, uid, value)


def test_an_entry_that_has_expired_already_is_refused(connection, uid) -> None:
    with pytest.raises(list_store.InvalidEntry, match="has passed"):
        block(connection, uid, expires_at=NOW - timedelta(seconds=1))


def test_a_change_names_everything_that_happened(connection, uid) -> None:
    block(connection, uid)
    (body,) = connection.execute("SELECT body FROM list_changes").fetchone()
    said = orjson.loads(body)
    assert (said["change"], said["list"], said["value"], said["author"]) == ("add", "stolen_cards", "card-1", "ann")
