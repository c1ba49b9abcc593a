"""The store's URL comes from the environment; what cannot be one is refused without a word of it."""

from __future__ import annotations

import pytest

from pointsman.store.database import OWNER_URL, StoreUrlRefused, store_url


@pytest.mark.parametrize(
    "url", ["postgresql://app:pass%20word@store:5432/pointsman?sslmode=verify-full", "postgres://app@/d?host=/run"]
)
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert store_url({"POINTSMAN_STORE_URL": f"{url}\n"}) == url


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "is not set"),
        ({"POINTSMAN_STORE_OWNER_URL": " "}, "is not set"),
        ({"POINTSMAN_STORE_OWNER_URL": "mysql://a:s3cret@h/d"}, "begins with postgresql://"),
        ({"POINTSMAN_STORE_OWNER_URL": "host=h password=s3cret"}, "begins with postgresql://"),
        ({"POINTSMAN_STORE_OWNER_URL": "postgresql://a:s3cret%zz@h/d"}, "percent-encode"),
        ({"POINTSMAN_STORE_OWNER_URL": "postgresql://a:s3cret word@h/d"}, "percent-encode"),
    ],
)
def test_what_is_no_url_is_refused_with_its_place_and_without_its_text(environment: dict[str, str], says: str) -> None:
    with pytest.raises(StoreUrlRefused) as refused:
        store_url(environment, OWNER_URL)
    message = str(refused.value)
    assert message.startswith("POINTSMAN_STORE_OWNER_URL: ")
    assert says in message
    assert 'key "ownerUrl" of the Secret "pointsman-store"' in message
    assert "s3cret" not in message
