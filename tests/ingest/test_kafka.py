"""A topic of a real broker becomes decisions: each event once, in order, whatever is killed meanwhile."""

from __future__ import annotations

import orjson
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from harness.reading_host import event, records
from harness.waiting import wait_for
from pointsman.actions.crash import COMMIT_POINTS

pytestmark = pytest.mark.slow


def test_every_event_is_decided_once_in_the_order_of_its_key(host) -> None:
    made = records(3000)
    host.produce(made)
    assert host.reads_all() == {"received": 3000, "decided": 3000, "dead": 0, "duplicates": 0, "read": 3000}
    order = dict(host.ask("SELECT event_id, seq FROM decisions"))
    by_card = dict[str, list[int]]()
    for card, value in made:
        by_card.setdefault(card, []).append(order[orjson.loads(value)["transaction_id"]])
    assert all(seqs == sorted(seqs) for seqs in by_card.values())
    said = host.sees("it has no lag", lambda said: said["lag"] == 0)
    assert (said["reached"], said["cause"], said["paused"], said["deadLetters"]) == (True, "", None, 0)
    measured = host.measured()
    assert (measured["reached"], measured["lag_events"], measured["paused"]) == (1, 0, 0)


def test_what_is_no_event_becomes_a_dead_letter_that_names_its_place(host) -> None:
    good = event()
    host.produce([(None, orjson.dumps(good)), (None, b"{not json"), (None, b"\xff\xfe"), (None, None)], partition=1)
    host.produce([(None, b"[1]"), (None, orjson.dumps(event(transaction_id=None)))], partition=1)
    host.produce([(None, orjson.dumps(good)), (None, orjson.dumps({**good, "amount": "13.50"}))], partition=1)
    assert host.reads_all() == {"received": 8, "decided": 1, "dead": 6, "duplicates": 1, "read": 8}
    rows = host.ask("SELECT source, source_offset, reason, event_id FROM dead_letters ORDER BY source_offset")
    source = f"kafka:{host.topic}/1"
    assert rows == [
        (source, 1, "NotJSON", None),
        (source, 2, "NotJSON", None),
        (source, 3, "Unreadable", None),
        (source, 4, "NotAnObject", None),
        (source, 5, "MissingField", None),
        (source, 7, "EventConflict", good["transaction_id"]),
    ]
    assert host.sees("they are counted", lambda said: said["deadLetters"] == 6)


def test_the_same_bytes_at_two_places_are_two_dead_letters(host) -> None:
    host.produce([(None, b"nonsense")] * 3, partition=0)
    host.produce([(None, b"nonsense")] * 2, partition=2)
    assert host.reads_all()["dead"] == 5


@pytest.mark.parametrize("point", COMMIT_POINTS)
def test_a_host_that_dies_at_a_commit_goes_on_where_the_store_stands(make_host, kafka, point: str) -> None:
    host = make_host()
    kafka.create(host.topic, partitions=3)
    host.produce(records(4000))
    host.start(POINTSMAN_CRASH_AT=point)
    wait_for("it has died at the point", host.died, seconds=60)
    at_death = host.conserves()
    assert (at_death["decided"] > 0) == (point == "after-commit")
    host.start()
    assert host.reads_all()["decided"] == 4000
    assert host.conserves()["duplicates"] == 0


def test_a_host_that_is_killed_again_and_again_loses_and_doubles_nothing(host) -> None:
    for round_ in range(4):
        host.produce(records(2000))
        wait_for("some of it is read", lambda wanted=2000 * round_: host.counts()["read"] > wanted, seconds=60)
        host.kill()
        host.conserves()
        host.start()
    assert host.reads_all() == {"received": 8000, "decided": 8000, "dead": 0, "duplicates": 0, "read": 8000}


def test_a_broker_that_is_killed_is_named_and_read_on_when_it_is_back(host, kafka) -> None:
    host.produce(records(500))
    host.reads_all()
    kafka.kill()
    try:
        said = host.sees("it is not reached", lambda said: not said["reached"] and said["reason"])
        assert said["reason"] == "SourceUnreachable"
        assert kafka.address in said["cause"]
        assert "Connection refused" in said["cause"]
        assert host.measured()["reached"] == 0
    finally:
        kafka.start()
    host.produce(records(500))
    assert host.reads_all()["decided"] == 1000
    host.sees("it is reached again", lambda said: said["reached"] and said["lag"] == 0)


def test_a_store_whose_connections_are_cut_loses_and_doubles_nothing(host, postgres, database) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'pointsman_app'"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        for round_ in range(5):
            host.produce(records(1000))
            wait_for("some of it is read", lambda wanted=1000 * round_: host.counts()["read"] > wanted, seconds=60)
            connection.execute(cut, (database,))
        connection.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')  # and it stays away for a while
        connection.execute(cut, (database,))
        host.produce(records(1000))
        connection.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    found = host.reads_all()
    assert (found["decided"], found["duplicates"]) == (6000, 0)


def test_partitions_that_are_added_are_read_from_their_start(host, kafka) -> None:
    host.produce(records(100))
    host.reads_all()
    kafka.grow(host.topic, 6)
    for partition in range(6):
        host.produce(records(10), partition=partition)
    assert host.reads_all()["decided"] == 160


