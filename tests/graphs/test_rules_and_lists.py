"""Rules send items to people with a reason; lists block and allow, and every decision says which entry touched it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pointsman.api.graph_nodes import GraphNode
from pointsman.graphs.compile import InvalidGraph, compile_graph
from pointsman.graphs.lists import ListBook, ListEntry
from pointsman.library import GraphLibrary, load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
EVENT = {
    "transaction_id": "t1",
    "occurred_at": "2026-03-02T10:00:00Z",
    "amount": "12.50",
    "card_id": "c",
    "terminal_id": "t",
    "card_account": "a",
}


@pytest.fixture(scope="module")
def library() -> GraphLibrary:
    return load(EXAMPLE)


def with_nodes(library: GraphLibrary, *nodes: dict[str, object]) -> GraphLibrary:
    """The example with these nodes in place of its own rules and lists."""
    resolved = library.graph.resolved
    kept = [node for node in resolved.graph.spec.nodes if node.type not in ("Rules", "Lists")]
    spec = resolved.graph.spec.model_copy(update={"nodes": [*kept, *map(GraphNode.model_validate, nodes)]})
    changed = resolved.model_copy(update={"graph": resolved.graph.model_copy(update={"spec": spec})})
    return GraphLibrary(compile_graph(changed, library._ports), library._ports)


def rules(*given: tuple[str, str, str]) -> dict[str, object]:
    return {
        "name": "limits",
        "type": "Rules",
        "rules": [{"name": name, "when": when, "reason": reason} for name, when, reason in given],
    }


LISTS = {
    "name": "known",
    "type": "Lists",
    "lists": [
        {"name": "stolen", "type": "Block", "key": "event.card_id", "reason": "StolenCard"},
        {"name": "trusted", "type": "Allow", "key": "event.terminal_id"},
    ],
}


def book(**entries: str) -> ListBook:
    return {name: {value: ListEntry(entry_id="e1", value=value, author="ann")} for name, value in entries.items()}


def decided(library: GraphLibrary, lists: ListBook = {}, **changes: str) -> tuple[str, list[str]]:  # noqa: B006
    (answer,) = library.decide([{**EVENT, **changes}], lists=lists, now=NOW)
    return answer["outcome"], answer["reasons"]


def test_a_rule_that_holds_sends_the_item_to_a_person_with_its_reason(library: GraphLibrary) -> None:
    graph = with_nodes(library, rules(("large", "event.amount > 10.0", "TooLarge")))
    assert decided(graph) == ("review", ["TooLarge"])


def test_a_rule_that_does_not_hold_changes_nothing(library: GraphLibrary) -> None:
    graph = with_nodes(library, rules(("large", "event.amount > 100.0", "TooLarge")))
    assert decided(graph) == ("approve", [])


def test_every_rule_that_holds_gives_its_reason_once(library: GraphLibrary) -> None:
    graph = with_nodes(
        library,
        rules(
            ("large", "event.amount > 10.0", "TooLarge"),
            ("again", "event.amount > 11.0", "TooLarge"),
            ("morning", 'event.occurred_at < timestamp("2026-03-02T11:00:00Z")', "TooEarly"),
        ),
    )
    assert decided(graph) == ("review", ["TooLarge", "TooEarly"])


def test_a_rule_that_lacks_a_value_is_no_silence(library: GraphLibrary) -> None:
    graph = with_nodes(library, rules(("division", "1.0 / (event.amount - 12.5) > 0.0", "Never")))
    assert decided(graph) == ("review", ["RuleNotEvaluated"])


def test_a_rule_is_read_after_the_nodes_that_it_names_wherever_it_stands(library: GraphLibrary) -> None:
    (first, *others) = with_nodes(library, rules(("any", "boosted.probability >= 0.0", "Scored"))).graph.steps
    assert [step.node for step in (first, *others)][-1] == "limits"


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("event.amuont > 1.0", 'did you mean "event.amount"'),
        ("event.amount + 1.0", "a rule says true or false"),
        ("event.amount >", "spec.nodes[limits].rules[r].when"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_where_it_stands(library: GraphLibrary, when: str, says: str) -> None:
    with pytest.raises(InvalidGraph) as refused:
        with_nodes(library, rules(("r", when, "Reason")))
    assert says in str(refused.value)


def test_what_a_block_list_holds_goes_to_a_person_whatever_its_score(library: GraphLibrary) -> None:
    assert decided(with_nodes(library, LISTS), book(stolen="c")) == ("review", ["StolenCard"])


def test_other_values_are_not_touched_by_a_list(library: GraphLibrary) -> None:
    assert decided(with_nodes(library, LISTS), book(stolen="another")) == ("approve", [])


def test_an_expired_entry_counts_no_more(library: GraphLibrary) -> None:
    gone = {"stolen": {"c": ListEntry(entry_id="e", value="c", author="ann", expires_at=NOW)}}
    live = {"stolen": {"c": ListEntry(entry_id="e", value="c", author="ann", expires_at=NOW + timedelta(seconds=1))}}
    graph = with_nodes(library, LISTS)
    assert decided(graph, gone) == ("approve", [])
    assert decided(graph, live) == ("review", ["StolenCard"])


def test_an_allow_list_silences_rules_and_nothing_else(library: GraphLibrary) -> None:
    graph = with_nodes(library, rules(("large", "event.amount > 10.0", "TooLarge")), LISTS)
    assert decided(graph, book(trusted="t")) == ("approve", [])
    assert decided(graph, book(trusted="t", stolen="c")) == ("review", ["StolenCard"])


def test_a_rule_may_name_a_list(library: GraphLibrary) -> None:
    graph = with_nodes(library, rules(("known", "known.trusted && event.amount > 1.0", "Trusted")), LISTS)
    assert [step.node for step in graph.graph.steps][-1] == "limits"


def test_a_list_of_something_that_is_not_text_is_refused(library: GraphLibrary) -> None:
    wrong = {**LISTS, "lists": [{"name": "amounts", "type": "Block", "key": "event.amount"}]}
    with pytest.raises(InvalidGraph, match="a list holds Strings"):
        with_nodes(library, wrong)
