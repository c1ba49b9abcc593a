"""The accounts service keeps what it promises to whoever freezes accounts through it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

fastapi = pytest.importorskip("fastapi")

from starlette.testclient import TestClient  # noqa: E402

from pointsman.demo.accounts import create_app  # noqa: E402

TOKEN = "accounts-test-token"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accounts.sqlite"


@pytest.fixture
def service(path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(path, TOKEN), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def freeze(service: TestClient, account: str = "A-1", key: str | None = "k-1", operation: str = "freeze"):
    headers = {} if key is None else {"Idempotency-Key": key}
    return service.post(f"/accounts/{account}/{operation}", headers=headers)


def test_a_frozen_account_says_so(service: TestClient) -> None:
    assert service.get("/accounts/A-1").json()["status"] == "active"
    assert freeze(service).json()["status"] == "frozen"
    assert service.get("/accounts/A-1").json()["status"] == "frozen"
    assert freeze(service, key="k-2", operation="unfreeze").json()["status"] == "active"
    assert service.get("/accounts/A-1").json()["status"] == "active"


def test_the_same_key_and_request_get_the_same_answer_and_are_applied_once(service: TestClient) -> None:
    first, second = freeze(service), freeze(service)
    assert first.content == second.content
    assert service.get("/operations/summary").json() == {"count": 1, "distinct_keys": 1, "max_applied": 1}


def test_the_same_key_sent_many_times_at_once_is_applied_once(service: TestClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = {answer.content for answer in threads.map(lambda _: freeze(service), range(24))}
    assert len(answers) == 1
    assert service.get("/operations/summary").json()["max_applied"] == 1


@pytest.mark.parametrize(("account", "operation"), [("A-2", "freeze"), ("A-1", "unfreeze")])
def test_the_same_key_for_another_request_is_refused_and_not_applied(
    service: TestClient, account: str, operation: str
) -> None:
    freeze(service)
    assert freeze(service, account=account, operation=operation).status_code == 422
    assert service.get("/accounts/A-1").json()["status"] == "frozen"
    assert service.get("/operations/summary").json()["count"] == 1


@pytest.mark.parametrize("key", [None, "", " ", "k" * 129], ids=["none", "empty", "blank", "too long"])
def test_a_request_without_a_usable_key_is_refused(service: TestClient, key: str | None) -> None:
    assert freeze(service, key=key).status_code == 400
    assert service.get("/operations/summary").json()["count"] == 0


def test_the_journal_is_read_in_pages(service: TestClient) -> None:
    for number in range(5):
        freeze(service, account=f"A-{number}", key=f"k-{number}")
    first = service.get("/operations", params={"limit": 3}).json()["items"]
    rest = service.get("/operations", params={"after": first[-1]["seq"]}).json()["items"]
    assert [item["key"] for item in first + rest] == [f"k-{number}" for number in range(5)]
    assert {item["applied_count"] for item in first + rest} == {1}
    assert {"account", "operation", "applied_at"} <= first[0].keys()


def test_the_journal_would_show_a_key_that_was_applied_twice(service: TestClient, path: Path) -> None:
    freeze(service)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO operations (key, account, operation, applied_at) "
            "SELECT key, account, operation, applied_at FROM operations"
        )
    connection.close()
    assert service.get("/operations/summary").json() == {"count": 2, "distinct_keys": 1, "max_applied": 2}
    assert [item["applied_count"] for item in service.get("/operations").json()["items"]] == [2, 2]


def test_what_was_answered_is_still_there_after_a_restart(path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(create_app(path, TOKEN), headers=headers) as service:
        first = freeze(service)
    with TestClient(create_app(path, TOKEN), headers=headers) as service:
        assert service.get("/accounts/A-1").json()["status"] == "frozen"
        assert freeze(service).content == first.content


@pytest.mark.parametrize("given", [None, "", "Bearer ", "Bearer wrong", f"bearer {TOKEN}", f"Bearer {TOKEN}x"])
@pytest.mark.parametrize(
    ("method", "path_"),
    [
        ("POST", "/accounts/A-1/freeze"),
        ("POST", "/accounts/A-1/unfreeze"),
        ("GET", "/accounts/A-1"),
        ("GET", "/operations"),
        ("GET", "/operations/summary"),
    ],
)
def test_nothing_but_health_is_open_without_the_token(
    service: TestClient, given: str | None, method: str, path_: str
) -> None:
    del service.headers["authorization"]
    headers = {} if given is None else {"Authorization": given}
    answer = service.request(method, path_, headers={"Idempotency-Key": "k-1", **headers})
    assert answer.status_code == 401
    assert service.get("/health").status_code == 200


def test_every_route_is_known_to_the_test_above(service: TestClient) -> None:
    found = {(method, route.path) for route in service.app.routes for method in route.methods}
    assert found == {
        ("GET", "/health"),
        ("POST", "/accounts/{account}/{operation}"),
        ("GET", "/accounts/{account}"),
        ("GET", "/operations"),
        ("GET", "/operations/summary"),
    }


@pytest.mark.parametrize("account", ["..", "%2e%2e", "a%2Fb", "a b", "-", "x" * 65, "ä"])
def test_a_name_that_is_no_account_is_not_found(service: TestClient, account: str) -> None:
    assert freeze(service, account=account).status_code == 404
    assert service.get("/operations/summary").json()["count"] == 0


def test_an_operation_that_does_not_exist_is_refused(service: TestClient) -> None:
    assert freeze(service, operation="close").status_code == 422
