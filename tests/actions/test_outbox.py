"""Leases, fences and records, on a real PostgreSQL."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import orjson
import psycopg
import pytest

from pointsman.actions import outbox
from pointsman.actions.budget import Charge
from pointsman.actions.effects import (
    Answered,
    NeverLeft,
    NoAnswer,
    ReadBack,
    ReadValue,
    Send,
    Settle,
    State,
    Terms,
    Wait,
    next_step,
)
from pointsman.actions.outbox import Claim, Outcome, Recorded
from pointsman.api.reasons import Reason
from pointsman.store.database import connect

KEY = Terms(idempotency="Key", can_read_back=True)
NONE = Terms(idempotency="None", can_read_back=False)
OK = [Answered(status=200), ReadValue(shows_effect=True)]
LEASE = 10.0


class Dispatcher:
    """The SQL side of one dispatcher, a transaction a call."""

    def __init__(self, url: str, name: str) -> None:
        self.connection, self.name = connect(url), name

    def now(self) -> datetime:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            return outbox.clock(cursor)

    def claim(self, limit: int = 10, *, later: float = 0.0, target: str = "accounts", **more: bool) -> list[Claim]:
        now = self.now() + timedelta(seconds=later)
        with self.connection.transaction(), self.connection.cursor() as cursor:
            return outbox.claim(
                cursor, owner=self.name, target=target, limit=limit, lease_seconds=LEASE, now=now, **more
            )

    def begin(self, claims: list[Claim], *, later: float = 0.0) -> frozenset[uuid.UUID]:
        now = self.now() + timedelta(seconds=later)
        with self.connection.transaction(), self.connection.cursor() as cursor:
            return outbox.begin(cursor, claims, owner=self.name, lease_seconds=LEASE, now=now)

    def record(self, *outcomes: Outcome) -> Recorded:
        now = self.now()
        with self.connection.transaction(), self.connection.cursor() as cursor:
            return outbox.record(cursor, outcomes, owner=self.name, now=now)

    def release(self, claims: list[Claim]) -> None:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            outbox.release(cursor, claims, owner=self.name)

    def run(self, function: Callable, *arguments: object, **more: object):
        with self.connection.transaction(), self.connection.cursor() as cursor:
            return function(cursor, *arguments, **more)


@pytest.fixture
def first(database_url: str) -> Iterator[Dispatcher]:
    found = Dispatcher(database_url, "first")
    yield found
    found.connection.close()


@pytest.fixture
def second(database_url: str) -> Iterator[Dispatcher]:
    found = Dispatcher(database_url, "second")
    yield found
    found.connection.close()


def outcome(claim: Claim, evidence: list, at: datetime, terms: Terms = KEY) -> Outcome:
    """What a lease comes to when this is what the target says."""
    step = next_step(claim.effect, None, terms, at)
    for each in evidence:
        assert isinstance(step, Send | ReadBack)
        step = next_step(step.effect, each, terms, at)
    assert isinstance(step, Wait | Settle)
    return Outcome(claim=claim, step=step, at=at, http_status=200, detail={"readBack": {"value": "frozen"}})


def test_a_claim_leases_what_is_due_oldest_first(table, first: Dispatcher) -> None:
    early, late = table.add(), table.add()
    table.rows(
        "UPDATE outbox SET next_attempt_at = now() + interval '1 h' WHERE action_id = %s RETURNING 1", *table.add()
    )
    (claim,) = first.claim(1)
    assert (claim.action_id, claim.fence, claim.effect.state, claim.is_fresh) == (early[0], 1, State.LEASED, True)
    assert [each.action_id for each in first.claim()] == late
    assert first.claim() == []


def test_no_two_dispatchers_hold_the_same_action(table, first: Dispatcher, second: Dispatcher) -> None:
    table.add(20)
    now = first.now()
    wanted = {"target": "accounts", "limit": 12, "lease_seconds": LEASE, "now": now}
    with first.connection.transaction(), first.connection.cursor() as cursor:
        mine = outbox.claim(cursor, owner="first", **wanted)
        theirs = second.claim(12)  # while the first one's transaction is still open: it is skipped, not waited for
    ids = [each.action_id for each in (*mine, *theirs)]
    assert (len(mine), len(theirs), len(set(ids))) == (12, 8, 20)


def test_a_claim_takes_no_action_of_another_target(table, first: Dispatcher) -> None:
    table.add(target="other")
    assert first.claim() == []


def test_a_lease_is_kept_until_its_end_and_then_taken_over(table, first: Dispatcher, second: Dispatcher) -> None:
    table.add()
    (mine,) = first.claim()
    assert second.claim(later=LEASE - 1) == []
    (theirs,) = second.claim(later=LEASE + 1)
    assert (mine.fence, theirs.fence) == (1, 2)
    assert not theirs.effect.uncertain, "nothing was sent under the first lease"


def test_beginning_starts_the_lease_anew_and_marks_the_action_as_attempted(table, first, second) -> None:
    table.add()
    claims = first.claim()
    assert first.begin(claims, later=LEASE - 1) == {claims[0].action_id}
    assert second.claim(later=LEASE + 1) == []
    (theirs,) = second.claim(later=2 * LEASE)
    assert theirs.effect.uncertain
    assert theirs.effect.attempts == 1


def test_a_zombie_begins_nothing_and_records_nothing(table, first: Dispatcher, second: Dispatcher) -> None:
    table.add(5)
    old = first.claim()
    first.begin(old)
    new = second.claim(later=LEASE + 1)
    assert len(new) == 5
    assert first.begin(old) == frozenset()
    recorded = first.record(*(outcome(claim, OK, first.now()) for claim in old))
    assert (recorded.written, set(recorded.stale)) == (frozenset(), {claim.action_id for claim in old})
    assert table.rows("SELECT 1 FROM effects") == []
    assert table.rows("SELECT 1 FROM ledger") == []
    second.begin(new)
    assert len(second.record(*(outcome(claim, OK, first.now()) for claim in new)).written) == 5
    assert first.record(*(outcome(claim, OK, first.now()) for claim in old)).written == frozenset()
    assert set(table.final_effects().values()) == {1}


def test_a_dispatcher_that_overtook_itself_is_fenced_too(table, first: Dispatcher) -> None:
    table.add()
    old = first.claim()
    first.begin(old)
    (new,) = first.claim(later=LEASE + 1)  # another lane of the same process
    assert first.begin(old) == frozenset()
    first.release(old)
    assert first.record(outcome(old[0], OK, first.now())).written == frozenset()
    assert first.begin([new]) == {new.action_id}
    assert first.record(outcome(new, OK, first.now())).written == {new.action_id}


def test_in_a_batch_only_what_lost_its_fence_is_dropped(table, first: Dispatcher, second: Dispatcher) -> None:
    table.add(2)
    lost, kept = first.claim()
    first.begin([lost, kept])
    table.rows("UPDATE outbox SET lease_until = now() WHERE action_id = %s RETURNING 1", lost.action_id)
    assert [claim.action_id for claim in second.claim(later=1)] == [lost.action_id]
    recorded = first.record(*(outcome(claim, OK, first.now()) for claim in (lost, kept)))
    assert recorded == Recorded(written=frozenset({kept.action_id}), stale=(lost.action_id,))


def test_recording_twice_writes_once(table, first: Dispatcher) -> None:
    table.add()
    (claim,) = first.claim()
    first.begin([claim])
    done = outcome(claim, OK, first.now())
    assert first.record(done).written == {claim.action_id}
    assert first.record(done).stale == (claim.action_id,)
    assert table.final_effects() == {claim.action_id: 1}
    waiting = table.add()
    (claim,) = first.claim()
    first.begin([claim])
    retry = outcome(claim, [NeverLeft()], first.now())
    assert first.record(retry).written == set(waiting)
    assert first.record(retry).stale == tuple(waiting)


def test_an_effect_is_stored_with_the_body_that_its_leaf_commits_to(table, first: Dispatcher) -> None:
    table.add(3)
    claims = first.claim()
    first.begin(claims)
    first.record(*(outcome(claim, OK, first.now()) for claim in claims))
    assert table.ledger_commits_to_every_effect()
    rows = table.rows("SELECT effect_id, action_id, state, attempt, fence, http_status, detail, body FROM effects")
    for id_, action, state, attempt, fence, status, detail, body in rows:
        assert (state, attempt, fence, status) == ("observed", 1, 1, 200)
        assert detail == {"reason": "Observed", "readBack": {"value": "frozen"}}
        record = orjson.loads(bytes(body))
        assert bytes(body) == orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
        parameters = orjson.dumps({"account": f"A-{action}"})
        assert record["parametersDigest"] == hashlib.sha256(parameters).hexdigest()
        assert f"A-{action}".encode() not in bytes(body)
        assert (record["action"], record["state"]) == (str(action), "observed")
        assert id_ == outbox.effect_id(action, fence)


def test_what_has_to_wait_is_given_back_with_the_reason(table, first: Dispatcher) -> None:
    table.add()
    (claim,) = first.claim()
    first.begin([claim])
    waiting = outcome(claim, [NoAnswer()], first.now())
    first.record(waiting)
    ((state, attempts, reason, owner, until, next_at),) = table.rows(
        "SELECT state, attempts, reason, lease_owner, lease_until, next_attempt_at FROM outbox"
    )
    assert (state, attempts, reason, owner, until) == ("attempted", 1, "TargetTimeout", None, None)
    assert next_at == waiting.step.until
    assert first.claim() == []
    (again,) = first.claim(later=5)
    assert again.effect.uncertain


def test_that_a_target_accepted_the_action_survives_the_lease(table, first: Dispatcher) -> None:
    table.add()
    (claim,) = first.claim()
    first.begin([claim])
    first.record(outcome(claim, [Answered(status=202), ReadValue(shows_effect=False)], first.now()))
    (again,) = first.claim(later=5)
    first.begin([again])  # and of the lease in which it is only read back
    (again,) = first.claim(later=2 * LEASE)
    assert again.effect.accepted


def test_a_released_lease_is_free_at_once_and_what_was_sent_stays_unclear(table, first, second) -> None:
    table.add(2)
    claims = first.claim()
    first.begin(claims[:1])
    first.release(claims)
    found = {claim.action_id: claim.effect.uncertain for claim in second.claim()}
    assert found == {claims[0].action_id: True, claims[1].action_id: False}


def test_a_dispatcher_releases_only_its_own_leases(table, first: Dispatcher, second: Dispatcher) -> None:
    table.add()
    claims = first.claim()
    second.release(claims)
    assert second.claim() == []


def test_an_unclear_outcome_opens_one_review_with_the_events_id(table, first: Dispatcher) -> None:
    table.add()
    ((decision,),) = table.rows("SELECT decision_id FROM outbox")
    table.rows("SELECT pointsman_ensure_day(current_date)")
    table.rows("INSERT INTO decision_keys VALUES (%s, '', current_date, 0) RETURNING 1", decision)
    table.rows(
        "INSERT INTO decisions VALUES (current_date, %s, %s, %s, 'event-9', 0, 'r', 0.9, 'b', 'freeze', '{}', now(), "
        "'') RETURNING 1",
        decision,
        table.graph,
        uuid.uuid4(),
    )
    (claim,) = first.claim()
    first.begin([claim])
    first.record(outcome(claim, [NoAnswer()], first.now(), NONE))
    assert table.states() == {"unknown": 1}
    assert table.rows("SELECT decision_id, event_id, reasons, state, graph_uid FROM reviews") == [
        (decision, "event-9", ["OutcomeUnknown"], "open", table.graph)
    ]


def test_an_expired_action_is_taken_whatever_its_target_but_not_one_that_may_have_been_sent(table, first) -> None:
    table.add(expires_in=60)
    (gone,) = table.add(target="nowhere", expires_in=-1)
    (sent,) = table.add(expires_in=-1)
    table.rows("UPDATE outbox SET state = 'attempted' WHERE action_id = %s RETURNING 1", sent)
    claims = first.run(outbox.claim_expired, owner="first", limit=10, lease_seconds=LEASE, now=first.now())
    assert [claim.action_id for claim in claims] == [gone]


def test_with_an_empty_budget_only_begun_actions_are_claimed(table, first: Dispatcher) -> None:
    table.add()
    (begun,) = table.add()
    table.rows("UPDATE outbox SET state = 'attempted', attempts = 2 WHERE action_id = %s RETURNING 1", begun)
    assert [claim.action_id for claim in first.claim(begun_only=True)] == [begun]


def test_held_actions_say_why(table, first: Dispatcher) -> None:
    table.add()
    table.add(target="gone")
    first.run(outbox.say_held, "accounts", Reason.KillSwitchOn, fresh_only=False)
    first.run(outbox.say_no_target, ["accounts"])
    assert table.reasons() == {"KillSwitchOn": 1, "TargetNotFound": 1}


def test_only_one_dispatcher_spends_a_budget_until_its_session_ends(
    table, first: Dispatcher, second: Dispatcher, until
) -> None:
    assert first.run(outbox.take_budget, "accounts")
    assert first.run(outbox.take_budget, "accounts")
    assert not second.run(outbox.take_budget, "accounts")
    assert second.run(outbox.take_budget, "other")
    first.connection.close()
    until(lambda: second.run(outbox.take_budget, "accounts"), "the server has seen that the session is closed")


def test_what_a_window_holds_is_known_from_the_records_alone(table, first: Dispatcher) -> None:
    table.add(5)
    observed, retried, never_left, under_way, _waiting = first.claim(4) + [None]
    first.begin([observed, retried, never_left, under_way])
    at = first.now()
    first.record(outcome(observed, OK, at), outcome(retried, [NoAnswer()], at), outcome(never_left, [NeverLeft()], at))
    now = first.now()

    def spent(window: timedelta, at: datetime = now) -> int:
        charges: list[Charge] = first.run(outbox.spent, "accounts", window, at)
        return sum(charge.count for charge in charges)

    assert spent(timedelta(hours=1)) == 3
    assert spent(timedelta(hours=1), now + timedelta(hours=2)) == 1, "what is under way counts as sent now"
    assert first.run(outbox.spent, "other", timedelta(hours=1), now) == []


def test_the_application_cannot_rewrite_an_effect(table, first: Dispatcher) -> None:
    table.add()
    (claim,) = first.claim()
    first.begin([claim])
    first.record(outcome(claim, OK, first.now()))
    for change in ("UPDATE effects SET state = 'rejected'", "DELETE FROM effects"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            table.rows(f"{change} RETURNING 1")
