"""Which hosts of a graph run on a cluster, and how one takes over from another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.certificates.awaiting import Awaiting
from pointsman.graphs.hosting import Hosting, Observed, decide
from pointsman.graphs.plan import HostState, Wanted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRAIN = timedelta(seconds=30)
A, B = "aaaaaaaa", "bbbbbbbb"
R1, R2 = "sha256:1", "sha256:2"


def host(shape: str, revision: str = R1, **fields: Any) -> HostState:
    return replace(HostState(running=True, answering=True, shape=shape, revision=revision), **fields)


def wanted(shape: str, revision: str = R1, *, can_start: bool = True) -> Wanted:
    return Wanted(revision=revision, shape=shape, can_start=can_start)


DECIDING = Observed(wanted=wanted(A), hosts={A: host(A)}, serving=A, has_decided=True)


def decided(**fields: Any) -> Hosting:
    return decide(replace(DECIDING, **fields), NOW, drain=DRAIN)


def test_the_first_host_is_no_standby_and_begins_once_it_can() -> None:
    first = {"hosts": {}, "serving": None, "has_decided": False}
    assert decided(**first) == Hosting(run={A: False}, kept=frozenset(), serves=A, draining={})
    waiting = decided(**first, wanted=wanted(A, can_start=False))
    assert (waiting.run, waiting.serves) == ({}, None)


def test_another_revision_of_the_same_shape_goes_to_the_host_that_runs_whatever_remote_models_do() -> None:
    assert decided(wanted=wanted(A, R2, can_start=False)).run == {A: False}


def test_nothing_is_touched_while_something_is_missing_or_wrong() -> None:
    both = {A: host(A), B: host(B)}
    assert decided(wanted=None, hosts=both) == Hosting(run={}, kept=frozenset(both), serves=A, draining={})


BESIDE = {"wanted": wanted(B, R2)}


def test_another_shape_stands_by_until_it_has_answered_with_the_newest_revision_and_awaits_no_certificate() -> None:
    first = decided(**BESIDE)
    assert (first.run, first.kept, first.serves) == ({B: True}, {A}, A)
    awaits = Awaiting(revision=R2, bands=())
    for beside in (host(B, R2, answering=False), host(B, R1), host(B, R2, awaits=awaits)):
        assert decided(**BESIDE, hosts={A: host(A), B: beside}).serves == A


def test_one_that_answers_takes_over_and_the_one_before_drains() -> None:
    taken = decided(**BESIDE, hosts={A: host(A), B: host(B, R2)})
    assert taken == Hosting(run={B: False}, kept=frozenset({A}), serves=B, draining={A: NOW}, look_again=NOW + DRAIN)

    after = {"hosts": {A: host(A), B: host(B, R2)}, "serving": B}
    later = decided(**BESIDE, **after, draining={A: NOW - DRAIN + timedelta(seconds=1)})
    assert (later.kept, later.look_again) == ({A}, NOW + timedelta(seconds=1))
    over = decided(**BESIDE, **after, draining={A: NOW - DRAIN})
    assert (over.kept, over.draining, over.look_again) == (frozenset(), {}, None)


@pytest.mark.parametrize(
    "before",
    [{"hosts": {A: host(A, answering=False, failing=True)}}, {"has_decided": False}],
    ids=["fails", "never decided"],
)
def test_a_host_that_cannot_decide_is_not_waited_for(before: dict[str, Any]) -> None:
    found = decided(**{**BESIDE, **before})
    assert (found.run, found.serves) == ({B: False}, B)


def test_a_host_that_is_silent_for_a_moment_is_waited_for() -> None:
    assert decided(**BESIDE, hosts={A: host(A, answering=False)}).run == {B: True}


def test_back_to_the_shape_that_decides_the_standby_goes() -> None:
    found = decided(hosts={A: host(A), B: host(B, R2)})
    assert (found.run, found.kept, found.serves) == ({A: False}, frozenset(), A)


def test_back_to_a_shape_that_drains_it_stands_by_and_drains_no_more() -> None:
    found = decided(hosts={A: host(A, answering=False), B: host(B)}, serving=B, draining={A: NOW})
    assert (found.run, found.kept, found.serves) == ({A: True}, {B}, B)


SHAPES = st.sampled_from([A, B, "cccccccc"])
HOSTS = st.builds(host, SHAPES, st.sampled_from([R1, R2]), answering=st.booleans(), failing=st.booleans()).map(
    lambda each: each if not each.answering else replace(each, failing=False)
)


@given(
    st.lists(HOSTS, max_size=3),
    st.none() | st.builds(Wanted, revision=st.sampled_from([R1, R2]), shape=SHAPES, can_start=st.booleans()),
    st.none() | SHAPES,
    st.booleans(),
)
def test_at_most_one_host_is_told_to_decide_and_what_decides_is_never_taken_away(
    hosts: list[HostState], to: Wanted | None, serving: str | None, has_decided: bool
) -> None:
    by_shape = {str(each.shape): each for each in hosts}
    found = decide(Observed(wanted=to, hosts=by_shape, serving=serving, has_decided=has_decided), NOW, drain=DRAIN)
    assert sum(not standby for standby in found.run.values()) <= 1
    assert not found.run.keys() & found.kept
    if serving in by_shape and by_shape[serving].answering and has_decided:
        assert serving in {*found.run, *found.kept}
        if found.serves != serving:
            assert to is not None
            assert by_shape[to.shape].answering
            assert found.draining[serving] == NOW
    if found.serves is not None and to is not None:
        assert found.serves in {*found.run, *found.kept}
