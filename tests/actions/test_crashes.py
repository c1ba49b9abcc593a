"""Nothing is lost and nothing is doubled, wherever a dispatcher ends, however long it stands still."""

from __future__ import annotations

import random
import signal

import pytest

from pointsman.actions.crash import POINTS

pytestmark = pytest.mark.slow

COUNT = 40


@pytest.fixture
def all_are(table, until):
    def wait(**states: int) -> None:
        until(lambda: table.states() == states, lambda: f"{states}; it is {table.states()}, {table.reasons()}")

    return wait


@pytest.mark.parametrize("point", [each for each in POINTS if "expire" not in each])
@pytest.mark.parametrize("nth", [1, 3])
def test_a_dispatcher_killed_at_a_point_loses_and_doubles_nothing(
    table, accounts, dispatchers, document, all_are, point: str, nth: int
) -> None:
    dispatchers.write(document(accounts.url), batch=8)
    table.add(COUNT)
    killed = dispatchers.start(POINTSMAN_CRASH_AT=f"{point}:{nth}")
    assert killed.wait() == -signal.SIGKILL
    assert table.states() != {"observed": COUNT}
    dispatchers.start()
    all_are(observed=COUNT)
    assert accounts.summary() == {"count": COUNT, "distinct_keys": COUNT, "max_applied": 1}
    assert sorted(table.final_effects().values()) == [1] * COUNT
    assert table.ledger_commits_to_every_effect()


@pytest.mark.parametrize("point", [each for each in POINTS if "expire" in each])
def test_a_dispatcher_killed_while_actions_expire_lets_the_next_one_end_them(
    table, misbehaving, dispatchers, document, until, all_are, point: str
) -> None:
    dispatchers.write(document(misbehaving.url, suspend=True))
    table.add(COUNT, expires_in=-1)
    killed = dispatchers.start(POINTSMAN_CRASH_AT=point)
    assert killed.wait() == -signal.SIGKILL
    assert set(table.states()) <= {"leased", "approved"}
    dispatchers.start()
    all_are(rejected=COUNT)
    assert sorted(table.final_effects().values()) == [1] * COUNT
    assert misbehaving.requests == []


def test_dispatchers_killed_at_random_lose_and_double_nothing(
    table, accounts, dispatchers, document, until, all_are
) -> None:
    chance, total = random.Random(20260301), 1500
    dispatchers.write(document(accounts.url), batch=16)
    table.add(total)
    for _ in range(10):
        before = table.states()["observed"]
        process = dispatchers.start()
        wanted = before + chance.randrange(1, 60)
        until(lambda wanted=wanted: table.states()["observed"] >= wanted, "some are observed")
        process.end(signal.SIGKILL)
    assert table.states()["observed"] < total
    dispatchers.start()
    all_are(observed=total)
    assert accounts.summary() == {"count": total, "distinct_keys": total, "max_applied": 1}
    assert sorted(table.final_effects().values()) == [1] * total
    assert table.ledger_commits_to_every_effect()


@pytest.mark.parametrize(
    ("point", "states", "sent"),
    [
        ("after-claim", {"observed": 4}, 1),
        ("after-begin", {"unknown": 4}, 0),
        ("before-send", {"unknown": 4}, 0),
        ("before-record", {"unknown": 4}, 1),
    ],
)
def test_without_key_or_read_back_a_crash_leaves_unknown_and_sends_nothing_again(
    table, misbehaving, dispatchers, document, all_are, point: str, states: dict, sent: int
) -> None:
    dispatchers.write(document(misbehaving.url, idempotency={"type": "None"}, freeze={"readBack": None}))
    table.add(4)
    killed = dispatchers.start(POINTSMAN_CRASH_AT=point)
    assert killed.wait() == -signal.SIGKILL
    dispatchers.start()
    all_are(**states)
    assert set(misbehaving.times_sent().values()) <= {1}
    assert len(misbehaving.times_sent()) == 4 * sent
    assert len(table.rows("SELECT 1 FROM reviews")) == states.get("unknown", 0)


@pytest.mark.parametrize("point", ["before-send", "after-send", "after-read-back", "before-record"])
def test_with_read_back_a_crash_is_read_before_anything_is_sent_again(
    table, misbehaving, dispatchers, document, all_are, point: str
) -> None:
    operations = [{key: value for key, value in document()["spec"]["operations"][0].items() if key != "compensation"}]
    dispatchers.write(document(misbehaving.url, idempotency={"type": "ReadBack"}, operations=operations))
    table.add(6)
    killed = dispatchers.start(POINTSMAN_CRASH_AT=point)
    assert killed.wait() == -signal.SIGKILL
    dispatchers.start()
    all_are(observed=6)
    assert set(misbehaving.times_sent().values()) == {1}


def test_a_dispatcher_that_stood_still_past_its_lease_records_nothing(
    table, misbehaving, dispatchers, document, until, all_are
) -> None:
    misbehaving.hold.clear()

    def answer(method: str, path: str):
        if method == "POST" and misbehaving.times_sent()[path] == 1:
            misbehaving.hold.wait(30)
        return misbehaving.behave(method, path)

    misbehaving.answer = answer
    dispatchers.write(document(misbehaving.url, timeout="1s"))
    table.add(20)
    zombie = dispatchers.start()
    until(lambda: len(misbehaving.times_sent()) == 20, "all are under way")
    zombie.send(signal.SIGSTOP)
    dispatchers.start()
    all_are(observed=20)
    before = table.rows("SELECT effect_id, body FROM effects ORDER BY effect_id")
    misbehaving.hold.set()
    zombie.send(signal.SIGCONT)
    until(lambda: zombie.log.read_text().count("outcome dropped") == 20, "the zombie's outcomes are dropped")
    assert table.rows("SELECT effect_id, body FROM effects ORDER BY effect_id") == before
    assert sorted(table.final_effects().values()) == [1] * 20


def test_two_dispatchers_at_once_send_everything_once(table, misbehaving, dispatchers, document, all_are) -> None:
    dispatchers.write(document(misbehaving.url), batch=5, leaseSeconds=30)
    dispatchers.start()
    dispatchers.start()
    for _ in range(6):
        table.add(50)
    all_are(observed=300)
    assert sorted(misbehaving.times_sent().values()) == [1] * 300
    assert "outcome dropped" not in dispatchers.logs()
