"""The names that expressions mention, and the order of nodes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.api.node_order import CyclicNodes, mentions, topological_order


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("0.9 * boosted.probability + 0.1 * baseline.probability", ["boosted.probability", "baseline.probability"]),
        ("event.amount > 5000.0 && card.count_1h > 10", ["event.amount", "card.count_1h"]),
        ("event.name == 'card.count_1h'", ["event.name"]),
        (r'event.name == "a\"card.count" || card.x > 1.5', ["event.name", "card.x"]),
        ("event.name.startsWith('x')", ["event.name"]),
        ("card.x + card.x", ["card.x"]),
        ("has(event . amount)", ["event.amount"]),
        ("1.5 + 2.e", []),
        ("", []),
    ],
)
def test_an_expression_mentions_what_it_names_outside_of_strings(expression: str, names: list[str]) -> None:
    assert [str(found) for found in mentions(expression)] == names


def test_a_node_comes_after_what_it_needs_and_else_as_written() -> None:
    needs = {"risk": ["boosted", "event"], "boosted": ["card"], "other": [], "card": ["event"]}
    assert topological_order(needs) == ("other", "card", "boosted", "risk")


def test_nodes_that_need_each_other_are_named_in_a_circle() -> None:
    with pytest.raises(CyclicNodes) as raised:
        topological_order({"start": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]})
    assert raised.value.names in (("a", "b", "c", "a"), ("b", "c", "a", "b"), ("c", "a", "b", "c"))


def test_a_node_cannot_need_itself() -> None:
    with pytest.raises(CyclicNodes):
        topological_order({"a": ["a"]})


@given(st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 12)), max_size=12))
def test_an_order_respects_all_needs_or_there_is_a_cycle(graph: dict[int, set[int]]) -> None:
    needs = {f"n{name}": sorted(f"n{other}" for other in others) for name, others in graph.items()}
    cycle: tuple[str, ...] = ()
    ordered: tuple[str, ...] = ()
    try:
        ordered = topological_order(needs)
    except CyclicNodes as cyclic:
        cycle = cyclic.names
    if cycle:
        assert len(cycle) > 1
        assert cycle[0] == cycle[-1]
        assert all(following in needs[name] for name, following in pairwise(cycle))
    else:
        assert sorted(ordered) == sorted(needs)
        for place, name in enumerate(ordered):
            assert not set(needs[name]) & set(ordered[place:])
