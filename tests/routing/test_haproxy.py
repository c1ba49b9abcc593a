"""HAProxy's configuration: what a real HAProxy makes of requests, and of servers that come and go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.routing.haproxy import admit, dismiss, escaped, render
from pointsman.routing.routes import Backend, Equal, Match, Part, Routing, Rule, Server, in_order, structure

ONE, TWO = Server(address="10.0.0.1:80"), Server(address="[fd00::1]:80")


def routing(*rules: Rule, servers: tuple[Server, ...] = (ONE,)) -> Routing:
    return Routing(rules=in_order(rules), backends=(Backend(name="a", servers=servers), Backend(name="b", servers=())))


def to(match: Match, **weights: int) -> Rule:
    return Rule(match=match, parts=tuple(Part(backend=name, weight=weight) for name, weight in weights.items()))


def used(*rules: Rule) -> list[str]:
    text = render(routing(*rules), bind=":80")
    return [line.strip() for line in text.splitlines() if line.strip().startswith(("acl", "use_backend"))]


def test_a_prefix_is_of_whole_parts_of_a_path() -> None:
    assert used(to(Match(path="/v1/"), a=1)) == [
        "acl path-0 path -m str -- /v1",
        "acl path-0 path -m beg -- /v1/",
        "use_backend a if path-0",
    ]


def test_a_share_of_the_rest_is_drawn_for_each_weight() -> None:
    assert used(to(Match(), a=80, b=20)) == ["use_backend a if { rand(100) lt 80 }", "use_backend b"]
    assert used(to(Match(), a=0, b=20)) == ["use_backend b"]
    assert used(to(Match(), a=0)) == ["use_backend no-backend"]


def test_hosts_are_compared_without_port_and_case() -> None:
    exact, below = used(to(Match(host="A.example.com"), a=1), to(Match(host="*.example.com"), b=1))[::2]
    assert exact == "acl host-0 req.hdr(host),host_only,lower -m str -- a.example.com"
    assert below == "acl host-1 req.hdr(host),host_only,lower -m end -- .example.com"


def test_servers_that_come_and_go_leave_the_structure_and_nothing_else_does() -> None:
    before = routing(to(Match(), a=1))
    assert structure(before) == structure(routing(to(Match(), a=1), servers=(ONE, TWO)))
    assert structure(before) != structure(routing(to(Match(), b=1)))


def test_a_running_haproxy_is_told_of_a_server_under_the_name_that_the_file_has() -> None:
    text = render(routing(servers=(TWO,)), bind=":80")
    assert "server fd00::1:80 [fd00::1]:80 check inter 1s fall 1 rise 1" in text
    [add, *_] = admit(Backend(name="a", servers=()), TWO)
    assert add == "add server a/fd00::1:80 [fd00::1]:80 check inter 1s fall 1 rise 1"
    assert dismiss(Backend(name="a", servers=()), TWO)[1] == "del server a/fd00::1:80"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.lists(st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=8))
def test_no_value_is_taken_for_configuration(refusal: Callable[[str], str], values: list[str]) -> None:
    matches = [
        Match(path=f"/{each}", host=each, method=each, headers=(Equal(name="a", value=each),)) for each in values
    ]
    text = render(routing(*(to(each, a=1) for each in matches)), bind=":80")
    assert refusal(text) == ""
    assert text.count("\n    bind ") == 1


@pytest.mark.parametrize(
    ("value", "word"), [("/v1/a-b_c.d~e", "/v1/a-b_c.d~e"), ("a b", "a\\x20b"), ("é", "\\xc3\\xa9")]
)
def test_plain_values_stay_as_they_are(value: str, word: str) -> None:
    assert escaped(value) == word
