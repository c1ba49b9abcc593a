"""The dispatcher as a process, on a real PostgreSQL, against the accounts service and a target that misbehaves."""

from __future__ import annotations

import json
import signal
import threading
from datetime import timedelta
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow

BUSY = (429, {"Retry-After": "1"}, b"")
FAULT = (500, {}, b"")
LOOKS_UP_IN_A_FILE = """
import os, socket
from pathlib import Path
from pointsman.actions import addresses

real = socket.getaddrinfo


def look_up(host, port, *rest, **more):
    return real(Path(os.environ["ADDRESS_FILE"]).read_text() if host == "accounts.test" else host, port, *rest, **more)


socket.getaddrinfo = look_up
addresses._check = lambda ip, host: None  # a name that leads to loopback is refused
"""


@pytest.fixture
def all_are(table, until):
    """Wait until every action has this state."""

    def wait(**states: int) -> None:
        until(lambda: table.states() == states, lambda: f"{states}; it is {table.states()}, {table.reasons()}")

    return wait


def test_every_freeze_is_applied_once_observed_and_in_the_ledger(
    table, accounts, dispatchers, document, all_are
) -> None:
    dispatchers.write(document(accounts.url))
    table.add(100)
    process = dispatchers.start()
    all_are(observed=100)
    table.add(100)
    all_are(observed=200)
    assert accounts.summary() == {"count": 200, "distinct_keys": 200, "max_applied": 1}
    assert set(table.final_effects().values()) == {1}
    assert len(table.final_effects()) == 200
    assert table.ledger_commits_to_every_effect()
    assert process.end() == 0


def test_a_commit_wakes_the_dispatcher_before_it_looks_by_itself(
    table, misbehaving, dispatchers, document, until, all_are
) -> None:
    dispatchers.write(document(misbehaving.url), pollSeconds=60)
    process = dispatchers.start()
    until(lambda: process.said("dispatcher started"), "the start")
    listening = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
    until(lambda: table.rows(listening), "the dispatcher listens")
    table.add(3)
    all_are(observed=3)


def test_without_a_notification_it_looks_by_itself(table, misbehaving, dispatchers, document, until, all_are) -> None:
    dispatchers.write(document(misbehaving.url))
    process = dispatchers.start()
    until(lambda: process.said("dispatcher started"), "the start")
    table.add(3, notify=False)
    all_are(observed=3)


def test_a_target_that_answers_500_and_recovers_is_sent_the_same_key_again(
    table, misbehaving, dispatchers, document, all_are
) -> None:
    answers = [FAULT, BUSY]
    misbehaving.answer = lambda method, path: answers.pop() if answers else misbehaving.behave(method, path)
    dispatchers.write(document(misbehaving.url))
    (action,) = table.add()
    dispatchers.start()
    all_are(observed=1)
    keys = [headers["idempotency-key"] for method, _, headers, _ in misbehaving.requests if method == "POST"]
    assert keys == [str(action)] * 3
    states = [state for (state,) in table.rows("SELECT state FROM effects ORDER BY at")]
    assert states == ["approved", "attempted", "observed"]


def test_a_target_that_is_away_keeps_its_actions_waiting_and_gets_them_when_it_is_back(
    table, stopped_accounts, dispatchers, document, until, all_are
) -> None:
    dispatchers.write(document(stopped_accounts.url))
    table.add(5)
    dispatchers.start()
    until(lambda: table.reasons() == {"TargetUnreachable": 5}, "the actions say why they wait")
    assert table.states() == {"approved": 5}
    stopped_accounts.start()
    all_are(observed=5)
    assert stopped_accounts.summary()["max_applied"] == 1


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_what_the_target_refuses_is_rejected(table, misbehaving, dispatchers, document, all_are, status: int) -> None:
    misbehaving.answer = lambda method, path: (status, {}, b"")
    dispatchers.write(document(misbehaving.url))
    table.add(3)
    dispatchers.start()
    all_are(rejected=3)
    assert set(misbehaving.times_sent().values()) == {1}
    assert set(table.final_effects().values()) == {1}


