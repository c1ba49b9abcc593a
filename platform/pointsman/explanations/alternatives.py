"""What each other outcome would have done: by which scores or by whose verdict, and with which effect outside. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pointsman.actions.approval import people_needed
from pointsman.api.decision_graph import REVIEW
from pointsman.graphs.resolve import ResolvedGraph


@dataclass(frozen=True, kw_only=True)
class Effect:
    """An action that would be asked for: of which target, with which parameters, and whether it can be undone."""

    action: str
    target: str
    operation: str
    parameters: Mapping[str, object]
    compensation: str | None
    approvals: int
    """how many others must approve it first"""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A band or a verdict; `from_score` and `below_score` bound a band, None where it is open."""

    by: str
    """`band` or `verdict`"""
    name: str
    outcome: str
    from_score: str | None
    below_score: str | None
    was_taken: bool
    effects: tuple[Effect, ...]


def alternatives(
    resolved: ResolvedGraph, values: Mapping[str, object], *, band: str | None, outcome: str
) -> list[Alternative]:
    """All bands in the order of their scores, then all verdicts that a reviewer can give."""
    spec = resolved.graph.spec
    found = [
        Alternative(
            by="band",
            name=each.name,
            outcome=each.outcome,
            from_score=None if each.at_least is None else str(each.at_least),
            below_score=None if each.below is None else str(each.below),
            was_taken=(each.name, each.outcome) == (band, outcome),
            effects=tuple(_effects(resolved, each.actions, values, certified=spec.certificates == "Required")),
        )
        for each in spec.bands
    ]
    return found + [
        Alternative(
            by="verdict",
            name=each.name,
            outcome=REVIEW,
            from_score=None,
            below_score=None,
            was_taken=False,
            effects=tuple(_effects(resolved, each.actions, values, certified=False)),
        )
        for each in spec.review.verdicts
    ]


def _effects(
    resolved: ResolvedGraph, names: Sequence[str], values: Mapping[str, object], *, certified: bool
) -> Iterator[Effect]:
    targets = {each.metadata.name: each for each in resolved.targets}
    for name in names:
        action = resolved.graph.spec.action(name)
        assert action is not None
        operations = {each.name: each for each in targets[action.target_ref.name].spec.operations}
        operation = operations.get(action.operation)
        yield Effect(
            action=name,
            target=action.target_ref.name,
            operation=action.operation,
            parameters={key: values.get(reference) for key, reference in action.parameters.items()},
            compensation=None if operation is None else operation.compensation,
            approvals=people_needed(
                (targets[action.target_ref.name].spec.approval, action.approval), certified=certified
            ),
        )
