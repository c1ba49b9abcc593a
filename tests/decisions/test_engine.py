"""The engine on a real PostgreSQL: identity, order, conservation, recovery, the ledger."""

from __future__ import annotations

import psycopg
import pytest

from pointsman.decisions.commit import Fenced
from pointsman.decisions.queries import DecisionNotFound, explain, record_revision
from pointsman.ledger.verify import verify
from pointsman.store.database import connect

COMPARED = ("id", "decision", "outcome", "band", "score", "reasons", "deadLetter", "reason")


def compared(answers: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [tuple(list(v) if isinstance(v := each.get(name), tuple) else v for name in COMPARED) for each in answers]


def counts(url: str) -> dict[str, int]:
    with connect(url) as connection:
        row = connection.execute(
            "SELECT (SELECT sum(received) FROM graph_heads), (SELECT count(*) FROM decisions), "
            "(SELECT count(*) FROM dead_letters), (SELECT sum(duplicates) FROM graph_heads), "
            "(SELECT count(*) FROM outbox), (SELECT count(*) FROM actions)"
        ).fetchone()
    assert row is not None
    names = ("received", "decisions", "dead", "duplicates", "outbox", "actions")
    return dict(zip(names, map(int, row), strict=True))


def test_every_event_is_accounted_for_whatever_it_is(open_engine, submit, events, database_url) -> None:
    submit(open_engine(), events)
    found = counts(database_url)
    assert found["received"] == len(events)
    assert found["received"] == found["decisions"] + found["dead"] + found["duplicates"]
    assert found["dead"] > 0
    assert found["duplicates"] > 0
    assert found["outbox"] == found["actions"] > 0


def test_decisions_do_not_depend_on_how_the_stream_is_cut_into_batches(
    open_engine, submit, events, library, database_url
) -> None:
    answers = compared(submit(open_engine(), events, size=77))
    decided = [each for each in library_answers(library, events)]
    ours = {each[0]: each for each in answers if each[6] is None}
    assert len(ours) > 100
    for other in decided:
        if other["outcome"] != "deadLetter":
            assert (ours[other["id"]][2], ours[other["id"]][4]) == (other["outcome"], other["score"])


def library_answers(library, events) -> list[dict[str, object]]:
    from pointsman.library import GraphLibrary

    return GraphLibrary(library.graph, library._ports).decide(events)


def test_a_host_that_takes_over_goes_on_as_if_nothing_had_happened(
    open_engine, submit, events, database_url, library
) -> None:
    half = len(events) // 2
    first = submit(open_engine(), events[:half])
    second = submit(open_engine(), events[half:])
    scores = {each["id"]: each.get("score") for each in first + second if "deadLetter" not in each}
    for other in library_answers(library, events):
        if other["outcome"] != "deadLetter":
            assert scores[other["id"]] == other["score"]


def test_the_host_that_was_taken_over_from_is_fenced_and_writes_nothing(
    open_engine, submit, event, database_url
) -> None:
    old, _ = open_engine(), open_engine()
    with pytest.raises(Fenced):
        submit(old, [event()])
    assert counts(database_url)["decisions"] == 0


def test_the_same_event_twice_gets_the_same_answer_and_is_a_duplicate(open_engine, submit, event) -> None:
    engine, one = open_engine(), event()
    (first,), (again,) = submit(engine, [one]), submit(engine, [one])
    assert again["duplicate"] is True
    assert compared([first]) == compared([again])


def test_a_duplicate_in_one_batch_does_not_count_in_the_features(open_engine, submit, event, database_url) -> None:
    one, other = event(), event(occurred_at="2026-03-02T10:05:00Z", known_at="2026-03-02T10:05:01Z")
    submit(open_engine(), [one, dict(one), other])
    with connect(database_url) as connection:
        found = explain(connection, str(other["transaction_id"]))
    assert found["decision"]["values"]["card.count_1h"] == 1


def test_another_event_with_a_known_id_is_a_conflict_and_not_decided(open_engine, submit, event, database_url) -> None:
    engine, one = open_engine(), event()
    submit(engine, [one])
    (answer,) = submit(engine, [{**one, "amount": "99.00"}])
    assert answer["reason"] == "EventConflict"
    assert counts(database_url)["decisions"] == 1


def test_a_broken_event_is_a_dead_letter_once_however_often_it_is_sent(
    open_engine, submit, event, database_url
) -> None:
    engine, broken = open_engine(), event(amount=None)
    (answer,) = submit(engine, [broken])
    submit(engine, [broken])
    assert (answer["reason"], answer["place"]) == ("MissingField", "amount")
    assert (counts(database_url)["dead"], counts(database_url)["duplicates"]) == (1, 1)


def test_an_id_that_cannot_be_stored_is_a_dead_letter_and_harms_no_neighbour(
    open_engine, submit, event, database_url
) -> None:
    answers = submit(open_engine(), [event(), event(transaction_id="a\0b"), event()])
    assert [each.get("outcome") for each in answers] == ["approve", None, "approve"]
    assert answers[1]["id"] is None
    assert counts(database_url)["dead"] == 1


def test_history_warms_up_features_and_is_not_decided(open_engine, submit, event, database_url) -> None:
    engine = open_engine()
    assert engine.import_history([event(), event()]) == (2, 0)
    (answer,) = submit(engine, [event(occurred_at="2026-03-02T10:30:00Z", known_at="2026-03-02T10:30:01Z")])
    with connect(database_url) as connection:
        assert explain(connection, str(answer["decision"]))["decision"]["values"]["card.count_1h"] == 2
    with pytest.raises(ValueError, match="before the graph's first decision"):
        engine.import_history([event()])


def test_the_state_is_the_same_after_a_restart_with_imported_history(open_engine, submit, event, database_url) -> None:
    open_engine().import_history([event(), event()])
    later = event(occurred_at="2026-03-02T10:30:00Z", known_at="2026-03-02T10:30:01Z")
    submit(open_engine(), [later])
    with connect(database_url) as connection:
        found = explain(connection, str(later["transaction_id"]))
    assert found["decision"]["values"]["card.count_1h"] == 2


def test_a_decision_is_explained_with_everything_behind_it(open_engine, submit, events, database_url) -> None:
    engine = open_engine()
    record_revision(engine.connection, engine.graph.resolved)
    answers = submit(engine, events)
    frozen = next(each for each in answers if each.get("outcome") == "decline")
    with connect(database_url) as connection:
        found = explain(connection, str(frozen["decision"])[:13])
        with pytest.raises(DecisionNotFound):
            explain(connection, "no-such-event")
    assert found["event"]["digestHolds"]
    assert found["ledger"]["holds"]
    assert found["revision"]["models"]["boosted"]["digest"].startswith("sha256:")
    assert found["actions"][0]["operation"] == "freeze"
    assert found["actions"][0]["parameters"]["account"] == found["event"]["raw"]["card_account"]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE decisions SET body = '{}' WHERE seq = 3",
        "DELETE FROM ledger WHERE index = 5",
        "UPDATE ledger SET leaf = (SELECT leaf FROM ledger WHERE index = 1) WHERE index = 2",
        "DELETE FROM ledger WHERE index = (SELECT max(index) FROM ledger)",
    ],
)
def test_tampering_with_a_record_or_the_ledger_is_found(
    open_engine, submit, events, database_url, owner_url, tampering
) -> None:
    submit(open_engine(), events[:300])
    with connect(database_url) as connection:
        assert verify(connection).holds
    with connect(owner_url) as connection:
        connection.execute(tampering)
    with connect(database_url) as connection:
        assert not verify(connection).holds


@pytest.mark.parametrize("statement", ["UPDATE ledger SET leaf = ''", "DELETE FROM ledger", "DELETE FROM decisions"])
def test_the_application_cannot_change_what_is_append_only(database_url, statement) -> None:
    with connect(database_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_a_late_event_goes_to_a_person_and_leaves_the_features_alone(open_engine, submit, event, database_url) -> None:
    now = event(occurred_at="2026-03-02T12:00:00Z", known_at="2026-03-02T12:00:01Z")
    late = event(occurred_at="2026-03-02T10:00:00Z", known_at="2026-03-02T12:00:02Z")
    after = event(occurred_at="2026-03-02T12:01:00Z", known_at="2026-03-02T12:01:01Z")
    answers = submit(open_engine(), [now, late, after])
    assert answers[1]["outcome"] == "review"
    assert answers[1]["reasons"] == ("LateEvent",)
    with connect(database_url) as connection:
        assert explain(connection, str(after["transaction_id"]))["decision"]["values"]["card.count_24h"] == 1