def applies_and_says_nothing(misbehaving):
    """Applies every freeze, and answers the first request for each account too late."""

    def answer(method: str, path: str):
        done = misbehaving.behave(method, path)
        if method == "POST" and misbehaving.times_sent()[path] == 1:
            misbehaving.hold.wait(30)
        return done

    misbehaving.hold.clear()
    misbehaving.answer = answer


def test_with_a_key_a_request_without_an_answer_is_sent_again(
    table, misbehaving, dispatchers, document, all_are
) -> None:
    applies_and_says_nothing(misbehaving)
    dispatchers.write(document(misbehaving.url, timeout="200ms"))
    table.add()
    dispatchers.start()
    all_are(observed=1)
    assert set(misbehaving.times_sent().values()) == {2}


def test_with_read_back_a_request_without_an_answer_is_read_and_not_sent_again(
    table, misbehaving, dispatchers, document, all_are
) -> None:
    applies_and_says_nothing(misbehaving)
    operations = [document()["spec"]["operations"][0] | {"compensation": None}]
    del operations[0]["compensation"]
    dispatchers.write(
        document(misbehaving.url, idempotency={"type": "ReadBack"}, operations=operations, timeout="200ms")
    )
    table.add(3)
    dispatchers.start()
    all_are(observed=3)
    assert set(misbehaving.times_sent().values()) == {1}


def test_with_neither_a_request_without_an_answer_is_unknown_and_never_sent_again(
    table, misbehaving, dispatchers, document, until, all_are
) -> None:
    applies_and_says_nothing(misbehaving)
    dispatchers.write(
        document(misbehaving.url, idempotency={"type": "None"}, freeze={"readBack": None}, timeout="200ms")
    )
    table.add(3)
    dispatchers.start()
    all_are(unknown=3)
    misbehaving.answer = misbehaving.behave
    table.add()
    all_are(unknown=3, observed=1)
    assert set(misbehaving.times_sent().values()) == {1}
    assert [reasons for (reasons,) in table.rows("SELECT reasons FROM reviews")] == [["OutcomeUnknown"]] * 3


def test_an_expired_action_is_rejected_and_not_sent(table, misbehaving, dispatchers, document, all_are) -> None:
    dispatchers.write(document(misbehaving.url), document(misbehaving.url, name="held", suspend=True))
    table.add(2, expires_in=-1)
    table.add(2, target="held", expires_in=-1)
    table.add(2, target="gone", expires_in=-1)
    table.add(1, expires_in=600)
    dispatchers.start()
    all_are(rejected=6, observed=1)
    assert table.reasons() == {"Expired": 6, "Observed": 1}
    assert len(misbehaving.times_sent()) == 1


@pytest.mark.parametrize("account", ["../admin", "A-1/unfreeze", "..", "%2e%2e", "A\\B", ""])
def test_a_parameter_that_would_change_the_path_goes_to_a_person_unsent(
    table, misbehaving, dispatchers, document, all_are, account: str
) -> None:
    dispatchers.write(document(misbehaving.url))
    table.add(account=account)
    dispatchers.start()
    all_are(rejected=1)
    assert misbehaving.requests == []
    assert table.reasons() == {"InvalidParameter": 1}
    assert len(table.rows("SELECT 1 FROM reviews")) == 1


def test_what_needs_an_approval_goes_to_a_person_unsent(table, misbehaving, dispatchers, document, all_are) -> None:
    dispatchers.write(document(misbehaving.url, approval={"type": "Always"}))
    table.add(2)
    dispatchers.start()
    all_are(rejected=2)
    assert misbehaving.requests == []
    assert table.reasons() == {"ApprovalNotAvailable": 2}


def test_an_exhausted_budget_holds_the_rest_until_the_window_has_room(
    table, misbehaving, dispatchers, document, until, all_are
) -> None:
    dispatchers.write(document(misbehaving.url, budget={"limit": 4, "window": "3s"}))
    table.add(10)
    dispatchers.start()
    until(lambda: table.reasons() == {"Observed": 4, "BudgetExhausted": 6}, "the held actions say why they wait")
    all_are(observed=10)
    sent = sorted(at for (at,) in table.rows("SELECT min(at) FROM effects GROUP BY action_id"))
    assert all(later - earlier > timedelta(seconds=2.5) for earlier, later in zip(sent, sent[4:], strict=False))


