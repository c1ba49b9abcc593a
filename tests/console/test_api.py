"""Decisions, dead letters, lists, metrics and limits over HTTP: what is asked is answered, what is wrong is said where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import orjson
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pointsman.console.limits import BODY_BYTES, JSON_DEPTH, depth_of
from pointsman.console.store import Store
from pointsman.decisions.queries import record_revision
from pointsman.store.database import connect

pytestmark = pytest.mark.slow


def test_a_decision_is_shown_with_everything_behind_it(decide, call) -> None:
    answer = decide()
    shown = call("GET", f"/v1/decisions/{answer['decision']}").json()
    assert shown["decision"]["score"] == answer["score"]
    assert shown["event"]["digestHolds"]
    assert shown["ledger"]["holds"]
    assert call("GET", f"/v1/decisions/{answer['id']}").json()["decision"]["decision"] == answer["decision"]
    assert call("GET", "/v1/decisions/nothing").status_code == 404


def test_pages_of_decisions_hold_every_one_once_newest_first(decide, call, graph) -> None:
    sent = [decide()["decision"] for _ in range(7)]
    got, after = list[str](), ""
    while True:
        page = call("GET", f"/v1/decisions?graph={graph}&limit=3{after}").json()
        got += [each["decision"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&cursor={page['next']}"
    assert got == sent[::-1]


def test_decisions_are_filtered_by_what_they_are(decide, call, graph) -> None:
    plain, odd = decide(), decide(amount="9000.00")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+", "%2B")

    def found(query: str) -> list[str]:
        answer = call("GET", f"/v1/decisions?graph={graph}&{query}")
        assert answer.status_code == 200, answer.text
        return [each["decision"] for each in answer.json()["items"]]

    assert found("outcome=review") == [odd["decision"]]
    assert found("reason=AmountOverLimit") == [odd["decision"]]
    assert found("band=approve&outcome=approve") == [plain["decision"]]
    assert found(f"since={tomorrow}") == []
    assert len(found(f"until={tomorrow}")) == 2


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("", 422, "query.graph: Field required"),
        ("graph=card-farud", 404, "there are: card-fraud"),
        ("graph=card-fraud&cursor=nonsense", 400, 'give "next" of the page before'),
        ("graph=card-fraud&limit=0", 422, "query.limit"),
        ("graph=card-fraud&since=2026-01-01T00:00:00", 422, "offset from UTC"),
        ("graph=card-fraud&outcome=%00", 422, "query.outcome"),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(call, graph, query, status, says) -> None:
    answer = call("GET", f"/v1/decisions?{query}")
    assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text


def test_a_list_is_changed_and_shown(call, graph) -> None:
    path = f"/v1/graphs/{graph}/lists"
    added = call("POST", f"{path}/stolen_cards", by="bob", json={"value": "card-9", "comment": "phoned"}).json()
    assert (added["author"], added["changed"]) == ("bob", True)
    assert not call("POST", f"{path}/stolen_cards", by="bob", json={"value": "card-9", "comment": "phoned"}).json()[
        "changed"
    ]
    (stolen,) = call("GET", f"{path}?name=stolen_cards").json()["lists"]
    assert (stolen["type"], [each["value"] for each in stolen["entries"]]) == ("Block", ["card-9"])
    assert call("DELETE", f"{path}/stolen_cards?value=card-9").json()["changed"]
    gone = call("DELETE", f"{path}/stolen_cards?value=card-9")
    assert (gone.status_code, "does not stand" in gone.json()["error"]) == (404, True)
    unknown = call("POST", f"{path}/stolen", json={"value": "x"})
    assert (unknown.status_code, "stolen_cards" in unknown.json()["error"]) == (404, True)
    late = call("POST", f"{path}/stolen_cards", json={"value": "x", "expiresAt": "2020-01-01T00:00:00Z"})
    assert (late.status_code, "has passed" in late.json()["error"]) == (422, True)


def test_dead_letters_are_listed_and_set_aside(decide, call, graph) -> None:
    decide(amount="a lot")
    (letter,) = call("GET", f"/v1/deadletters?graph={graph}").json()["items"]
    assert (letter["reason"], letter["place"]) == ("WrongType", "amount")
    assert call("GET", f"/v1/deadletters/{letter['id']}").json()["event"]["amount"] == "a lot"
    assert call("POST", f"/v1/deadletters/{letter['id']}/replay", json={}).status_code == 503
    assert call("POST", f"/v1/deadletters/{letter['id']}/discard").json() == {"state": "discarded"}
    assert call("POST", f"/v1/deadletters/{letter['id']}/replay", json={}).status_code == 409
    assert call("GET", f"/v1/deadletters?graph={graph}").json()["items"] == []


def test_a_graph_is_known_by_what_its_host_recorded(library, database_url, owner_url) -> None:
    """As on a cluster, where no supervisor keeps the applied objects."""
    resolved, store = library.graph.resolved, Store(database_url)
    changed = resolved.graph.model_copy(
        update={"metadata": resolved.graph.metadata.model_copy(update={"generation": 7})}
    )
    store.open()
    try:
        with connect(database_url) as connection:
            record_revision(connection, resolved)
            connection.commit()
            assert store.graphs() == []
            for graph in (resolved.graph, changed):
                record_revision(
                    connection,
                    resolved.model_copy(update={"graph": graph}),
                    address="http://card-fraud.fraud.svc/v1/graphs/card-fraud",
                )
                connection.commit()
        (graph,) = store.graphs()
        assert (graph.name, graph.uid) == (resolved.graph.name, resolved.graph_uid)
        assert graph.address == "http://card-fraud.fraud.svc/v1/graphs/card-fraud/decisions"
        assert graph.document.spec == resolved.graph.spec
        with connect(owner_url) as connection:
            assert connection.execute("SELECT generation FROM objects").fetchall() == [(7,)]
    finally:
        store.close()


def test_it_is_ready_once_the_store_has_what_this_release_needs(address, owner_url) -> None:
    with connect(owner_url, autocommit=True) as owner, httpx2.Client(base_url=address, trust_env=False) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        owner.execute("UPDATE alembic_version SET version_num = '0001'")
        waiting = client.get("/readyz")
        assert (waiting.status_code, 'has revision "0001"' in waiting.json()["error"]) == (503, True)
        owner.execute("UPDATE alembic_version SET version_num = '9999'")  # of a later release, which is as good
        assert client.get("/readyz").status_code == 200


def test_metrics_say_what_the_store_holds(decide, call, graph) -> None:
    decide()
    decide(amount="a lot")
    text = call("GET", "/metrics").text
    assert f'pointsman_events_received_total{{graph="{graph}"}} 2.0' in text
    assert f'pointsman_decisions_total{{graph="{graph}"}} 1.0' in text
    assert 'reason="WrongType",state="open"} 1.0' in text
    assert "pointsman_ledger_leaves 1.0" in text
    assert "pointsman_ledger_missing_leaves 0.0" in text


def test_metrics_say_what_waits_for_people_and_what_they_said(to_review, call, graph) -> None:
    to_review(amount="9000.00", card_id="card-1")
    to_review(amount="8000.50", card_id="card-2")

    def value(name: str, *labels: str) -> float:
        text = call("GET", "/metrics").text
        return {
            (sample.name, frozenset(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }[f"pointsman_{name}", frozenset((graph, *labels))]

    assert value("reviews_decided_total", "fraud", "true") == 0, "there before it happens"
    assert value("reviews_open") == 2
    assert value("reviews_at_stake") == 17000.5
    assert 0 < value("reviews_oldest_seconds") < 60
    assert value("reviews_overdue") == value("reviews_escalated") == 0
    (item,) = call("POST", "/v1/reviews/claim", json={"graph": graph}).json()["items"]
    for _ in range(2):  # said twice, counted once
        call("POST", f"/v1/reviews/{item['review_id']}/verdict", json={"verdict": "fraud", "reason": "asked"})
    assert value("reviews_open") == 1
    assert value("reviews_decided_total", "fraud", "true") == 1
    assert value("reviews_decided_at_stake_total", "fraud", "true") == 9000
    assert value("reviews_decided_seconds_count") == 1
    (item,) = call("POST", "/v1/reviews/claim", json={"graph": graph}).json()["items"]
    call("POST", f"/v1/reviews/{item['review_id']}/verdict", json={"verdict": "legitimate", "reason": "asked"})
    assert value("reviews_decided_total", "legitimate", "false") == 1


def test_metrics_say_what_the_ledger_lacks_and_which_action_waits(call, graph, owner_url) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE ledger_head SET size = size + 3")
        connection.execute(
            "INSERT INTO outbox (action_id, day, decision_id, graph_uid, target, operation, parameters, created_at) SELECT"
            " gen_random_uuid(), now(), gen_random_uuid(), gen_random_uuid(), 'accounts', 'freeze', '{}', now() - interval '1h'"
        )
    text = call("GET", "/metrics").text
    assert "pointsman_ledger_missing_leaves 3.0" in text
    assert 'pointsman_outbox{state="approved",target="accounts"} 1.0' in text
    assert 'pointsman_outbox_oldest_seconds{target="accounts"} 360' in text
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE outbox SET state = 'observed'")
    text = call("GET", "/metrics").text
    assert 'pointsman_outbox{state="approved",target="accounts"} 0.0' in text
    assert 'pointsman_outbox_oldest_seconds{target="accounts"} 0.0' in text


def test_a_body_of_one_byte_too_many_is_refused(call) -> None:
    body = orjson.dumps({"name": "", "role": "viewer"})
    longest = body[:-1] + b" " * (BODY_BYTES - len(body)) + b"}"
    assert call("POST", "/v1/keys", content=longest).status_code == 422
    refused = call("POST", "/v1/keys", content=longest + b" ")
    assert (refused.status_code, "at most 8388608" in refused.json()["error"]) == (413, True)


def test_a_body_that_is_nested_too_deeply_is_refused(call) -> None:
    deepest = b"[" * JSON_DEPTH + b"]" * JSON_DEPTH
    assert call("POST", "/v1/keys", content=deepest).status_code == 422
    assert call("POST", "/v1/keys", content=b"[" + deepest + b"]").status_code == 400


def test_brackets_inside_strings_do_not_nest() -> None:
    assert depth_of(rb'{"a": "[[[\"[[", "b": [1, {"c": []}]}') == 4


def test_events_are_not_taken_here_but_by_the_graph(call, graph) -> None:
    answer = call("POST", f"/v1/graphs/{graph}/decisions", json={"transaction_id": "t"})
    assert (answer.status_code, "is not served now" in answer.json()["error"]) == (503, True)
    assert call("POST", f"/v1/graphs/{graph}/decisions", content=b'{"a": 1}\n{"a": 2}').status_code == 503
    assert call("POST", "/v1/graphs/none/decisions", json={"transaction_id": "t"}).status_code == 404


def test_one_document_describes_every_route(address) -> None:
    with httpx2.Client(base_url=address, trust_env=False) as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/graphs/{graph}/decisions", "/v1/reviews/{review}/verdict", "/v1/deadletters", "/metrics"} <= set(paths)
