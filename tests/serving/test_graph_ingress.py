"""A graph's ingress over a real store: keys, idempotency, bad input, and a queue of people that is full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.certified import certify_bands
from harness.hosting import hosted
from pointsman.governance.access import Role
from pointsman.governance.keys import make
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.library import load
from pointsman.local.ports import Ports
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def resolved() -> ResolvedGraph:
    return load(EXAMPLE).graph.resolved


def with_limit(resolved: ResolvedGraph, most: int, overflow: str | None) -> ResolvedGraph:
    spec = resolved.graph.spec
    review = spec.review.model_copy(update={"max_open": most, "overflow_outcome": overflow})
    graph = resolved.graph.model_copy(update={"spec": spec.model_copy(update={"review": review})})
    return resolved.model_copy(update={"graph": graph})


class Ingress:
    """A host in a thread of this process, and a caller with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def metrics(self) -> dict[tuple[str, frozenset[str]], float]:
        """What Prometheus reads: values by name and labels, but for the graph's."""
        answer = httpx2.get(f"{self.url}/-/metrics", timeout=20, trust_env=False)
        assert answer.headers["content-type"].startswith("text/plain")
        return {
            (sample.name, frozenset(value for label, value in sample.labels.items() if label != "graph")): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    def post(self, key: str | None = None, **body: object) -> httpx2.Response:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx2.post(f"{self.url}/decisions", headers=headers, timeout=20, trust_env=False, **body)


@pytest.fixture
def overflow() -> str | None:
    """What items get for which people have no room."""
    return None


@pytest.fixture
def ingress(
    resolved: ResolvedGraph, overflow: str | None, database_url: str, owner_url: str, tmp_path: Path
) -> Iterator[Ingress]:
    from pointsman.local.home import Home

    certify_bands(resolved, database_url, owner_url)

    port = Ports(Home(tmp_path)).of("graph")
    with connect(database_url) as connection:
        _, key = make(connection, "shop", Role.SERVICE, expires_at=None, now=datetime.now(UTC))
    config = HostConfig(
        database_url=database_url, port=port, control_token="x" * 16, resolved=with_limit(resolved, 2, overflow)
    )
    with hosted(config) as url:
        yield Ingress(url, key)


def event(**changes: str) -> dict[str, str]:
    return {
        "transaction_id": uuid4().hex,
        "occurred_at": "2026-03-02T10:00:00Z",
        "amount": "12.50",
        "card_id": "c",
        "terminal_id": "t",
        "card_account": "a",
    } | changes


def test_an_event_is_decided_once_whoever_sends_it_again(ingress: Ingress) -> None:
    sent = event()
    first, again = ingress.post(json=sent), ingress.post(json=sent)
    assert (first.status_code, first.json()["outcome"]) == (200, "approve")
    assert again.json() == {**first.json(), "duplicate": True}
    other = ingress.post(json={**sent, "amount": "13.00"})
    assert (other.status_code, other.json()["reason"]) == (422, "EventConflict")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"content": b"{"}, 400, "not JSON"),
        ({"content": b"3"}, 400, "not an event"),
        ({"json": {"events": []}}, 400, "no event"),
        ({"json": {"transaction_id": "t"}}, 422, "occurred_at"),
        ({"content": b"[" * 2000}, 400, "not JSON"),
        ({"content": b" " * (8 * 1024 * 1024 + 1)}, 413, "at most 8388608"),
    ],
)
def test_bad_input_is_told_where(ingress: Ingress, body: dict[str, object], status: int, says: str) -> None:
    answer = ingress.post(**body)
    assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text


def test_nobody_sends_events_without_a_key_that_may(ingress: Ingress, database_url: str) -> None:
    assert ingress.post(key="pm_guess", json=event()).status_code == 401
    with connect(database_url) as connection:
        _, viewer = make(connection, "eve", Role.VIEWER, expires_at=None, now=datetime.now(UTC))
    while (status := ingress.post(key=viewer, json=event()).status_code) == 401:
        pass
    assert status == 403


def test_while_people_have_too_much_to_do_nothing_more_is_taken_in(ingress: Ingress, database_url: str) -> None:
    for _ in range(2):
        assert ingress.post(json=event(amount="9000.00")).json()["outcome"] == "review"
    while (answer := ingress.post(json=event())).status_code == 200:
        pass
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "2 items wait for people" in answer.json()["error"]
    with connect(database_url) as connection:
        connection.execute("UPDATE reviews SET state = 'decided' WHERE state = 'open'")
    while ingress.post(json=event()).status_code == 503:
        pass