def test_two_dispatchers_and_a_kill_do_not_spend_a_budget_twice(
    table, misbehaving, dispatchers, document, until, all_are
) -> None:
    dispatchers.write(document(misbehaving.url, budget={"limit": 6, "window": "1h"}), batch=4)
    table.add(20)
    first, second = dispatchers.start(), dispatchers.start()
    until(lambda: table.states()["observed"] == 6, "the budget is used up")
    for process in (first, second):
        process.end(signal.SIGKILL)
        third = dispatchers.start()
        until(lambda third=third: third.said("dispatcher started"), "the next one starts")
        table.add()
        until(lambda: set(table.reasons()) == {"Observed", "BudgetExhausted"}, "new actions are held too")
    assert table.states()["observed"] == 6
    assert len(misbehaving.times_sent()) == 6


def test_an_exhausted_budget_can_send_the_rest_to_people(table, misbehaving, dispatchers, document, all_are) -> None:
    dispatchers.write(document(misbehaving.url, budget={"limit": 4, "window": "1h", "onExhausted": "Review"}))
    table.add(10)
    dispatchers.start()
    all_are(observed=4, rejected=6)
    assert table.reasons() == {"Observed": 4, "BudgetExhausted": 6}
    assert len(table.rows("SELECT 1 FROM reviews")) == 6


def test_targets_change_without_a_restart(table, misbehaving, dispatchers, document, until, all_are) -> None:
    dispatchers.write(pollSeconds=0.1)
    process = dispatchers.start()
    table.add(2)
    until(lambda: table.reasons() == {"TargetNotFound": 2}, "the actions say that their target is not registered")
    dispatchers.write(document(misbehaving.url, suspend=True))
    until(lambda: table.reasons() == {"KillSwitchOn": 2}, "the actions say that the kill switch is on")
    assert misbehaving.requests == []
    dispatchers.write(document(misbehaving.url))
    all_are(observed=2)
    dispatchers.path.write_text("{")
    until(lambda: process.said("settings refused"), "the broken file is refused")
    table.add()
    all_are(observed=3)
    process.send(signal.SIGHUP)
    table.add()
    all_are(observed=4)
    assert process.end() == 0


def test_a_target_that_cannot_be_used_takes_no_other_one_down(table, misbehaving, dispatchers, document, until) -> None:
    broken = document(misbehaving.url, name="broken")
    broken["spec"]["operations"] = []
    no_secret = document(misbehaving.url, name="nosecret")
    no_secret["spec"]["auth"]["bearer"]["secretKeyRef"]["name"] = "missing"
    forbidden = document("http://169.254.169.254", name="forbidden")
    dispatchers.write(broken, no_secret, forbidden, document(misbehaving.url))
    for name in ("broken", "nosecret", "forbidden", "accounts"):
        table.add(target=name)
    dispatchers.start()
    expected = {"TargetNotFound", "SecretNotFound", "TargetUnreachable", "Observed"}
    until(lambda: set(table.reasons()) == expected, "each says what is wrong")
    assert table.states() == {"approved": 3, "observed": 1}


def test_a_changed_secret_is_used_at_once(table, accounts, dispatchers, document, until, all_are) -> None:
    right = dispatchers.token.read_text()
    dispatchers.token.unlink()
    dispatchers.write(document(accounts.url))
    table.add()
    dispatchers.start()
    until(lambda: table.reasons() == {"SecretNotFound": 1}, "the action says that the secret is missing")
    dispatchers.token.write_text(right)
    all_are(observed=1)


def test_no_secret_is_ever_logged(table, accounts, dispatchers, document, all_are, database_url: str) -> None:
    dispatchers.write(document(accounts.url), document("http://127.0.0.1:1", name="away"))
    table.add(3)
    table.add(account="../x")
    dispatchers.start()
    all_are(observed=3, rejected=1)
    broken = dispatchers.path.read_text().replace('"targets"', '"target"')
    dispatchers.path.write_text(broken)
    refused = dispatchers.start()
    assert refused.wait() == 2
    logs = dispatchers.logs()
    assert "cannot start" in logs
    for line in logs.splitlines():
        json.loads(line)
    assert dispatchers.token.read_text().strip() not in logs
    assert database_url not in logs
    assert "A-" not in logs, "accounts are no business of a log"


