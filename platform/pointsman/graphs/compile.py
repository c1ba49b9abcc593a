"""Compiles a resolved graph into steps over columns, and says everything that is wrong with it at once.

Called when a graph is applied (with the models' signatures, to validate), and by the hosts (to run). Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Protocol

from pointsman.actions.approval import people_needed
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.graph_nodes import ListLookup, Rule
from pointsman.api.reasons import Reason
from pointsman.columns import ColumnType, FieldType
from pointsman.features.definition import CompiledView, InvalidView, compile_view
from pointsman.graphs.bands import Bands, check, compile_bands, label_problems
from pointsman.graphs.contract import Contract, compile_contract
from pointsman.graphs.expressions import Expression, InvalidExpression, compile_expression
from pointsman.graphs.ports import NUMPY_TYPES, Tensor
from pointsman.graphs.resolve import ResolvedGraph


@dataclass(frozen=True, kw_only=True)
class GraphProblem:
    """Something that keeps a graph from running: where it stands, what it is, what to do."""

    path: str
    message: str
    hint: str
    reason: Reason = Reason.InvalidReference

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.hint}" if self.hint else f"{self.path}: {self.message}"


class InvalidGraph(Exception):
    """A graph that cannot run, with all its problems."""

    def __init__(self, problems: Sequence[GraphProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


class Signature(Protocol):
    """What a model takes and gives; a port has one, and so has a pinned file that is not loaded."""

    @property
    def inputs(self) -> Sequence[Tensor]: ...
    @property
    def outputs(self) -> Sequence[Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class FeatureStep:
    """Look up and update a view; its outputs are `node.feature`."""

    node: str
    view: CompiledView


@dataclass(frozen=True, kw_only=True)
class ModelStep:
    """Score the rows whose inputs are all there; its outputs are `node.output`.

    `inputs` holds (the model's input, the column it takes, its OIP datatype, its rank).
    """

    node: str
    inputs: tuple[tuple[str, str, str, int], ...]
    outputs: tuple[tuple[str, ColumnType], ...]


@dataclass(frozen=True, kw_only=True)
class CompiledRule:
    """Where `when` holds, the item goes to a person with this reason."""

    name: str
    when: Expression
    reason: str


@dataclass(frozen=True, kw_only=True)
class RuleStep:
    """Rules are read over the columns of the nodes before; they give no columns themselves."""

    node: str
    rules: tuple[CompiledRule, ...]


@dataclass(frozen=True, kw_only=True)
class ListStep:
    """Look values up in lists; its outputs are `node.list`, Booleans."""

    node: str
    lists: tuple[ListLookup, ...]


Step = FeatureStep | ModelStep | RuleStep | ListStep


@dataclass(frozen=True, kw_only=True)
class CompiledAction:
    """An action as a band triggers it; `parameters` maps a name to the column that fills it."""

    name: str
    target: str
    operation: str
    parameters: tuple[tuple[str, str], ...]
    expires_after_seconds: float | None
    people: int
    """how many must approve it before it is sent"""


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """What items of bands that never had a certificate get, and the share of them that people see."""

    outcome: str
    share: float


@dataclass(frozen=True, kw_only=True)
class CompiledGraph:
    """The library object: pure steps in an order that respects the graph, and what the score turns into."""

    resolved: ResolvedGraph
    contract: Contract
    views: Mapping[str, CompiledView]
    steps: tuple[Step, ...]
    score: Expression
    bands: Bands
    outcomes: tuple[str, ...]
    band_names: tuple[str, ...]
    band_actions: tuple[tuple[str, ...], ...]
    actions: Mapping[str, CompiledAction]
    certificates_required: bool
    audit_share: float
    shadow: Shadow | None
    case_column: str | None
    priority_column: str | None
    review_deadline_seconds: float | None
    max_open_reviews: int
    overflow_outcome: str | None
    """What items get that would go to people while so many are open; None where nothing is decided then"""
    deadline_seconds: float | None

    @property
    def has_lists(self) -> bool:
        """Whether a decision depends on lists."""
        return any(isinstance(step, ListStep) for step in self.steps)

    @property
    def horizon_us(self) -> int:
        """How far back events matter to the state of the views, in microseconds of event time."""
        return max((view.horizon_us for view in self.views.values()), default=0)


def compile_graph(resolved: ResolvedGraph, signatures: Mapping[str, Signature]) -> CompiledGraph:
    """Compile, with one signature for each model node.

    Raises InvalidGraph with every problem found.
    """
    spec, problems = resolved.graph.spec, list[GraphProblem]()
    contract = compile_contract(resolved.stream)
    types = {f"event.{name}": type_ for name, type_ in contract.types.items()}
    views, steps = dict[str, CompiledView](), list[Step]()
    by_name = {view.metadata.name: view for view in resolved.views}
    for node in spec.ordered_nodes():
        place = f"spec.nodes[{node.name}]"
        if node.type == "Features" and node.features is not None:
            name = node.features.view_ref.name
            try:
                views[name] = compile_view(by_name[name], resolved.stream)
            except InvalidView as error:
                problems.append(GraphProblem(path=place, message=f'FeatureView "{name}": {error}', hint=""))
                continue
            steps.append(FeatureStep(node=node.name, view=views[name]))
            types |= {f"{node.name}.{feature}": type_ for feature, type_ in views[name].types.items()}
        elif node.type == "Model" and node.model is not None:
            step, found = _model_step(node.name, node.model.inputs, signatures[node.name], types, place)
            problems += found
            steps.append(step)
            types |= {f"{node.name}.{output}": type_ for output, type_ in step.outputs}
        elif node.rules is not None:
            single = {name: type_ for name, type_ in types.items() if not type_.width}
            steps.append(RuleStep(node=node.name, rules=tuple(_rules(node.rules, single, place, problems))))
        elif node.lists is not None:
            steps.append(ListStep(node=node.name, lists=tuple(_lists(node.lists, types, place, problems))))
            types |= {f"{node.name}.{each.name}": ColumnType(type=FieldType.BOOLEAN) for each in node.lists}
        else:
            problems.append(
                GraphProblem(
                    path=f"{place}.type",
                    message=f'this version does not run "{node.type}" nodes',
                    hint="take the node out",
                    reason=Reason.NotHonouredHere,
                )
            )
    types = {name: type_ for name, type_ in types.items() if not type_.width}  # vectors are for models alone
    score = _score(spec.score, types, problems)
    unsound = check(spec.bands) or label_problems(spec.bands)
    problems += [GraphProblem(path=each.path, message=each.message, hint=each.hint or "") for each in unsound]
    actions = _actions(resolved, types, problems)
    review = spec.review
    case, priority = (review.group_by, review.priority) if review else (None, None)
    for path, reference in (("spec.review.groupBy", case), ("spec.review.priority", priority)):
        if reference is not None and reference not in types:
            problems.append(_unknown(path, reference, types))
    if priority in types and types[priority].type is FieldType.STRING:
        problems.append(
            GraphProblem(path="spec.review.priority", message=f'"{priority}" is a String', hint="name a number")
        )
    if problems or score is None:
        raise InvalidGraph(problems)
    return CompiledGraph(
        resolved=resolved,
        contract=contract,
        views=views,
        steps=tuple(steps),
        score=score,
        bands=compile_bands(spec.bands),
        outcomes=tuple(band.outcome for band in spec.bands),
        band_names=tuple(band.name for band in spec.bands),
        band_actions=tuple(tuple(band.actions) for band in spec.bands),
        actions=actions,
        certificates_required=spec.certificates == "Required",
        audit_share=float(spec.audit.sample.fraction),
        shadow=None
        if spec.uncertified is None
        else Shadow(outcome=spec.uncertified.outcome, share=float(spec.uncertified.sample.fraction)),
        case_column=case,
        priority_column=priority,
        review_deadline_seconds=review.deadline.seconds if review and review.deadline else None,
        max_open_reviews=review.max_open,
        overflow_outcome=review.overflow_outcome,
        deadline_seconds=spec.deadline.seconds if spec.deadline else None,
    )


def _unknown(path: str, reference: str, types: Mapping[str, ColumnType]) -> GraphProblem:
    close = get_close_matches(reference, types, n=1)
    hint = f'did you mean "{close[0]}"?' if close else "declare it in the stream's contract or as a node's output"
    return GraphProblem(path=path, message=f'nothing is called "{reference}"', hint=hint)


def _model_step(
    node: str, inputs: Mapping[str, str], signature: Signature, types: Mapping[str, ColumnType], place: str
) -> tuple[ModelStep, list[GraphProblem]]:
    problems = list[GraphProblem]()
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    for name in wanted.keys() - inputs.keys():
        hint = f"add it under {place}.model.inputs"
        problems.append(_bind(place, f'the model\'s input "{name}" is given nothing', hint))
    for name in sorted(inputs.keys() - wanted.keys()):
        close = get_close_matches(name, wanted, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"its inputs are {', '.join(sorted(wanted))}"
        problems.append(_bind(f"{place}.model.inputs.{name}", f'the model has no input "{name}"', hint))
    bound = list[tuple[str, str, str, int]]()
    for name in sorted(inputs.keys() & wanted.keys()):
        reference, tensor, path = inputs[name], wanted[name], f"{place}.model.inputs.{name}"
        if reference not in types:
            problems.append(_unknown(path, reference, types))
        elif types[reference].type is FieldType.STRING:
            problems.append(_bind(path, f'"{reference}" is a String, the model takes {tensor.dtype}', "name a number"))
        elif tensor.dtype not in NUMPY_TYPES or tensor.shape not in _shapes(types[reference]):
            shape = f"{tensor.dtype}{list(tensor.shape)}"
            width = types[reference].width
            hint = f'"{reference}" gives {width} values a row' if width else "give one value a row"
            problems.append(_bind(path, f"a column cannot become {shape}", hint))
        else:
            bound.append((name, reference, tensor.dtype, len(tensor.shape)))
    outputs = tuple(
        (tensor.name, ColumnType(type=FieldType.DOUBLE if tensor.dtype.startswith("FP") else FieldType.INTEGER))
        for tensor in signature.outputs
        if tensor.shape in ((-1, 1), (-1,)) and tensor.dtype in NUMPY_TYPES
    )
    return ModelStep(node=node, inputs=tuple(bound), outputs=outputs), problems


def _shapes(type_: ColumnType) -> tuple[tuple[int, ...], ...]:
    """The tensors that a column can become."""
    return ((-1, type_.width),) if type_.width else ((-1, 1), (-1,))


def _rules(
    rules: Sequence[Rule], types: Mapping[str, ColumnType], place: str, problems: list[GraphProblem]
) -> Iterator[CompiledRule]:
    for rule in rules:
        path, reason = f"{place}.rules[{rule.name}].when", Reason.InvalidExpression
        try:
            when = compile_expression(rule.when, types)
        except InvalidExpression as error:
            problems.append(GraphProblem(path=path, message=str(error), hint="", reason=reason))
            continue
        if when.type.type is not FieldType.BOOLEAN:
            message = f"a rule says true or false, this is {when.type.type}"
            problems.append(GraphProblem(path=path, message=message, hint="compare with something", reason=reason))
            continue
        yield CompiledRule(name=rule.name, when=when, reason=rule.reason)


def _lists(
    lists: Sequence[ListLookup], types: Mapping[str, ColumnType], place: str, problems: list[GraphProblem]
) -> Iterator[ListLookup]:
    for each in lists:
        path = f"{place}.lists[{each.name}].key"
        if each.key not in types:
            problems.append(_unknown(path, each.key, types))
        elif types[each.key].type is not FieldType.STRING:
            message = f'"{each.key}" is {types[each.key].type}, and a list holds Strings'
            problems.append(GraphProblem(path=path, message=message, hint="name a String"))
        else:
            yield each


def _bind(path: str, message: str, hint: str) -> GraphProblem:
    return GraphProblem(path=path, message=message, hint=hint, reason=Reason.InputsDoNotBind)


def _score(text: str, types: Mapping[str, ColumnType], problems: list[GraphProblem]) -> Expression | None:
    try:
        score = compile_expression(text, types)
    except InvalidExpression as error:
        problems.append(GraphProblem(path="spec.score", message=str(error), hint="", reason=Reason.InvalidExpression))
        return None
    if score.type.type not in (FieldType.DOUBLE, FieldType.DECIMAL):
        problems.append(
            GraphProblem(
                path="spec.score",
                message=f"a score is a double, this is {score.type.type}",
                hint="write double(…)",
                reason=Reason.InvalidExpression,
            )
        )
    return score


def _actions(
    resolved: ResolvedGraph, types: Mapping[str, ColumnType], problems: list[GraphProblem]
) -> dict[str, CompiledAction]:
    targets = {target.metadata.name: target for target in resolved.targets}
    compiled = dict[str, CompiledAction]()
    for action in resolved.graph.spec.actions:
        place, target = f"spec.actions[{action.name}]", targets[action.target_ref.name]
        operations = {operation.name: operation for operation in target.spec.operations}
        if action.operation not in operations:
            problems.append(
                GraphProblem(
                    path=f"{place}.operation",
                    message=f'ActionTarget "{target.metadata.name}" has no operation "{action.operation}"',
                    hint=f"it has {', '.join(sorted(operations))}",
                )
            )
            continue
        for name, reference in action.parameters.items():
            if reference not in types:
                problems.append(_unknown(f"{place}.parameters.{name}", reference, types))
        expires = operations[action.operation].expires_after
        compiled[action.name] = CompiledAction(
            name=action.name,
            target=target.metadata.name,
            operation=action.operation,
            parameters=tuple(sorted(action.parameters.items())),
            expires_after_seconds=expires.seconds if expires else None,
            people=people_needed(
                (target.spec.approval, action.approval), certified=resolved.graph.spec.certificates == "Required"
            ),
        )
    return compiled


def not_honoured(graph: DecisionGraph) -> tuple[tuple[str, str], ...]:
    """What this version records but does not act upon yet, as (path, what it means for the user)."""
    spec, found = graph.spec, list[tuple[str, str]]()
    if spec.code is not None:
        found.append(("spec.code", "no user code runs"))
    return tuple(found)
