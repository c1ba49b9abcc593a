"""The nodes of a DecisionGraph: features, models, lists, rules and Python. Columns in, columns out."""

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


class ListLookup(Block):
    """One list that the node looks a value up in; who changes the list needs no new revision."""

    name: Identifier = Field(description="The list's name, and the node's output: a Boolean, whether it has the value.")
    type: Literal["Block", "Allow"] = Field(
        description="Block: what is listed goes to a person whatever its score. Allow: no rule of this graph sends "
        "what is listed to a person; its band still decides."
    )
    key: Reference = Field(description="The value that is looked up: a String, node.output or event.field.")
    reason: ReasonCode = Field(
        default="Blocked", description="The reason that a blocked decision carries, in CamelCase. Default Blocked."
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

    belongs: ClassVar = {
        "features": ("Features",),
        "model": ("Model",),
        "rules": ("Rules",),
        "lists": ("Lists",),
        "python": ("Python",),
    }
    needs: ClassVar = belongs

    name: Identifier = Field(description="The node's name; its outputs are named as node.output.")
    type: Literal["Features", "Model", "Rules", "Lists", "Python"] = Field(
        description="What the node is: Features, Model, Rules, Lists or Python."
    )
    features: FeaturesNode | None = Field(default=None, description="The view, for type Features.")
    model: ModelNode | None = Field(default=None, description="The model and its inputs, for type Model.")
    rules: KeyedList[Rule] | None = Field(
        default=None, min_length=1, max_length=128, description="The rules, for type Rules."
    )
    lists: KeyedList[ListLookup] | None = Field(
        default=None, min_length=1, max_length=32, description="The lists, for type Lists."
    )
    python: PythonNode | None = Field(default=None, description="The function and its inputs, for type Python.")

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """Everything that this node needs, in order, each once."""
        return tuple(dict.fromkeys(found for _, found in self.located_mentions()))

    @property
    def outputs(self) -> tuple[str, ...] | None:
        """The names of what the node gives, where the graph says so itself; a view or a model says its own."""
        if self.python is not None:
            return tuple(each.name for each in self.python.outputs)
        if self.lists is not None:
            return tuple(each.name for each in self.lists)
        return None

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
        for position, each in enumerate(self.lists or ()):
            yield ("lists", position, "key"), mention(each.key)