def test_told_to_stop_it_finishes_what_is_under_way_and_leaves_no_lease(
    table, misbehaving, dispatchers, document, until
) -> None:
    misbehaving.hold.clear()

    def answer(method: str, path: str):
        if method == "POST":
            misbehaving.hold.wait(30)
        return misbehaving.behave(method, path)

    misbehaving.answer = answer
    dispatchers.write(document(misbehaving.url, timeout="20s"), leaseSeconds=60, batch=4, lanes=1)
    table.add(10)
    process = dispatchers.start()
    until(lambda: len(misbehaving.times_sent()) == 4, "a batch is under way")
    process.send(signal.SIGTERM)
    threading.Timer(0.2, misbehaving.hold.set).start()
    assert process.end() == 0
    assert table.states() == {"observed": 4, "approved": 6}
    assert table.rows("SELECT 1 FROM outbox WHERE lease_owner IS NOT NULL") == []


def test_it_outlives_the_store_and_finishes_when_the_store_is_back(
    table, postgres, database: str, accounts, dispatchers, document, until, all_are
) -> None:
    dispatchers.write(document(accounts.url), batch=8)
    process = dispatchers.start()
    table.add(10)
    all_are(observed=10)
    table.add(400)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        for _ in range(3):
            admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
                (database, table.connection.info.backend_pid),
            )
            said = process.log.read_text().count("store unavailable")
            until(lambda said=said: process.log.read_text().count("store unavailable") > said, "it notices")
            admin.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    all_are(observed=410)
    assert process.popen.poll() is None
    assert accounts.summary() == {"count": 410, "distinct_keys": 410, "max_applied": 1}
    assert set(table.final_effects().values()) == {1}
    assert table.ledger_commits_to_every_effect()


def status_port(process, until) -> str:
    """Its address, once it is open."""
    until(lambda: process.said("status port open"), "the port")
    line = next(line for line in process.log.read_text().splitlines() if "status port open" in line)
    return f"http://{json.loads(line)['address']}"


def test_the_status_port_is_read_only_and_tells_what_was_done(
    table, misbehaving, dispatchers, document, until, all_are
) -> None:
    dispatchers.write(document(misbehaving.url), controlPort=0)
    base = status_port(dispatchers.start(), until)
    table.add(2)
    all_are(observed=2)

    def stats() -> dict:
        with urlopen(f"{base}/-/stats", timeout=5) as answer:
            return json.load(answer)["targets"]["accounts"]

    until(lambda: stats() == {"recorded": {"observed": 2}, "held": None}, "the figures")
    with urlopen(f"{base}/-/ready", timeout=5) as answer:
        assert json.load(answer)["ready"] is True
    for method, path, status in [("GET", "/", 404), ("POST", "/-/stats", 405), ("GET", "/-/stats/../x", 404)]:
        with pytest.raises(HTTPError) as caught:
            urlopen(Request(base + path, method=method), timeout=5)
        assert caught.value.code == status
        caught.value.close()


