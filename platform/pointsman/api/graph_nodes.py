"""The nodes of a DecisionGraph: features, models, rules and Python. Columns in, columns out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from pointsman.api.meta import (
    Block,
    Choice,
    Expression,
    Identifier,
    Integer,
    KeyedList,
    LocalRef,
    ObjectName,
    ReasonCode,
    Reference,
)
from pointsman.api.node_order import Mention, mention, mentions
from pointsman.columns import FieldType

InputName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.:/-]{0,126}$", max_length=127)]


class FeaturesNode(Block):
    """The features of a view."""

    view_ref: LocalRef = Field(description="The FeatureView.")


class ModelNode(Block):
    """A model's outputs."""

    deployment_ref: LocalRef = Field(description="The ModelDeployment.")
    inputs: dict[InputName, Reference] = Field(
        min_length=1,
        max_length=512,
        description="What each input of the model's signature is given: node.output or event.field. Every input of "
        "the signature is named, and no other.",
    )
    placement: Literal["Inline", "Remote"] = Field(
        default="Remote",
        description="Remote calls the deployment over Open Inference Protocol; Inline loads the same pinned file "
        "into the graph's process. Default Remote.",
    )


class Rule(Block):
    """One rule; where it holds, the item goes to a person whatever its score."""

    name: ObjectName = Field(description="The rule's name.")
    when: Expression = Field(description="When the rule holds: a CEL expression over node.output and event.field.")
    reason: ReasonCode = Field(description="The reason that the decision then carries, in CamelCase.")
    outcome: Literal["review"] = Field(
        default="review",
        description="What follows: review. A rule cannot decide by itself, because no certificate covers it. Default "
        "review.",
    )


class PythonOutput(Block):
    """One column that a Python node gives."""

    name: Identifier = Field(description="The output's name.")
    type: FieldType = Field(
        default=FieldType.DOUBLE,
        description="The output's type: String, Integer, Decimal, Double, Boolean or Timestamp. Default Double.",
    )
    scale: Integer = Field(default=0, ge=0, le=12, description="Decimal places, for type Decimal. Default 0.")


def _value() -> list[PythonOutput]:
    return [PythonOutput(name="value")]


class PythonNode(Block):
    """A function of columns from the graph's wheel."""

    function: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        max_length=255,
        description="The function, as module:name.",
    )
    inputs: dict[Identifier, Reference] = Field(
        min_length=1, max_length=512, description="What each argument is given: node.output or event.field."
    )
    outputs: KeyedList[PythonOutput] = Field(
        default_factory=_value,
        min_length=1,
        max_length=64,
        description="What the function gives; default: one Double, value.",
    )


class GraphNode(Choice):
    """One step: columns in, columns out."""

    belongs: ClassVar = {"features": ("Features",), "model": ("Model",), "rules": ("Rules",), "python": ("Python",)}
    needs: ClassVar = belongs

    name: Identifier = Field(description="The node's name; its outputs are named as node.output.")
    type: Literal["Features", "Model", "Rules", "Python"] = Field(
        description="What the node is: Features, Model, Rules or Python."
    )
    features: FeaturesNode | None = Field(default=None, description="The view, for type Features.")
    model: ModelNode | None = Field(default=None, description="The model and its inputs, for type Model.")
    rules: KeyedList[Rule] | None = Field(
        default=None, min_length=1, max_length=128, description="The rules, for type Rules."
    )
    python: PythonNode | None = Field(default=None, description="The function and its inputs, for type Python.")

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """Everything that this node needs, in order, each once."""
        return tuple(dict.fromkeys(found for _, found in self.located_mentions()))

    def located_mentions(self) -> Iterator[tuple[tuple[str | int, ...], Mention]]:
        """Everything that this node needs, with the path inside the node at which it is named."""
        if self.model is not None:
            for name, reference in self.model.inputs.items():
                yield ("model", "inputs", name), mention(reference)
        if self.python is not None:
            for name, reference in self.python.inputs.items():
                yield ("python", "inputs", name), mention(reference)
        for position, rule in enumerate(self.rules or ()):
            for found in mentions(rule.when):
                yield ("rules", position, "when"), found
