"""Nobody passes without a key that opens the route; every route says what it asks for."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from pointsman.console import app as console
from pointsman.console.app import console_app, served
from pointsman.console.store import Store
from pointsman.console.sweeping import PolicyFile
from pointsman.governance.access import POLICY, Permission, Role
from pointsman.governance.keyring import Keyring, Known, NotAllowed
from pointsman.governance.keys import Key, digest_of
from pointsman.governance.policies import DEFAULT, Asked, PolicyRefused, policies_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_every_route_and_method_has_a_policy_and_every_policy_a_route() -> None:
    assert served(console_app(Store("postgresql://nowhere"))) == set(POLICY)


def test_a_route_without_a_policy_cannot_be_served(monkeypatch) -> None:
    reduced = {key: value for key, value in POLICY.items() if key != ("GET", "/v1/keys")}
    monkeypatch.setattr(console, "POLICY", reduced)
    with pytest.raises(ValueError, match="no policy is declared for GET /v1/keys"):
        console_app(Store("postgresql://nowhere"))


@pytest.mark.slow
def test_without_a_key_every_route_that_is_not_public_answers_401(address) -> None:
    with httpx2.Client(base_url=address, trust_env=False) as client:
        for (method, path), asked in POLICY.items():
            answer = client.request(method, path.replace("{", "").replace("}", ""))
            if asked is None:
                assert answer.status_code == 200, path
            else:
                assert answer.status_code == 401, path
                assert "API key" in answer.json()["error"]


@pytest.mark.slow
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_a_role_opens_what_it_was_granted_and_nothing_else(call, role) -> None:
    assert call("GET", "/v1/keys", by=role.value, role=role).status_code == 403
    expected = 403 if role is Role.SERVICE else 404
    assert call("GET", "/v1/decisions?graph=none", by=role.value, role=role).status_code == expected


def ring(**changes: object) -> Keyring:
    key = {
        "key_id": "k", "name": "ann-laptop", "subject": "ann", "role": Role.VIEWER, "created_at": NOW, "expires_at": None,
        "revoked_at": None,
    }  # fmt: skip
    known = Known(keys={digest_of("pm_secret"): Key(**(key | changes))}, policies=policies_of(None))
    made = Keyring(lambda: known)
    made.refresh()
    return made


def authorise(keyring: Keyring, header: str, asked: Permission, *, passed: str = "") -> str:
    caller = keyring.caller(keyring.identify(header, NOW, passed=passed), None)
    caller.check(asked)
    return caller.subject


def test_a_key_may_stand_in_a_header_that_no_proxy_keeps_to_itself() -> None:
    assert authorise(ring(), "Bearer somebody-elses", Permission.READ, passed="pm_secret") == "ann"
    with pytest.raises(NotAllowed, match="not known"):
        authorise(ring(), "Bearer pm_secret", Permission.READ, passed="pm_wrong")


def test_a_valid_key_says_who_asks() -> None:
    assert authorise(ring(), "Bearer pm_secret", Permission.READ) == "ann"


@pytest.mark.parametrize(
    ("changes", "header", "asked", "status"),
    [
        ({}, "", Permission.READ, 401),
        ({}, "Basic pm_secret", Permission.READ, 401),
        ({}, "Bearer pm_other", Permission.READ, 401),
        ({"revoked_at": NOW}, "Bearer pm_secret", Permission.READ, 401),
        ({"expires_at": NOW}, "Bearer pm_secret", Permission.READ, 401),
        ({}, "Bearer pm_secret", Permission.KEYS, 403),
    ],
)
def test_what_opens_nothing_is_refused(changes, header, asked, status) -> None:
    with pytest.raises(NotAllowed) as refused:
        authorise(ring(**changes), header, asked)
    assert refused.value.status == status


def test_a_key_that_expires_later_is_still_valid() -> None:
    authorise(ring(expires_at=NOW + timedelta(seconds=1)), "Bearer pm_secret", Permission.READ)


@pytest.mark.slow
def test_a_made_key_opens_and_a_revoked_one_does_not(call, address) -> None:
    made = call("POST", "/v1/keys", json={"name": "bob", "role": "viewer"}).json()
    assert made["key"].startswith("pm_")
    headers = {"authorization": f"Bearer {made['key']}"}
    with httpx2.Client(base_url=address, trust_env=False) as client:
        while client.get("/v1/decisions?graph=none", headers=headers).status_code == 401:
            pass
        assert call("DELETE", f"/v1/keys/{made['key_id']}").status_code == 200
        while client.get("/v1/decisions?graph=none", headers=headers).status_code == 404:
            pass
    listed = {each["key_id"]: each for each in call("GET", "/v1/keys").json()["items"]}
    assert listed[made["key_id"]]["revoked_at"] is not None
    assert "key" not in listed[made["key_id"]]
    assert call("DELETE", f"/v1/keys/{made['key_id']}").status_code == 404


READ, REVIEW = Permission.READ, Permission.REVIEW
ALL = set(Permission)


@pytest.mark.parametrize(
    ("role", "permitted"),
    [
        (Role.VIEWER, {READ}),
        (Role.SERVICE, {Permission.DECIDE}),
        (Role.REVIEWER, {READ, REVIEW}),
        (Role.OPERATOR, {READ, Permission.DECIDE, Permission.OPERATE, Permission.APPROVE}),
        (Role.AUDITOR, {READ, Permission.PERSONAL}),
        (Role.ADMIN, ALL),
    ],
)
def test_each_role_may_what_our_policies_say_and_nothing_else(role: Role, permitted: set[Permission]) -> None:
    assert {each for each in Permission if ruled(DEFAULT, role, each)} == permitted
    mine = ruled(DEFAULT, role, Permission.PERSONAL, mine=True)
    assert mine == (role is Role.REVIEWER or Permission.PERSONAL in permitted)


def ruled(
    text: str, role: Role, asked: Permission, *, graph: str | None = "card-fraud", mine: bool | None = None
) -> bool:
    mine = False if asked is Permission.PERSONAL and mine is None else mine
    question = Asked(subject="ann", role=role, permission=asked, graph=graph, mine=mine)
    return policies_of(text).rule(question).allowed


ONE_GRAPH = (
    DEFAULT
    + """