def test_prometheus_reads_how_actions_ended_how_long_that_took_and_what_is_left_of_the_budget(
    table, misbehaving, dispatchers, document, until, all_are
) -> None:
    budget = {"limit": 5, "window": "1h", "onExhausted": "Hold"}
    dispatchers.write(
        document(misbehaving.url, budget=budget), document("http://127.0.0.1:1", name="away"), controlPort=0
    )
    base = status_port(dispatchers.start(), until)

    def value(name: str, *labels: str) -> float | None:
        with urlopen(f"{base}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, frozenset(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }.get((f"pointsman_{name}", frozenset(labels)))

    until(lambda: value("target_answers", "accounts") == 1, "the target is looked at")
    assert value("effects_total", "accounts", "freeze", "observed") == 0, "there before it happens"
    table.add(2)
    until(lambda: value("effects_total", "accounts", "freeze", "observed") == 2, "both are observed")
    assert value("effect_seconds_count", "accounts") == 2
    assert 0 < value("effect_seconds_sum", "accounts") < 60
    until(lambda: value("target_budget_left", "accounts") == 3, "the budget is spent")
    assert value("target_budget_limit", "accounts") == 5
    assert value("target_held", "accounts", "") == 0
    until(lambda: value("target_answers", "away") == 0, "nobody listens there")


@pytest.fixture
def seen(dispatchers, until):
    """Starts a dispatcher; what it tells of a target."""

    def start(**environment: str):
        base = status_port(dispatchers.start(**environment), until)

        def of(name: str = "accounts") -> dict:
            with urlopen(f"{base}/-/targets", timeout=5) as answer:
                return json.load(answer)["targets"].get(name, {})

        return of

    return start


def test_of_each_target_it_is_told_whether_it_answers_and_which_secrets_are_missing(
    table, stopped_accounts, dispatchers, document, seen, until
) -> None:
    right = dispatchers.token.read_text()
    dispatchers.token.unlink()
    broken = document("http://127.0.0.1:1", name="broken")
    broken["spec"]["operations"] = []
    nameless = document("http://nobody.invalid", name="nameless")
    dispatchers.write(document(stopped_accounts.url), broken, nameless, controlPort=0)
    of = seen()
    nothing = {
        "answers": False, "nameIsUnknown": False, "missingSecrets": ["accounts-token/token"], "budgetLeft": None,
    }  # fmt: skip
    silent = nothing | {"cause": "connection refused", "held": "SecretNotFound"}
    until(lambda: of() == silent, lambda: f"silent, without its secret; it is {of()}")
    assert of("broken")["cause"].startswith("it cannot be used: invalid: spec.operations")
    nowhere = {"cause": 'target: cannot be resolved: "nobody.invalid"', "nameIsUnknown": True}
    unknown = nothing | nowhere | {"held": "TargetUnreachable"}
    until(lambda: of("nameless") == unknown, lambda: f"without an address; it is {of('nameless')}")
    table.add()
    dispatchers.token.write_text(right)
    stopped_accounts.start()
    good = {
        "answers": True, "cause": "", "nameIsUnknown": False, "missingSecrets": [], "budgetLeft": None, "held": None,
    }  # fmt: skip
    until(lambda: of() == good, lambda: f"all is well; it is {of()}")
    until(lambda: table.states() == {"observed": 1}, "the action is carried out, without a restart")


def test_what_is_left_of_a_budget_is_told(table, misbehaving, dispatchers, document, seen, until) -> None:
    budget = {"limit": 3, "window": "1h", "onExhausted": "Hold"}
    dispatchers.write(document(misbehaving.url, budget=budget), controlPort=0)
    of = seen()
    until(lambda: of().get("budgetLeft") == 3, "nothing is spent")
    table.add(2)
    until(lambda: of()["budgetLeft"] == 1, "two are spent")
    table.add(2)
    until(lambda: (of()["budgetLeft"], of()["held"]) == (0, "BudgetExhausted"), "all is spent")
    assert of()["answers"] is True


def test_a_target_whose_name_leads_elsewhere_is_followed(
    table, misbehaving, dispatchers, document, tmp_path, until, all_are
) -> None:
    """As that of a Service that was deleted and made anew."""
    port = misbehaving.url.rpartition(":")[2]
    names = tmp_path / "names"
    names.mkdir()
    (names / "sitecustomize.py").write_text(LOOKS_UP_IN_A_FILE)
    address = tmp_path / "address"
    address.write_text("127.0.0.2")  # nobody listens there on this port
    dispatchers.write(document(f"http://accounts.test:{port}"))
    dispatchers.start(PYTHONPATH=str(names), ADDRESS_FILE=str(address))
    table.add(2)
    until(lambda: table.reasons() == {"TargetUnreachable": 2}, "nobody listens")
    address.write_text("127.0.0.1")
    all_are(observed=2)


def test_without_a_stores_url_it_does_not_start(dispatchers, document, misbehaving) -> None:
    dispatchers.write(document(misbehaving.url))
    process = dispatchers.start(POINTSMAN_STORE_URL="")
    assert process.wait() == 2
    assert process.said("POINTSMAN_STORE_URL: is not set")
