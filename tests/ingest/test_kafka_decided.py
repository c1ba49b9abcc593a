"""Kafka without a broker: the client's settings, where reading begins, what was lost, what lag is, what an error means."""

from __future__ import annotations

import pytest

from pointsman.api.event_stream import KafkaSource
from pointsman.api.reasons import Reason
from pointsman.decisions.offsets import Misplaced, Offsets, Places, Stretch, moved
from pointsman.decisions.record import Place
from pointsman.graphs.contract import Unread
from pointsman.ingest import kafka
from pointsman.ingest.kafka import TopicSeen

TOPIC = "events"
SOURCE = kafka.source_name(TOPIC, "id-1")
SEEN = TopicSeen(source=SOURCE, ends={0: (0, 10), 1: (5, 30)})


def source(**changes: object) -> KafkaSource:
    return KafkaSource.model_validate({"bootstrapServers": ["a:9092", "b:9092"], "topic": TOPIC, **changes})


def stretch(**changes: object) -> Stretch:
    good = {
        "source": SOURCE,
        "label": "kafka:events",
        "places": [(0, 7), (0, 8), (1, 5)],
        "moves": {0: (7, 9), 1: (5, 6)},
    }
    return Stretch(**{**good, **changes})  # type: ignore[arg-type]


def key(name: str) -> dict[str, object]:
    return {"secretKeyRef": {"name": "broker", "key": name}}


@pytest.mark.parametrize(
    ("changes", "protocol"),
    [
        ({}, None),
        ({"tls": {}}, "SSL"),
        ({"sasl": {"username": "u", "password": key("p")}}, "SASL_PLAINTEXT"),
        ({"tls": {}, "sasl": {"username": "u", "password": key("p")}}, "SASL_SSL"),
    ],
    ids=["in the clear", "with TLS", "with a password", "with both"],
)
def test_the_protocol_follows_from_what_is_configured(changes: dict[str, object], protocol: str | None) -> None:
    assert kafka.settings(source(**changes), lambda _: "secret").get("security.protocol") == protocol


def test_every_secret_that_is_pointed_at_is_read_and_no_other() -> None:
    tls = {"ca": key("ca"), "certificate": key("cert"), "key": key("key")}
    wanted = source(tls=tls, sasl={"mechanism": "Plain", "username": "u", "password": key("password")})
    found = kafka.settings(wanted, lambda each: f"the {each.secret_key_ref.key}")
    assert {name: found[name] for name in found if str(found[name]).startswith("the ")} == {
        "ssl.ca.pem": "the ca",
        "ssl.certificate.pem": "the cert",
        "ssl.key.pem": "the key",
        "sasl.password": "the password",
    }
    assert (found["sasl.mechanism"], found["sasl.username"]) == ("PLAIN", "u")


@pytest.mark.parametrize(
    ("offsets", "start_at", "expected"),
    [
        ({}, "Earliest", {0: 0, 1: 5}),
        ({}, "Latest", {0: 10, 1: 30}),
        ({(SOURCE, 0): 3}, "Latest", {1: 5}),
        ({(SOURCE, 0): 3, (SOURCE, 1): 9}, "Latest", {}),
        ({(kafka.source_name(TOPIC, "id-0"), 0): 3}, "Latest", {0: 0, 1: 5}),
        ({(kafka.source_name("events2", "id-0"), 0): 3}, "Latest", {0: 10, 1: 30}),
    ],
    ids=[
        "a new graph begins at the first offset",
        "or at the end",
        "a partition that was added is read whole",
        "what is read already is left where it is",
        "a topic that was made again is read whole",
        "another topic's offsets say nothing",
    ],
)
def test_where_reading_begins(offsets: Offsets, start_at: str, expected: dict[int, int]) -> None:
    assert kafka.beginnings(SEEN, offsets, source(startAt=start_at)) == expected


def test_nothing_is_lost_where_the_offsets_lie_within_the_topic() -> None:
    assert kafka.gaps(SEEN, {(SOURCE, 0): 10, (SOURCE, 1): 5}, TOPIC) is None


