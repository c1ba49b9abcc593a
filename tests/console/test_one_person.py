"""A person is one subject, whatever keys they hold: for claims, first calls, golden items, approvals and re-arming."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx2
import pytest

from pointsman.decisions import certificate_store
from pointsman.governance.access import Role
from pointsman.store.database import connect

pytestmark = pytest.mark.slow
NOW = datetime.now(UTC)
SAID = {"verdict": "fraud", "reason": "phoned"}


@pytest.fixture
def ask(address):
    """Asks the API with a key's text, once that is known."""
    with httpx2.Client(base_url=address, trust_env=False) as client:

        def send(text: str, method: str, path: str, **more):
            headers = {"authorization": f"Bearer {text}"}
            while (answer := client.request(method, path, headers=headers, **more)).status_code == 401:
                pass
            return answer

        yield send


@pytest.fixture
def desk_and_phone(key_of) -> tuple[str, str]:
    """Two keys of ann, who may do everything."""
    return key_of(Role.ADMIN, "ann-desk", subject="ann"), key_of(Role.ADMIN, "ann-phone", subject="ann")


def blind(owner_url) -> None:
    with connect(owner_url) as opened:
        opened.execute("UPDATE revisions SET body = jsonb_set(body, '{graph,spec,review,blindShare}', '\"100%\"')")
        opened.commit()


def test_a_case_is_worked_with_the_old_key_and_its_successor(to_review, ask, call, key_of) -> None:
    old, item = key_of(Role.REVIEWER, "rea"), str(to_review()["decision"])
    assert ask(old, "POST", f"/v1/reviews/{item}/claim", json={}).status_code == 200
    new = call("POST", "/v1/keys/rea/rotate", json={"overlapSeconds": 3600}).json()["key"]
    assert ask(new, "POST", f"/v1/reviews/{item}/claim", json={}).json()["items"][0]["lease_owner"] == "rea"
    assert ask(old, "GET", f"/v1/reviews/{item}").status_code == 200
    assert ask(new, "POST", f"/v1/reviews/{item}/verdict", json=SAID).json()["items"][0]["reviewer"] == "rea"


def test_a_first_call_by_one_key_is_the_persons(to_review, owner_url, ask, desk_and_phone) -> None:
    desk, phone = desk_and_phone
    blind(owner_url)
    item = str(to_review()["decision"])
    ask(desk, "POST", f"/v1/reviews/{item}/claim", json={})
    assert ask(phone, "GET", f"/v1/reviews/{item}").json()["awaits_first_call"]
    assert ask(phone, "POST", f"/v1/reviews/{item}/call", json={"verdict": "fraud"}).status_code == 200
    assert not ask(desk, "GET", f"/v1/reviews/{item}").json()["awaits_first_call"]


def test_who_planted_a_golden_item_cannot_claim_it_with_another_key(decide, ask, desk_and_phone, graph) -> None:
    desk, phone = desk_and_phone
    body = {"decision": str(decide()["decision"]), "verdict": "legitimate"}
    planted = ask(desk, "POST", "/v1/reviews/golden", json=body).json()["review"]
    assert ask(phone, "POST", f"/v1/reviews/{planted}/claim", json={}).status_code == 409
    assert ask(phone, "POST", "/v1/reviews/claim", json={"graph": graph}).json()["items"] == []


def test_who_asked_for_an_action_does_not_approve_it_with_another_key(
    to_review, owner_url, ask, desk_and_phone, graph
) -> None:
    desk, phone = desk_and_phone
    with connect(owner_url) as opened:
        opened.execute(
            "UPDATE revisions SET body = jsonb_set(body, '{targets,0,spec,approval}', '{\"type\": \"Always\"}')"
        )
        opened.commit()
    item = str(to_review()["decision"])
    ask(desk, "POST", f"/v1/reviews/{item}/claim", json={})
    ask(desk, "POST", f"/v1/reviews/{item}/verdict", json=SAID)
    (proposed,) = ask(phone, "GET", f"/v1/approvals?graph={graph}").json()["items"]
    yes = {"approve": True, "reason": "r", "digest": proposed["digest"]}
    refused = ask(phone, "POST", f"/v1/approvals/{proposed['action_id']}", json=yes)
    assert (refused.status_code, "you have asked for it" in refused.text) == (409, True)


def test_who_issued_a_bands_certificate_does_not_re_arm_it_with_another_key(
    library, graph, database_url, ask, desk_and_phone
) -> None:
    uid = library.graph.resolved.graph_uid
    with connect(database_url) as connection:
        certificate_store.demote(
            connection, uid, "approve", segment=None, certificate_id=None, author="monitor", comment="", now=NOW
        )
        connection.execute(
            "INSERT INTO certificates (certificate_id, graph_uid, band, scorer, issuer, issued_at, expires_at, body) "
            "VALUES (%s, %s, 'approve', 's', 'ann', %s, %s, '')",
            (uuid4(), uid, NOW + timedelta(seconds=1), NOW + timedelta(days=1)),
        )
        connection.commit()
    for text in desk_and_phone:
        refused = ask(text, "POST", f"/v1/graphs/{graph}/bands/approve/rearm", json={"comment": "r"})
        assert (refused.status_code, "a second person re-arms it" in refused.text) == (409, True)
