"""Who may take a graph over from whom, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from pointsman.decisions.commit import Committer, Fenced
from pointsman.decisions.turns import Turn, take_turn
from pointsman.store.database import connect

Take = Callable[..., Turn]


@pytest.fixture
def graph() -> UUID:
    return uuid4()


@pytest.fixture
def take(database_url: str, graph: UUID) -> Iterator[Take]:
    with connect(database_url) as connection:
        yield lambda host, standby=False, order=1: take_turn(connection, graph, host, standby=standby, order=order)


@pytest.fixture
def opened(database_url: str, graph: UUID) -> Iterator[Callable[[Turn], Committer]]:
    """Takes the graph over in a turn."""
    made = list[Committer]()

    def open_one(turn: Turn) -> Committer:
        made.append(Committer(database_url, graph_uid=graph, stream_uid=uuid4(), turn=turn.number))
        made[-1].open()
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def test_a_name_keeps_its_turn_and_a_new_one_comes_later(take: Take) -> None:
    first = take("a")
    second = take("b", standby=True)

    assert second.number > first.number
    assert take("a") == first
    assert not first.is_over


def test_whoever_was_taken_over_from_is_behind_however_often_it_starts(
    take: Take, opened: Callable[..., object]
) -> None:
    opened(take("a"))
    opened(take("b", standby=True))

    assert take("a").is_over
    with pytest.raises(Fenced, match="held by another host"):
        opened(take("a"))
    opened(take("b", standby=True))  # the one that has it may start again


@pytest.mark.parametrize(
    "again",
    [{"standby": True}, {"standby": False, "order": 2}, {"standby": True, "order": 2}],
    ids=["to stand by", "by a greater order", "both"],
)
def test_one_that_is_told_anew_comes_later_again(
    take: Take, opened: Callable[..., object], again: dict[str, object]
) -> None:
    opened(take("a", standby=again == {"standby": True, "order": 2}))
    opened(take("b", standby=True))

    turn = take("a", **again)
    assert not turn.is_over
    assert take("a", **again) == turn  # and is told so once, however often it starts
    opened(turn)
    assert take("b", standby=True).is_over


def test_the_one_that_has_the_graph_stays_where_it_is_whatever_it_is_told(
    take: Take, opened: Callable[..., object]
) -> None:
    mine = take("a")
    opened(mine)
    waiting = take("b", standby=True)

    assert take("a", standby=True, order=2) == mine
    opened(waiting)


def test_one_that_lost_the_graph_while_the_store_was_away_does_not_take_it_back(
    take: Take, opened: Callable[..., Committer]
) -> None:
    turn = take("a")
    before, after = opened(turn), opened(turn)  # one host, started anew while the old process hangs

    assert after.holds()
    with pytest.raises(Fenced):
        before.open()
    assert after.holds()
    after.open()  # the one that has it may


def test_the_application_cannot_forget_who_has_had_a_graph(database_url: str, take: Take) -> None:
    take("a")
    with connect(database_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM graph_hosts")
