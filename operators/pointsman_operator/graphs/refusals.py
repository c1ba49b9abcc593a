"""What a cluster cannot do, or would ignore without a word, of a DecisionGraph: refused by name, with the way out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pointsman.api.decision_graph import DecisionGraph
from pointsman_operator import names
from pointsman_operator.refusals import Refusal, of_pod_template

TAKEN = frozenset({names.API, names.DISPATCHER})
"""Names of what a namespace has once"""


def refusals(graph: DecisionGraph) -> tuple[Refusal, ...]:
    """Everything that is refused of a document, in the order of the checks."""
    return tuple(refusal for check in CHECKS for refusal in check(graph))


def its_name_cannot_be_used(graph: DecisionGraph) -> Iterator[Refusal]:
    if len(graph.name) > names.LONGEST_GRAPH:
        message = f"{len(graph.name)} characters: KubeRay's names leave room for {names.LONGEST_GRAPH}"
        yield Refusal(path="metadata.name", message=message)
    if not graph.name[0].isalpha():
        yield Refusal(path="metadata.name", message="names of Services begin with a letter")
    if graph.name in TAKEN:
        yield Refusal(
            path="metadata.name", message=f'"{graph.name}" is the name of what all graphs of a namespace share'
        )


def its_pod_template_says_what_others_decide(graph: DecisionGraph) -> Iterator[Refusal]:
    yield from of_pod_template(graph.spec.runtime.pod_template, ("spec", "runtime", "podTemplate"))


Check = Callable[[DecisionGraph], Iterator[Refusal]]

CHECKS: tuple[Check, ...] = (its_name_cannot_be_used, its_pod_template_says_what_others_decide)
