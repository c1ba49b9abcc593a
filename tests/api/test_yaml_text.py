"""YAML is read as data only, with lines, and with bounds on what a hostile text may cost."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pointsman.api import yaml_text
from pointsman.api.yaml_text import Located, Refusal, read


def values(text: str) -> list[Any]:
    found = list(read(text))
    assert all(isinstance(each, Located) for each in found), found
    return [each.plain() for each in found if isinstance(each, Located)]


def refusals(text: str) -> list[Refusal]:
    return [each for each in read(text) if isinstance(each, Refusal)]


words = st.text(max_size=20).map(lambda text: f"w{text}")  # nothing that YAML's dialects disagree about
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(words, plain, max_size=4))
def test_what_is_written_as_yaml_is_read_back(value: dict[str, Any]) -> None:
    assert values(yaml.safe_dump(value)) == [value]


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_and_never_raises(text: str) -> None:
    for each in read(text):
        assert isinstance(each, Located | Refusal)


def test_documents_are_separated_and_empty_ones_are_left_out() -> None:
    assert values("a: 1\n---\n---\n# nothing\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_each_value_knows_its_line() -> None:
    (document,) = read("a:\n  b:\n  - x\n  - c: 1\nd: 2\n")
    assert isinstance(document, Located)
    assert document.line_of(("a", "b", 1, "c")) == 4
    assert document.line_of(("d",)) == 5
    assert document.line_of(("a", "b", 1, "missing", "deeper")) == 4


def test_an_alias_stands_for_a_copy() -> None:
    (value,) = values("a: &x {m: [1]}\nb: *x\n")
    value["a"]["m"].append(2)
    assert value["b"] == {"m": [1]}


def test_what_an_alias_brings_is_found_where_it_was_written() -> None:
    (document,) = read("a: &x\n  m: 1\nb: *x\n")
    assert isinstance(document, Located)
    assert document.line_of(("b", "m")) == 2


def test_an_anchor_ends_with_its_document() -> None:
    (refusal,) = refusals("a: &x 1\n---\nb: *x\n")
    assert (refusal.line, refusal.message) == (3, 'no anchor "&x" stands before the alias "*x"')


def test_merge_keys_add_what_is_not_written_out() -> None:
    text = "base: &b {x: 1, v: 2}\nmore: &m {v: 3, z: 4}\none: {<<: *b, x: 9}\ntwo: {<<: [*m, *b]}\n"
    (value,) = values(text)
    assert value["one"] == {"x": 9, "v": 2}
    assert value["two"] == {"x": 1, "v": 3, "z": 4}


def test_a_key_that_is_used_twice_is_refused_and_the_rest_is_still_read() -> None:
    found = list(read("a: 1\nb: 2\na: 3\n---\nc: 4\n"))
    assert [each.message for each in found if isinstance(each, Refusal)] == ['the key "a" is already on line 1']
    assert [each.plain() for each in found if isinstance(each, Located)] == [{"a": 1, "b": 2}, {"c": 4}]


@pytest.mark.parametrize(
    "tagged",
    [
        "a: !!python/object/apply:os.system [ls]",
        "a: !!python/name:os.system",
        "a: !mine {x: 1}",
        "!!python/tuple [1]",
        "a: !!binary aGk=",
        "a: !!set {x}",
    ],
)
def test_a_tag_never_makes_an_object(tagged: str) -> None:
    (refusal,) = refusals(tagged)
    assert refusal.message.startswith("tags are not read")


@pytest.mark.parametrize(
    "text",
    ["? [a, b]\n: 1\n", "? {a: 1}\n: 1\n", "&x a: 1\n*x : 2\n"],
)
def test_a_key_is_plain_text(text: str) -> None:
    assert [each.message.partition(",")[0] for each in refusals(text)] == ["a key must be text"]


@pytest.mark.parametrize("text", ["1: x", "true: x", "no: x", "y: x", "~: x", "1.5: x"])
def test_a_key_that_kubernetes_would_read_as_something_else_is_refused(text: str) -> None:
    (refusal,) = refusals(text)
    assert refusal.hint == "put it in quotes"


@pytest.mark.parametrize("text", ["010", "0x1F", "0b11", "1_000", "-017"])
def test_a_number_that_readers_disagree_about_is_refused(text: str) -> None:
    (refusal,) = refusals(f"a: {text}")
    assert refusal.message == f"not clear which number this is: {text}"
    assert values(f'a: "{text}"') == [{"a": text}]


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63) - 1), "9" * 5000])
def test_a_number_of_more_than_64_bits_is_refused(text: str) -> None:
    assert refusals(f"a: {text}")[0].message == "a number with too many digits"


def test_scalars_are_read_as_kubernetes_reads_them() -> None:
    text = "[yes, off, ~, 12, -3, 1.5, .inf, 2026-05-01, 1:30, '12', abc, '']"
    assert values(text) == [[True, False, None, 12, -3, 1.5, float("inf"), "2026-05-01", "1:30", "12", "abc", ""]]


def test_a_billion_laughs_are_refused_quickly() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    began = time.perf_counter()
    (refusal,) = refusals("\n".join(lines))
    assert "aliases counted" in refusal.message
    assert time.perf_counter() - began < 1


def test_merging_over_and_over_is_refused_too() -> None:
    lines = ["m: &m0 {" + ", ".join(f"k{n}: 1" for n in range(100)) + "}"]
    lines += [f"x{n}: {{<<: *m0}}" for n in range(600)]
    (refusal,) = refusals("\n".join(lines))
    assert "aliases counted" in refusal.message


def test_an_alias_to_what_contains_it_is_refused() -> None:
    (refusal,) = refusals("a: &x [1, *x]")
    assert refusal.message == 'the alias "*x" refers to a block that contains it'


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_before_it_hurts(opening: str) -> None:
    deepest = yaml_text.MAX_DEPTH
    assert "nested deeper" in refusals(opening * (deepest + 1) + "x")[0].message
    assert refusals(opening * 50_000)


def test_depth_counts_through_aliases() -> None:
    half = yaml_text.MAX_DEPTH // 2 + 1
    text = f"a: &x {'[' * half}1{']' * half}\nb: {'[' * half}*x{']' * half}\n"
    assert "nested deeper" in refusals(text)[0].message


def test_a_text_that_is_too_large_is_not_parsed() -> None:
    assert values("# " + "x" * (yaml_text.MAX_BYTES - 20) + "\na: 1\n") == [{"a": 1}]
    assert refusals("a: " + "x" * yaml_text.MAX_BYTES)[0].message == "larger than 1024 KiB"
    assert refusals("a: " + "ü" * (yaml_text.MAX_BYTES // 2))[0].message == "larger than 1024 KiB"


def test_too_many_documents_are_refused() -> None:
    assert len(values("--- {a: 1}\n" * yaml_text.MAX_DOCUMENTS)) == yaml_text.MAX_DOCUMENTS
    text = "--- {a: 1}\n" * (yaml_text.MAX_DOCUMENTS + 1)
    assert refusals(text)[0].message == f"more than {yaml_text.MAX_DOCUMENTS} documents"


def test_bad_syntax_is_named_with_its_line_and_what_came_before_is_kept() -> None:
    first, second = read("a: 1\n---\nb: [1, 2\nc: 3\n")
    assert isinstance(first, Located)
    assert isinstance(second, Refusal)
    assert second.line == 4
    assert second.message.startswith("not YAML: ")


def test_text_that_is_no_unicode_is_refused() -> None:
    assert refusals("a: \ud800")[0].message
