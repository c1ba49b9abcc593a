"""Nobody passes without a key that opens the route; every route says what it asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from pointsman.console import app as console
from pointsman.console.app import console_app, served
from pointsman.console.store import Store
from pointsman.governance.access import GRANTED, POLICY, Permission, Role, may
from pointsman.governance.keyring import Keyring, NotAllowed
from pointsman.governance.keys import Key, digest_of

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
@pytest.mark.parametrize("role", [role for role in Role if Permission.KEYS not in GRANTED[role]])
def test_a_role_opens_what_it_was_granted_and_nothing_else(call, role) -> None:
    assert call("GET", "/v1/keys", by=role.value, role=role).status_code == 403
    expected = 404 if may(role, Permission.READ) else 403
    assert call("GET", "/v1/decisions?graph=none", by=role.value, role=role).status_code == expected


def ring(**changes: object) -> Keyring:
    key = {
        "key_id": "k", "name": "ann-laptop", "subject": "ann", "role": Role.VIEWER, "created_at": NOW, "expires_at": None,
        "revoked_at": None,
    }  # fmt: skip
    made = Keyring(lambda: {digest_of("pm_secret"): Key(**(key | changes))})
    made.refresh()
    return made


def test_a_key_may_stand_in_a_header_that_no_proxy_keeps_to_itself() -> None:
    assert ring().authorise("Bearer somebody-elses", Permission.READ, NOW, passed="pm_secret").subject == "ann"
    with pytest.raises(NotAllowed, match="not known"):
        ring().authorise("Bearer pm_secret", Permission.READ, NOW, passed="pm_wrong")


def test_a_valid_key_says_who_asks() -> None:
    assert ring().authorise("Bearer pm_secret", Permission.READ, NOW).subject == "ann"


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
        ring(**changes).authorise(header, asked, NOW)
    assert refused.value.status == status


def test_a_key_that_expires_later_is_still_valid() -> None:
    ring(expires_at=NOW + timedelta(seconds=1)).authorise("Bearer pm_secret", Permission.READ, NOW)


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
