"""DecisionGraph: from an event to a decision. Contract, features, models, rules, a score, bands, actions, review."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pointsman.api.action_target import Approval, ParameterName
from pointsman.api.graph_nodes import GraphNode
from pointsman.api.meta import (
    Block,
    Boolean,
    Choice,
    DecimalString,
    Digest,
    Duration,
    Expression,
    Finding,
    Identifier,
    Image,
    Integer,
    KeyedList,
    LocalRef,
    ObjectName,
    Percent,
    PodTemplate,
    Reference,
    Resource,
    refuse,
)
from pointsman.api.node_order import (
    CEL_RESERVED,
    EVENT,
    CyclicNodes,
    Mention,
    mention,
    mentions,
    topological_order,
)
from pointsman.api.resources import Resources

__all__ = ["REVIEW", "Action", "Band", "DecisionGraph", "DecisionGraphSpec", "GraphNode", "Review", "Verdict"]

REVIEW = "review"
"""The outcome that hands an item to a person; every other outcome is automatic."""

Outcome = ObjectName


class Workers(Block):
    """How many replicas compute models and Python nodes."""

    cel: ClassVar = {
        "!has(self.maxReplicas) || !has(self.minReplicas) || self.minReplicas <= self.maxReplicas": (
            "maxReplicas is not below minReplicas"
        )
    }

    min_replicas: Integer = Field(default=1, ge=1, le=1000, description="The fewest replicas. Default 1.")
    max_replicas: Integer | None = Field(
        default=None, ge=1, le=1000, description="The most replicas; default: minReplicas."
    )
    resources: Resources | None = Field(
        default=None, description="Resources of each replica; default: those of the host."
    )

    @model_validator(mode="after")
    def _most_is_not_below_fewest(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            message = f"maxReplicas {self.max_replicas} is below minReplicas {self.min_replicas}"
            refuse(self, [Finding(path=("maxReplicas",), message=message)])
        return self


class GraphRuntime(Choice):
    """What hosts the graph."""

    belongs: ClassVar = {"workers": ("RayServe",)}

    type: Literal["RayServe", "Embedded"] = Field(
        default="RayServe", description="RayServe, or Embedded: one process without Ray. Default RayServe."
    )
    workers: Workers = Field(
        default_factory=Workers, description="Replicas for models and Python nodes, for type RayServe; default: one."
    )
    image: Image | None = Field(
        default=None,
        description="The image that hosts the graph on a cluster, pinned by digest; default: the platform's own.",
    )
    resources: Resources | None = Field(
        default=None, description="Resources of the host; default on a cluster: 500m CPU and 1Gi, on Ray 2Gi."
    )
    pod_template: PodTemplate | None = Field(
        default=None, description="What is merged into the host's pods; default: nothing."
    )


class Code(Block):
    """The wheel that Python nodes come from."""

    wheel: str = Field(
        pattern=r"^[A-Za-z0-9._]+-[A-Za-z0-9._!+]+(-[A-Za-z0-9._]+){3,4}\.whl$",
        max_length=255,
        description="The wheel's file name.",
    )
    digest: Digest = Field(description="The SHA-256 of the wheel; another file of that name is refused.")


class Label(Block):
    """What the score is about, and when the truth is known."""

    name: Identifier = Field(description="The label's name; the verdict of that name says that it is true.")
    matures_after: Duration = Field(
        description="How long after the event silence means that the label is false.",
    )


class Promise(Block):
    """What a band promises; a certificate says whether it holds."""

    max_error: Percent = Field(description='The largest share of wrong decisions in the band, such as "0.1%".')
    confidence: Percent = Field(
        default=Percent("95%"), description='How sure the certificate must be, such as "95%". Default "95%".'
    )
    label: Boolean | None = Field(
        default=None,
        description="What the label of an item in the band is to be. Default: false where the band lies below all that "
        "people decide, true where it lies above them.",
    )

    @model_validator(mode="after")
    def _can_be_certified(self) -> Self:
        findings = [
            Finding(path=(name,), message=f'"{value}" must lie between 0% and 100%')
            for name, value in (("maxError", self.max_error), ("confidence", self.confidence))
            if not 0 < value.fraction < 1
        ]
        refuse(self, findings)
        return self


class Band(Block):
    """A score interval with one outcome. A band without bounds is what the others leave."""

    cel: ClassVar = {
        "self.outcome != 'review' || !(has(self.promise) || (has(self.actions) && self.actions.size() > 0))": (
            "a band with outcome review has no promise and no actions: a person decides"
        )
    }

    name: ObjectName = Field(description="The band's name.")
    below: DecimalString | None = Field(
        default=None, description='Scores under this, in quotes, such as "0.02"; default: no bound.'
    )
    at_least: DecimalString | None = Field(
        default=None, description='Scores of this and above, in quotes, such as "0.97"; default: no bound.'
    )
    outcome: Outcome = Field(description="The outcome: review hands the item to a person; any other is automatic.")
    actions: list[ObjectName] = Field(
        default_factory=list,
        max_length=16,
        description="The actions of this graph that the outcome takes; default: none.",
    )
    promise: Promise | None = Field(
        default=None, description="The error that an automatic band promises; needed where certificates are Required."
    )

    @model_validator(mode="after")
    def _review_acts_on_nothing(self) -> Self:
        if self.outcome == REVIEW:
            given = [("actions", bool(self.actions)), ("promise", self.promise is not None)]
            message = 'a band with outcome review has no "{}": a person decides'
            refuse(self, [Finding(path=(name,), message=message.replace("{}", name)) for name, there in given if there])
        return self


class Action(Block):
    """One call of a target, with parameters from the decision."""

    name: ObjectName = Field(description="The action's name; bands and verdicts name it.")
    target_ref: LocalRef = Field(description="The ActionTarget.")
    operation: ObjectName = Field(description="The operation of the target.")
    parameters: dict[ParameterName, Reference] = Field(
        default_factory=dict,
        max_length=64,
        description="What each parameter is given: node.output or event.field; default: none.",
    )
    approval: Approval | None = Field(
        default=None, description="More approval than the target asks for; default: the target's own. Less is refused."
    )


class Verdict(Block):
    """One thing that a reviewer can say."""

    name: ObjectName = Field(description="The verdict's name; the one named as the label says that the label is true.")
    actions: list[ObjectName] = Field(
        default_factory=list,
        max_length=16,
        description="The actions of this graph that the verdict takes; default: none.",
    )


class Review(Block):
    """How items are put to people."""

    cel: ClassVar = {"!has(self.overflowOutcome) || self.overflowOutcome != 'review'": "overflowOutcome is not review"}

    group_by: Reference | None = Field(
        default=None,
        description="Items with the same value are one case, decided together; default: each item is its own case.",
    )
    priority: Reference | None = Field(
        default=None, description="What puts a case first, highest first; default: the oldest first."
    )
    deadline: Duration = Field(
        default=Duration("24h"), description="How long an item may wait for a person. Default 24h."
    )
    on_deadline: Literal["Escalate", "Expire"] = Field(
        default="Escalate",
        description="What happens then: Escalate (put before all others, and said in status) or Expire (closed "
        "without action). Default Escalate.",
    )
    max_open: Integer = Field(
        default=1000,
        ge=1,
        le=10_000_000,
        description="The most open items; past it callers are answered 503 and sources are read no further, unless "
        "overflowOutcome says otherwise. Default 1000.",
    )
    overflow_outcome: Outcome | None = Field(
        default=None,
        description="The outcome that items get instead of review while maxOpen are open, without action, such as defer. "
        "It is no automatic band's where certificates are Required: no promise covers it. Default: nothing is decided then.",
    )
    verdicts: KeyedList[Verdict] = Field(
        default_factory=list,
        max_length=32,
        description="What a reviewer can say; default: nothing but to close the item.",
    )
    second_share: Percent | None = Field(
        default=None,
        description="The share of decided items that another reviewer decides too, without seeing what the first said, "
        'such as "5%"; it measures how far reviewers agree and changes nothing else. Default: none.',
    )
    blind_share: Percent | None = Field(
        default=None,
        description="The share of cases of which a reviewer sees what the model says (score, band, reasons, explanation) "
        'only after a first call of their own, which they may change with their verdict, such as "10%"; it measures how '
        "far verdicts follow the model. Default: none.",
    )

    @model_validator(mode="after")
    def _overflow_is_not_review(self) -> Self:
        if self.overflow_outcome == REVIEW:
            message = "review is what there is too much of: name what such items get instead, such as defer"
            refuse(self, [Finding(path=("overflowOutcome",), message=message)])
        return self


class Audit(Block):
    """Items that a person sees although their band is automatic; they feed the certificates."""

    sample: Percent = Field(default=Percent("1%"), description='The share of every band that is audited. Default "1%".')


class Uncertified(Block):
    """What becomes of items whose automatic band never had a certificate: the graph decides beside what was done before."""

    cel: ClassVar = {
        "self.outcome != 'review'": "without spec.uncertified these items go to review",
    }

    outcome: Outcome = Field(
        description="The outcome that they get in place of their band's, without any action: what was done before there was "
        "the graph. What the band says is recorded.",
    )
    sample: Percent = Field(
        default=Percent("5%"),
        description='The share of them that people see as well, so that the first certificate has labels. Default "5%".',
    )

    @model_validator(mode="after")
    def _is_no_review(self) -> Self:
        if self.outcome == REVIEW:
            refuse(
                self,
                [
                    Finding(
                        path=("outcome",),
                        message="items of bands that never had a certificate go to review where spec.uncertified is left out",
                        hint="leave spec.uncertified out, or name another outcome",
                    )
                ],
            )
        return self


class DecisionGraphSpec(Block):
    """The whole path from an event to a decision."""

    cel: ClassVar = {
        "self.bands.all(b, !has(b.actions) || b.actions.all(a, "
        "has(self.actions) && self.actions.exists(x, x.name == a)))": "bands name actions of this graph",
        "!has(self.review) || !has(self.review.verdicts) || self.review.verdicts.all(v, !has(v.actions) || "
        "v.actions.all(a, has(self.actions) && self.actions.exists(x, x.name == a)))": (
            "verdicts name actions of this graph"
        ),
        "self.certificates != 'Required' || self.bands.all(b, b.outcome == 'review' || has(b.promise))": (
            'where certificates are Required, an automatic band needs "promise"'
        ),
        "!has(self.uncertified) || self.certificates == 'Required'": (
            "uncertified says what happens while certificates are Required"
        ),
        "self.certificates != 'Required' || has(self.label) || self.bands.all(b, b.outcome == 'review')": (
            'where certificates are Required, the graph needs "label"'
        ),
        "self.certificates != 'Required' || !has(self.review) || !has(self.review.overflowOutcome) || "
        "self.bands.all(b, b.outcome != self.review.overflowOutcome)": (
            "where certificates are Required, overflowOutcome is no band's outcome"
        ),
        f"self.nodes.all(n, !(n.name in {sorted({EVENT, *CEL_RESERVED})}))": "a node's name is not reserved",
        "has(self.code) || self.nodes.all(n, n.type != 'Python')": "a Python node needs spec.code",
    }

    event_stream_ref: LocalRef = Field(description="The EventStream whose events are decided.")
    runtime: GraphRuntime = Field(
        default_factory=GraphRuntime, description="What hosts the graph; default: type RayServe."
    )
    code: Code | None = Field(default=None, description="The wheel that Python nodes come from; default: none.")
    deadline: Duration = Field(
        default=Duration("200ms"),
        description="How long a synchronous caller waits; after it the item goes to a person (DeadlineMissed). "
        "Default 200ms.",
    )
    label: Label | None = Field(
        default=None, description="What the score is about; needed where certificates are Required."
    )
    nodes: KeyedList[GraphNode] = Field(
        min_length=1, max_length=64, description="The steps, a graph without cycles, in any order."
    )
    score: Expression = Field(
        description="The score: a CEL expression over node.output and event.field that gives a Double."
    )
    certificates: Literal["Required", "NotRequired"] = Field(
        default="Required",
        description="Required: an automatic band without a live certificate goes to review. NotRequired: bands act "
        "on their thresholds alone until one is demoted, and every status and report says so. Default Required.",
    )
    on_missing_certificates: Literal["Wait", "Review"] | None = Field(
        default=None,
        description="What a changed graph or a moved model does whose bands have no live certificate while those that serve "
        "have one. Wait: what serves goes on until they are certified. Review: it takes over at once, and the items of these "
        "bands go to people. Default Wait.",
    )
    uncertified: Uncertified | None = Field(
        default=None,
        description="What becomes of items whose automatic band never had a certificate, where certificates are Required; "
        "default: all of them go to review. Those of a band whose certificate ended, or that was demoted, always do.",
    )
    bands: KeyedList[Band] = Field(
        min_length=1, max_length=16, description="What follows from the score; the bands are disjoint and complete."
    )
    actions: KeyedList[Action] = Field(
        default_factory=list, max_length=64, description="What can be done, by name; default: nothing."
    )
    review: Review = Field(
        default_factory=Review, description="How items are put to people; default: those of its fields."
    )
    audit: Audit = Field(
        default_factory=Audit, description='Which automatic items people see all the same; default: "1%".'
    )

    def node(self, name: str) -> GraphNode | None:
        """The node of that name, if there is one."""
        return next((node for node in self.nodes if node.name == name), None)

    def action(self, name: str) -> Action | None:
        """The action of that name, if there is one."""
        return next((action for action in self.actions if action.name == name), None)

    def ordered_nodes(self) -> list[GraphNode]:
        """The nodes so that each comes after all it needs."""
        by_name = {node.name: node for node in self.nodes}
        return [by_name[name] for name in topological_order(self._needs())]

    def _needs(self) -> dict[str, list[str]]:
        return {node.name: [found.owner for found in node.mentions if found.owner != EVENT] for node in self.nodes}

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> Self:
        refuse(self, [*self._mention_findings(), *self._action_findings(), *self._term_findings()])
        return self

    def _located_mentions(self) -> Iterator[tuple[tuple[str | int, ...], Mention]]:
        for position, node in enumerate(self.nodes):
            for path, found in node.located_mentions():
                yield ("nodes", position, *path), found
        for found in mentions(self.score):
            yield ("score",), found
        for position, action in enumerate(self.actions):
            for name, reference in action.parameters.items():
                yield ("actions", position, "parameters", name), mention(reference)
        for role, given in (("groupBy", self.review.group_by), ("priority", self.review.priority)):
            if given is not None:
                yield ("review", role), mention(given)

    def _mention_findings(self) -> Iterator[Finding]:
        by_name = {node.name: node for node in self.nodes}
        for position, node in enumerate(self.nodes):
            if node.name == EVENT or node.name in CEL_RESERVED:
                yield Finding(
                    path=("nodes", position, "name"), message=f'"{node.name}" is reserved and cannot name a node'
                )
        for path, found in self._located_mentions():
            if found.owner == EVENT:
                continue
            owner = by_name.get(found.owner)
            if owner is None:
                hint = _nearest(found.owner, [EVENT, *by_name])
                yield Finding(path=path, message=f'"{found}" names no node of this graph', hint=hint)
            elif owner.type == "Rules":
                yield Finding(path=path, message=f'"{found}" cannot be used: a Rules node has no outputs')
            elif (names := owner.outputs) is not None and found.output not in names:
                message = f'"{found}" is no output of node "{owner.name}"'
                yield Finding(path=path, message=message, hint=_nearest(found.output, names))
        try:
            topological_order(self._needs())
        except CyclicNodes as error:
            position = [node.name for node in self.nodes].index(error.names[0])
            yield Finding(
                path=("nodes", position), message=str(error), hint="let one of them take its input from elsewhere"
            )

    def _located_action_names(self) -> Iterator[tuple[tuple[str | int, ...], list[str]]]:
        for position, band in enumerate(self.bands):
            yield ("bands", position, "actions"), band.actions
        for position, verdict in enumerate(self.review.verdicts):
            yield ("review", "verdicts", position, "actions"), verdict.actions

    def _action_findings(self) -> Iterator[Finding]:
        known = [action.name for action in self.actions]
        for path, names in self._located_action_names():
            for position, name in enumerate(names):
                if name not in known:
                    message = f'"{name}" is not an action of this graph'
                    yield Finding(path=(*path, position), message=message, hint=_nearest(name, known))
                elif name in names[:position]:
                    yield Finding(path=(*path, position), message=f'"{name}" is listed twice')

    def _term_findings(self) -> Iterator[Finding]:
        automatic = [(position, band) for position, band in enumerate(self.bands) if band.outcome != REVIEW]
        if self.certificates == "Required":
            for position, band in automatic:
                if band.promise is None:
                    message = f'band "{band.name}" is automatic and certificates are Required, so it needs "promise"'
                    hint = "promise: {maxError: …, confidence: …}, or write certificates: NotRequired"
                    yield Finding(path=("bands", position, "promise"), message=message, hint=hint)
            overflow = self.review.overflow_outcome
            for band in (each for _, each in automatic if each.outcome == overflow):
                message = (
                    f'"{overflow}" is what band "{band.name}" promises by its certificate, and no promise covers this'
                )
                hint = "name an outcome of its own, such as defer"
                yield Finding(path=("review", "overflowOutcome"), message=message, hint=hint)
            if automatic and self.label is None:
                yield Finding(path=("label",), message='certificates are Required, so the graph needs "label"')
        elif self.uncertified is not None:
            message = "where no certificates are required, every band acts, and nothing is uncertified"
            yield Finding(path=("uncertified",), message=message, hint="leave it out, or write certificates: Required")
        if self.deadline.microseconds == 0:
            yield Finding(path=("deadline",), message="a deadline is longer than nothing")
        for position, node in enumerate(self.nodes):
            if node.type == "Python" and self.code is None:
                message = f'node "{node.name}" is of type Python, so the graph needs spec.code'
                yield Finding(path=("nodes", position, "python"), message=message)


def _nearest(name: str, known: Collection[str]) -> str | None:
    close = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(sorted(known)) or 'none'}"


class DecisionGraph(Resource):
    """From an event to a decision: features, models, rules, a score, bands, actions and review."""

    kind: Literal["DecisionGraph"] = Field(default="DecisionGraph", description="DecisionGraph.")
    spec: DecisionGraphSpec = Field(description="The whole path from an event to a decision.")
