"""A parameter fills its place in a path and can do nothing else."""

from __future__ import annotations

import string
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.actions.requests import CannotRender, field_text, render, render_read_back
from pointsman.api.action_target import ReadBack, Request

FREEZE = Request(path="/accounts/{account}/freeze")


@pytest.mark.parametrize(
    ("account", "path"),
    [
        ("A-17", "/accounts/A-17/freeze"),
        (17, "/accounts/17/freeze"),
        ("a b", "/accounts/a%20b/freeze"),
        ("a?x=1", "/accounts/a%3Fx%3D1/freeze"),
        ("a#b", "/accounts/a%23b/freeze"),
        ("a;b=c", "/accounts/a%3Bb%3Dc/freeze"),
        ("a@b:c+d&e", "/accounts/a%40b%3Ac%2Bd%26e/freeze"),
        ("{account}", "/accounts/%7Baccount%7D/freeze"),
        ("münchen", "/accounts/m%C3%BCnchen/freeze"),
        ("...", "/accounts/.../freeze"),
        (True, "/accounts/true/freeze"),
        (12.5, "/accounts/12.5/freeze"),
    ],
)
def test_a_value_is_percent_encoded_into_its_place(account: object, path: str) -> None:
    assert render(FREEZE, {"account": account}).path == path.encode()


@pytest.mark.parametrize(
    "account",
    ["", ".", "..", "../admin", "1/unfreeze", "1\\unfreeze", "/", "%2e%2e", "%2F", "1%", "a\nb", "a\r\nHost: x", "a\0"]
    + ["\x85", "\u2028", "x" * 513, "\ud800", None, [], {}, float("nan"), float("inf")],
    ids=repr,
)
def test_a_value_that_could_change_the_path_is_refused(account: object) -> None:
    with pytest.raises(CannotRender):
        render(FREEZE, {"account": account})


def test_two_values_cannot_make_a_dot_segment_together() -> None:
    both = Request(path="/a/{x}{y}/b")
    assert render(both, {"x": ".", "y": "z"}).path == b"/a/.z/b"
    with pytest.raises(CannotRender):
        render(both, {"x": ".", "y": "."})


def test_a_missing_parameter_is_named_and_its_neighbours_values_are_not_shown() -> None:
    with pytest.raises(CannotRender, match='"account"') as caught:
        render(FREEZE, {"card": "4111-secret"})
    assert "secret" not in str(caught.value)
    with pytest.raises(CannotRender) as caught:
        render(FREEZE, {"account": "../4111-secret"})
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@given(st.text(max_size=40))
def test_whatever_the_value_the_path_keeps_its_segments(account: str) -> None:
    try:
        path = render(FREEZE, {"account": account}).path.decode("ascii")
    except CannotRender:
        return
    assert set(path) <= set(string.ascii_letters + string.digits + "-._~/%")
    assert path.split("/") == ["", "accounts", path.split("/")[2], "freeze"]
    assert unquote(path) == f"/accounts/{account}/freeze"
    assert unquote(path).count("/") == 3


def test_a_body_holds_texts_as_json() -> None:
    request = Request(path="/freezes", body={"account": "{account}", "why": 'score {score}, "high"'})
    rendered = render(request, {"account": 'a","admin":"yes', "score": 0.5})
    assert rendered.body == b'{"account":"a\\",\\"admin\\":\\"yes","why":"score 0.5, \\"high\\""}'
    assert render(FREEZE, {"account": "a"}).body is None


def test_a_read_back_knows_what_to_expect() -> None:
    read_back = ReadBack(path="/freezes/{id}", field="freeze.account", equals="{account}")
    rendered, expected = render_read_back(read_back, {"id": "f-1", "account": "A-1"})
    assert (rendered.method, rendered.path, expected) == ("GET", b"/freezes/f-1", "A-1")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"a": {"b": "frozen"}}', "frozen"),
        (b'{"a": {"b": true}}', "true"),
        (b'{"a": {"b": 7}}', "7"),
        (b'{"a": {"b": null}}', None),
        (b'{"a": {"b": ["frozen"]}}', None),
        (b'{"a": "frozen"}', None),
        (b'{"a.b": "frozen"}', None),
        (b"[]", None),
        (b"frozen", None),
        (b"", None),
    ],
)
def test_a_field_is_read_only_where_it_is_a_plain_value(answer: bytes, text: str | None) -> None:
    assert field_text(answer, "a.b") == text
