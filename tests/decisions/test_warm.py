"""Features that are warmed up beside the host that decides are those that it has, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pointsman.decisions import warm as warming
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine
from pointsman.decisions.warm import Warm
from pointsman.library import GraphLibrary
from pointsman.store.database import connect


@pytest.fixture
def catch_up(library: GraphLibrary, database_url: str) -> Callable[[Warm], None]:
    def call(warm: Warm) -> None:
        with connect(database_url, autocommit=True) as connection:
            warm.catch_up(connection)

    return call


def warm_engine(library: GraphLibrary, database_url: str, warm: Warm) -> Engine:
    resolved = library.graph.resolved
    committer = Committer(database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
    engine = Engine(library.graph, library._ports, committer, warm=warm, patience_seconds=5)
    engine.open()
    return engine


def scores(answers: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [tuple(each.get(name) for name in ("id", "outcome", "score")) for each in answers if "score" in each]


def test_who_takes_over_reads_only_what_was_decided_since_and_goes_on_the_same(
    open_engine, submit, events, library, database_url, catch_up, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, then, last = events[:1000], events[1000:1400], events[1400:2000]
    active, warm = open_engine(), Warm(library.graph)
    submit(active, first)
    catch_up(warm)
    assert warm.seen.next_seq == active.next_seq
    submit(active, then)

    monkeypatch.setattr(warming, "all_events", None)  # nothing is read from the beginning any more
    engine = warm_engine(library, database_url, warm)
    ours = scores(submit(engine, last))
    engine.close()

    alone = GraphLibrary(library.graph, library._ports)
    theirs = alone.decide([*first, *then, *last])
    decided = {each["id"]: each for each in theirs if each["outcome"] != "deadLetter"}
    assert len(ours) > 300
    assert ours == [(id_, decided[id_]["outcome"], decided[id_]["score"]) for id_, _, _ in ours]


def test_history_that_is_imported_meanwhile_is_seen(open_engine, event, library, catch_up) -> None:
    active, warm = open_engine(), Warm(library.graph)
    active.import_history([event()])
    catch_up(warm)
    active.import_history([event(), event()])
    catch_up(warm)

    assert warm.seen.history == 3
    again = Warm(library.graph)
    catch_up(again)
    assert pool(warm) == pool(again)


def test_after_a_failure_it_begins_anew_and_counts_nothing_twice(
    open_engine, submit, events, library, catch_up, monkeypatch: pytest.MonkeyPatch
) -> None:
    active, warm = open_engine(), Warm(library.graph)
    submit(active, events[:300])
    catch_up(warm)
    submit(active, events[300:600])
    with monkeypatch.context() as patched:
        patched.setattr(warming, "BATCH", 100)

        def broken_off(*arguments: object) -> object:
            yield [events[300]]
            raise ConnectionError

        patched.setattr(warming, "events_since", broken_off)
        with pytest.raises(ConnectionError):
            catch_up(warm)
    catch_up(warm)

    again = Warm(library.graph)
    catch_up(again)
    assert pool(warm) == pool(again)


def pool(warm: Warm) -> dict[str, tuple[int, int]]:
    """How many rows and entities the views' states hold."""
    return {name: (state._used, state.entities, int(state._length.sum())) for name, state in warm.state._states.items()}