@id("reviewers stay out of loans")
forbid (principal in Role::"reviewer", action, resource in Graph::"loans");
@id("bob looks after loans")
permit (principal == Subject::"bob", action in [Action::"read", Action::"operate"], resource in Graph::"loans");
"""
)


def test_an_owners_policies_speak_of_graphs_and_of_people() -> None:
    assert ruled(ONE_GRAPH, Role.REVIEWER, REVIEW)
    assert not ruled(ONE_GRAPH, Role.REVIEWER, REVIEW, graph="loans")
    assert not ruled(ONE_GRAPH, Role.REVIEWER, Permission.PERSONAL, graph="loans", mine=True)
    bob = Asked(subject="bob", role=Role.SERVICE, permission=Permission.OPERATE, graph="loans")
    assert policies_of(ONE_GRAPH).rule(bob).policies == ("bob looks after loans",)
    assert not policies_of(ONE_GRAPH).rule(replace(bob, graph="cards")).allowed
    assert not policies_of(ONE_GRAPH).rule(replace(bob, graph=None)).allowed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("permit (principal, action, resource);\n\npermit (principal, action == , resource);", "policies: line 3: "),
        ('@id("a") permit (principal in Rol::"x", action, resource);', '"a": unrecognized entity type `Rol`'),
        ('permit (principal, action == Action::"fly", resource);', 'unrecognized action `Action::"fly"`'),
        ('permit (principal, action == Action::"seePersonal", resource) when { resource.theirs };', "`theirs`"),
    ],
)
def test_policies_that_cannot_be_in_force_are_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        policies_of(text)
    assert says in str(refused.value)


def test_a_ruling_that_was_made_costs_next_to_nothing() -> None:
    policies, asked = policies_of(None), Asked(subject="ann", role=Role.VIEWER, permission=READ, graph="g")
    policies.rule(asked)
    began = time.perf_counter()
    for _ in range(1000):
        policies.rule(asked)
    assert (time.perf_counter() - began) / 1000 < 100e-6


@pytest.mark.slow
def test_the_owners_file_is_in_force_within_seconds_and_ours_without_it(call, decide, database_url, tmp_path) -> None:
    item = str(decide(amount="9000.00")["decision"])
    file, path = tmp_path / "policies.cedar", f"/v1/reviews/{item}"
    store, ann = Store(database_url), {"by": "ann", "role": Role.REVIEWER}
    store.open()
    followed = PolicyFile(file)
    followed.follow(store)
    assert call("GET", path, **ann).status_code == 200
    file.write_text(ONE_GRAPH.replace('"loans"', '"card-fraud"'))
    followed.follow(store)
    while (answer := call("GET", path, **ann)).status_code == 200:
        pass
    assert answer.json()["error"] == (
        'the key "ann" has the role reviewer, which may not "read" on graph "card-fraud": it is forbidden by the policy '
        '"reviewers stay out of loans": `pointsman policies show` tells what is in force'
    )
    for method, place, body in (
        ("POST", f"{path}/claim", {}), ("POST", "/v1/reviews/claim", {"graph": "card-fraud"}),
        ("GET", "/v1/reviews?graph=card-fraud", None), ("GET", f"/v1/decisions/{item[:8]}", None),
        ("GET", f"{path}/explanation", None),
    ):  # fmt: skip
        assert call(method, place, json=body, **ann).status_code == 403, place
    for place in ("/v1/keys?graph=card-fraud", "/metrics?graph=card-fraud", "/v1/policies?graph=card-fraud"):
        assert call("GET", place, by="bob", role=Role.SERVICE).status_code == 403, (
            "what a caller says of a graph opens nothing"
        )
    assert call("GET", "/v1/decisions?graph=card-fraud", by="bob", role=Role.SERVICE).status_code == 200
    file.write_text("permit (")
    followed.follow(store)
    assert not call("GET", "/v1/policies").json()["areDefault"], "those before it stay"
    file.unlink()
    followed.follow(store)
    while call("GET", path, **ann).status_code == 403:
        pass
    assert call("GET", "/v1/policies").json()["areDefault"]
    store.close()