def test_what_the_source_lost_is_named_and_gone_past() -> None:
    found = kafka.gaps(SEEN, {(SOURCE, 0): 20, (SOURCE, 1): 2}, TOPIC)
    assert found is not None
    lost, where = found
    assert [each.message for each in lost] == [
        "kafka:events/0: it ends at offset 10, and was read up to 20: it is read again from 0",
        "kafka:events/1: the broker deleted offsets 2 to 4 before they were read",
    ]
    assert where.places == [(0, 20), (1, 2)]
    assert where.moves == {0: (20, 0), 1: (2, 5)}


def test_lag_counts_what_is_not_committed_and_no_marker_of_a_transaction() -> None:
    offsets = {(SOURCE, 0): 4, (SOURCE, 1): 29}
    assert kafka.lag(SEEN, offsets, {}) == 6 + 1
    assert kafka.lag(SEEN, offsets, {1: 30}) == 6
    assert kafka.lag(SEEN, {}, {}) == 10 + 25


def test_records_become_events_in_their_order_and_what_is_none_is_kept() -> None:
    good, broken, binary, empty = kafka.events_of([b'{"a": 1}', b"{", b"\xff", None])
    assert good == {"a": 1}
    assert isinstance(broken, Unread)
    assert (broken.reason, broken.content) == (Reason.NotJSON, "{")
    assert isinstance(binary, Unread)
    assert (binary.reason, binary.content) == (Reason.NotJSON, {"base64": "/w=="})
    assert isinstance(empty, Unread)
    assert (empty.reason, empty.message) == (Reason.Unreadable, "the record has no value")


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        ("UNKNOWN_TOPIC_OR_PART", Reason.TopicNotFound, 'topic "events" does not exist at a:9092, b:9092'),
        ("_AUTHENTICATION", Reason.SourceRefusesUs, 'Kafka at a:9092, b:9092 refuses user "u": words'),
        (
            "TOPIC_AUTHORIZATION_FAILED",
            Reason.SourceRefusesUs,
            'user "u" may not read topic "events" at a:9092, b:9092',
        ),
        ("_SSL", Reason.SourceUnreachable, "Kafka at a:9092, b:9092: TLS fails: words"),
        ("_TRANSPORT", Reason.SourceUnreachable, "Kafka at a:9092, b:9092 does not answer: words"),
    ],
)
def test_an_error_is_told_with_its_cause(code: str, reason: Reason, message: str) -> None:
    wanted = source(sasl={"username": "u", "password": key("p")})
    trouble = kafka.trouble(wanted, code, "words (after 7ms in state CONNECT), 3 identical error(s) suppressed")
    assert (trouble.reason, str(trouble)) == (reason, message)


def test_a_batch_moves_the_offsets_that_it_begins_at() -> None:
    assert moved({(SOURCE, 0): 7, (SOURCE, 1): 5}, [None, stretch()]) == {(SOURCE, 0): 9, (SOURCE, 1): 6}


def test_two_stretches_of_one_batch_follow_each_other() -> None:
    offsets = {(SOURCE, 0): 7, (SOURCE, 1): 5}
    second = stretch(moves={0: (9, 12)}, places=[(0, 9), (0, 11)])
    assert moved(offsets, [stretch(), second]) == {(SOURCE, 0): 12, (SOURCE, 1): 6}


@pytest.mark.parametrize("stands", [6, 8, None], ids=["behind", "ahead", "nowhere"])
def test_a_batch_that_begins_elsewhere_is_misplaced(stands: int | None) -> None:
    offsets = {(SOURCE, 0): 7} | ({} if stands is None else {(SOURCE, 1): stands})
    with pytest.raises(Misplaced, match=rf"kafka:events/1: read from offset 5, the store stands at {stands}"):
        moved(offsets, [stretch()])


def test_a_row_is_found_in_the_source_it_was_read_from() -> None:
    places = Places([(2, None), (3, stretch()), (1, None)])
    assert [places(row) for row in range(6)] == [
        None,
        None,
        Place(source="kafka:events/0", offset=7),
        Place(source="kafka:events/0", offset=8),
        Place(source="kafka:events/1", offset=5),
        None,
    ]