@pytest.mark.parametrize("overflow", ["defer"])
def test_where_the_graph_says_so_people_are_given_no_more_and_callers_another_outcome(
    ingress: Ingress, database_url: str
) -> None:
    answers = ingress.post(json=[event(amount="9000.00") for _ in range(3)]).json()["answers"]
    assert [each["outcome"] for each in answers] == ["review", "review", "defer"]
    again = ingress.post(json=event(amount="9000.00")).json()
    assert (again["outcome"], again["reasons"][-1]) == ("defer", "ReviewOverflow")
    assert ingress.post(json=event()).json()["outcome"] == "approve"
    while httpx2.get(f"{ingress.url}/-/ready", trust_env=False).json()["activity"]["reviews"] != "ReviewOverflow":
        pass
    assert ingress.metrics()["pointsman_graph_overflowed_total", frozenset()] == 2
    with connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM reviews").fetchone() == (2,)
        connection.execute("UPDATE reviews SET state = 'decided' WHERE state = 'open'")
    while ingress.post(json=event(amount="9000.00")).json()["outcome"] != "review":
        pass


def test_prometheus_reads_what_was_answered(ingress: Ingress, resolved: ResolvedGraph) -> None:
    ingress.post(json=event(amount="10.50"))
    ingress.post(json=event(amount="9000.00"))
    ingress.post(json={"transaction_id": "t"})
    ingress.post(json={"events": [event(amount="1.00"), event(amount="1.00"), event(amount="1.00")]})
    assert ingress.post(key="pm_guess", json=event()).status_code == 401

    found = ingress.metrics()
    assert found["pointsman_graph_decisions_total", frozenset({"approve", "review"})] == 0, "there before it happens"

    def value(name: str, *labels: str) -> float:
        return found[f"pointsman_graph_{name}", frozenset(labels)]

    assert value("decisions_total", "approve") == 4
    assert value("decisions_total", "freeze", "review") == 1, (
        "its score is in the band, and a rule sends it to a person"
    )
    assert value("at_stake_total", "approve") == 13.5
    assert value("at_stake_total", "freeze", "review") == 9000
    assert value("review_reasons_total", "AmountOverLimit") == 1
    assert value("dead_letters_total", "MissingField") == 1
    assert value("events_total") == 6
    assert value("requests_total", "200", "") == 3
    assert value("requests_total", "422", "") == value("requests_total", "401", "") == 1
    assert value("latency_seconds_count", "synchronous") == 3
    assert value("latency_seconds_count", "stream") == 3
    assert value("scores_count") == 5
    assert value("ready", "Ready") == value("store_answers") == value("recoveries_total") == 1
    assert value("revision_info", resolved.revision) == 1
    assert value("max_open_reviews") == 2
    assert value("deadline_seconds") == 0.2
    for node, model in resolved.models.items():
        assert value("model_rows_total", node, model.deployment, model.version) == 5
        assert value("model_call_seconds_count", node, model.deployment, model.version) == 3


def test_a_history_is_scored_and_nothing_of_it_is_recorded(
    ingress: Ingress, resolved: ResolvedGraph, database_url: str
) -> None:
    with connect(database_url) as connection:
        _, operator = make(connection, "risk", Role.OPERATOR, expires_at=None, now=datetime.now(UTC))
    events = [event(transaction_id=f"h{at}", occurred_at=f"2026-03-02T10:{at:02}:00Z") for at in range(40)]
    broken = {**event(transaction_id="h-broken"), "amount": "a lot"}

    def score(after: int, *batch: object, key: str = operator, name: str = "one") -> httpx2.Response:
        body = {"history": name, "after": after, "events": list(batch)}
        headers = {"authorization": f"Bearer {key}"}
        return httpx2.post(f"{ingress.url}/scores", headers=headers, json=body, timeout=20, trust_env=False)

    while score(0, events[0]).status_code == 401:
        pass  # keys are read every two seconds
    first, second = score(0, *events[:30]), score(30, *events[30:], broken, events[0])
    told = first.json()["scores"] | second.json()["scores"]
    here = load(EXAMPLE).decide(events)
    assert told == {each["id"]: pytest.approx(each["score"]) for each in here}
    assert told["h39"] != told["h0"], "the card's own history does not tell"
    assert first.json()["revision"] == resolved.revision
    assert "42 of its events were scored, not 30" in score(30, events[0]).json()["error"]
    assert "knows nothing of this history" in score(42, events[0], name="another").json()["error"]
    assert score(0, events[0], key=ingress.key).status_code == 403
    assert score(0, *[]).status_code == 422
    with connect(database_url) as connection:
        for table in ("decisions", "events", "dead_letters"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    live = ingress.post(json=event(card_id="c", occurred_at="2026-03-02T11:00:00Z", transaction_id="live"))
    assert live.json()["score"] == pytest.approx(
        load(EXAMPLE).decide([event(occurred_at="2026-03-02T11:00:00Z")])[0]["score"]
    )


def test_an_idle_host_counts_the_items_that_wait_again_when_its_store_was_away(
    ingress: Ingress, database: str, database_url: str, postgres
) -> None:
    for _ in range(2):
        ingress.post(json=event(amount="9000.00"))
    while ingress.post(json=event()).status_code == 200:
        pass
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
    with connect(database_url) as connection:
        connection.execute("UPDATE reviews SET state = 'decided' WHERE state = 'open'")
    deadline = time.monotonic() + 30
    while ingress.post(json=event()).status_code == 503:
        assert time.monotonic() < deadline