def test_a_topic_that_is_created_later_is_read_when_it_is_there(make_host, kafka) -> None:
    host = make_host()
    host.start()
    said = host.sees("the topic is missed", lambda said: said["reason"] == "TopicNotFound")
    assert said["cause"] == f'topic "{host.topic}" does not exist at {kafka.address}'
    kafka.create(host.topic, partitions=2)
    host.produce(records(50))
    assert host.reads_all()["decided"] == 50


def test_a_topic_that_is_deleted_and_made_again_is_read_whole(host, kafka) -> None:
    host.produce(records(300))
    host.reads_all()
    kafka.delete(host.topic)
    host.sees("the topic is missed", lambda said: said["reason"] == "TopicNotFound")
    kafka.create(host.topic, partitions=1)
    host.produce(records(20))
    assert host.reads_all()["decided"] == 320


def test_what_the_broker_deleted_before_it_was_read_is_a_dead_letter(make_host, kafka) -> None:
    host = make_host()
    kafka.create(host.topic)
    host.produce(records(10))
    host.start()
    host.reads_all()
    host.kill()
    kafka.produce(host.topic, records(10))
    kafka.forget(host.topic, 0, before=15)
    host.start()
    wait_for("it reads on", lambda: host.counts()["read"] == 20, seconds=60)
    ((offset, message),) = host.ask("SELECT source_offset, message FROM dead_letters")
    assert (offset, message) == (10, f"kafka:{host.topic}/0: the broker deleted offsets 10 to 14 before they were read")
    assert host.counts() == {"received": 16, "decided": 15, "dead": 1, "duplicates": 0, "read": 20}


def test_latest_begins_where_the_topic_ended_at_the_first_look(make_host, kafka) -> None:
    host = make_host(startAt="Latest")
    kafka.create(host.topic, partitions=2)
    kafka.produce(host.topic, records(100))
    host.start()
    wait_for("it has begun", lambda: host.counts()["read"] == 100, seconds=60)
    host.kill()
    kafka.produce(host.topic, records(7))  # between two runs: Latest is where it ended at first, not now
    host.start()
    wait_for("it reads on", lambda: host.counts()["read"] == 107, seconds=60)
    assert host.counts()["decided"] == 7


def test_a_host_that_was_taken_over_from_reads_no_more(host, make_host) -> None:
    host.produce(records(200))
    host.reads_all()
    other = make_host(host.topic)
    other.start()
    other.sees("the other reads", lambda said: said["reached"])
    host.produce(records(2000))
    found = host.reads_all()
    assert (found["decided"], found["duplicates"]) == (2200, 0)
    wait_for("the first has stopped", lambda: "is read no more" in host.log(), seconds=60)


def test_nothing_more_is_read_than_people_have_room_for(make_host, kafka) -> None:
    host = make_host(review={"maxOpen": 20}, maxInFlight=10)
    kafka.create(host.topic)
    too_much = [(None, orjson.dumps(event(amount="6000.00"))) for _ in range(200)]  # a rule sends each to a person
    host.produce(too_much)
    host.start()
    said = host.sees("it is paused", lambda said: said["paused"])
    assert (said["pause"], said["paused"]) == (
        "ReviewQueueFull",
        "20 items wait for people (review.maxOpen): decide some of them first",
    )
    assert host.conserves()["read"] <= 40
    with psycopg.connect(host.database_url) as connection:
        connection.execute("UPDATE reviews SET state = 'closed'")
    wait_for("it reads on", lambda: host.counts()["read"] >= 40, seconds=60)


def test_it_reads_with_tls_and_a_password_from_secrets_and_says_who_is_refused(make_host, kafka, tmp_path) -> None:
    kept = tmp_path / "secrets" / "broker"
    kept.mkdir(parents=True)
    (kept / "password").write_text("a wrong one")
    at = {name: {"secretKeyRef": {"name": "broker", "key": name}} for name in ("ca", "password")}
    host = make_host(
        bootstrapServers=[kafka.secure],
        tls={"ca": at["ca"]},
        sasl={"username": kafka.user, "password": at["password"]},
    )
    kafka.create(host.topic)
    host.produce(records(30))
    host.start()
    said = host.sees("a secret is missing", lambda said: said["reason"] == "SecretNotFound")
    assert said["cause"] == 'Secret "broker" has no key "ca" that can be read'
    (kept / "ca").write_text(kafka.authority.read_text())
    said = host.sees("the password is refused", lambda said: said["reason"] == "SourceRefusesUs")
    assert said["cause"].startswith(f'Kafka at {kafka.secure} refuses user "pointsman": ')
    assert "a wrong one" not in said["cause"] + host.log()
    (kept / "password").write_text(f"{kafka.password}\n")
    assert host.reads_all()["decided"] == 30
    assert kafka.password not in host.log()


def test_kafka_is_told_how_far_the_graph_is(host, kafka) -> None:
    host.produce(records(100), partition=0)
    host.reads_all()
    watcher = Consumer({"bootstrap.servers": kafka.address, "group.id": "pointsman-card-fraud", "log_level": 2})

    def committed() -> bool:
        (found,) = watcher.committed([TopicPartition(host.topic, 0)], timeout=10)
        return bool(found.offset == 100)

    try:
        wait_for("Kafka knows", committed, seconds=60)
    finally:
        watcher.close()
