"""Whatever is sent, the API answers it, and never with 500."""

from __future__ import annotations

import httpx2
import pytest

pytestmark = [
    pytest.mark.slow,
    # The server is in this process, and its pool of connections draws by chance meanwhile.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]


def test_nothing_that_the_document_allows_or_forbids_is_answered_500(address, call, key_of, decide) -> None:
    import schemathesis  # takes a second, which only this test is worth

    decide()
    decide(amount="9000.00")
    decide(amount="a lot")
    text = key_of(name="fuzz")
    with httpx2.Client(base_url=address, trust_env=False) as client:
        while client.get("/v1/keys", headers={"authorization": f"Bearer {text}"}).status_code == 401:
            pass
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    for operation in schema.get_all_operations():
        fuzz(operation.ok(), {"authorization": f"Bearer {text}"})


def fuzz(operation, headers) -> None:
    from hypothesis import HealthCheck, given, settings

    @given(case=operation.as_strategy())
    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def every_case(case) -> None:
        answer = case.call(headers=headers)
        assert answer.status_code != 500, f"{case.method} {case.path}: {answer.text}"

    every_case()
