"""What an import of ground truth does with each label."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pointsman.labels.importing import Conflict, Sorted, Truth, sort

NOW = datetime(2026, 3, 2, tzinfo=UTC)
FRAUD, LEGITIMATE = True, False


def sorted_(said: list[tuple[str, bool]], known: dict[str, bool | None], *, replace: bool = False) -> Sorted:
    truths = [Truth(event_id=event, value=value, known_at=NOW) for event, value in said]
    decisions = [event.encode() for event, _ in said]
    return sort(truths, decisions, {event.encode(): value for event, value in known.items()}, replace=replace)


def test_what_is_new_is_written_and_the_same_again_changes_nothing() -> None:
    assert sorted_([("a", FRAUD), ("b", LEGITIMATE)], {"a": None, "b": None}).new == (0, 1)
    again = sorted_([("a", FRAUD), ("b", LEGITIMATE)], {"a": FRAUD, "b": LEGITIMATE})
    assert (again.new, again.repeated) == ((), 2)


def test_an_event_that_was_not_decided_is_named() -> None:
    found = sorted_([("a", FRAUD), ("stranger", FRAUD)], {"a": None})
    assert (found.new, found.unknown) == ((0,), ("stranger",))


def test_the_opposite_of_what_is_known_is_named_and_not_written() -> None:
    found = sorted_([("a", LEGITIMATE)], {"a": FRAUD})
    assert (found.new, found.conflicts) == ((), (Conflict(event_id="a", value=LEGITIMATE, before=FRAUD),))


def test_where_it_is_asked_for_the_opposite_takes_the_place_of_what_was_known() -> None:
    assert sorted_([("a", LEGITIMATE)], {"a": FRAUD}, replace=True).new == (0,)


def test_a_file_that_contradicts_itself_is_found_too() -> None:
    found = sorted_([("a", FRAUD), ("a", FRAUD), ("a", LEGITIMATE)], {"a": None})
    assert (found.new, found.repeated, len(found.conflicts)) == ((0,), 1, 1)


EVENTS = st.sampled_from("abcdef")


@given(
    st.lists(st.tuples(EVENTS, st.booleans()), max_size=20),
    st.dictionaries(EVENTS, st.none() | st.booleans()),
    st.booleans(),
)
def test_nothing_is_lost(said, known, replace) -> None:
    found = sorted_(said, known, replace=replace)
    assert len(found.new) + found.repeated + len(found.conflicts) + len(found.unknown) == len(said)
