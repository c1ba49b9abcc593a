"""From generated transactions to what models learn from: the example's own features, computed offline, and the truth.

The documents of the example are the only definition: the stream's columns, the views, and which feature becomes which
input of a model are read from them, so that training and deciding cannot drift apart. No label is ever a feature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import load
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.demo.transactions import Transactions
from pointsman.features.definition import compile_view
from pointsman.features.offline import as_of

Kind = TypeVar("Kind", EventStream, FeatureView, DecisionGraph)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Example:
    """The fraud example's documents that training reads."""

    stream: EventStream
    views: Mapping[str, FeatureView]
    graph: DecisionGraph

    def inputs(self, deployment: str) -> Mapping[str, str]:
        """The inputs that the graph gives a ModelDeployment: the signature's name to the column."""
        for node in self.graph.spec.nodes:
            if node.model is not None and node.model.deployment_ref.name == deployment:
                return node.model.inputs
        raise LookupError(f'the graph "{self.graph.metadata.name}" calls no ModelDeployment "{deployment}"')

    def node_of(self, deployment: str) -> str:
        """The name of the node that calls a ModelDeployment."""
        for node in self.graph.spec.nodes:
            if node.model is not None and node.model.deployment_ref.name == deployment:
                return node.name
        raise LookupError(f'the graph "{self.graph.metadata.name}" calls no ModelDeployment "{deployment}"')


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One row for each transaction that becomes a decision, in order of arrival; columns are named as in the graph."""

    columns: Mapping[str, Column]
    complete: Mask
    """whether every feature is there: a late row has none"""
    fraud: Mask
    occurred_at: npt.NDArray[np.int64]
    label_known_at: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.fraud)

    def matrix(self, inputs: Mapping[str, str], rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The inputs of a model as it will be given them, float32, one column each in the order of `inputs`."""
        return np.column_stack(
            [self.columns[reference].double()[rows].astype(np.float32) for reference in inputs.values()]
        )

    def digest(self) -> str:
        """SHA-256 over features, labels and times: what a model was trained from."""
        sha = hashlib.sha256()
        for name in sorted(self.columns):
            if self.columns[name].type.type is not FieldType.STRING:
                sha.update(name.encode() + b"\0" + self.columns[name].double().tobytes())
        for array in (self.fraud, self.occurred_at, self.label_known_at):
            sha.update(array.tobytes())
        return f"sha256:{sha.hexdigest()}"


def load_example(folder: Path) -> Example:
    """Read the example's documents. Raises documents.InvalidDocuments, or LookupError where one is missing."""
    documents = load(folder)
    views = [each for each in documents if isinstance(each, FeatureView)]
    return Example(
        stream=_only(documents, EventStream, folder),
        views={view.metadata.name: view for view in views},
        graph=_only(documents, DecisionGraph, folder),
    )


def build(example: Example, transactions: Transactions) -> Dataset:
    """Compute every feature that the graph looks up, as of each transaction, in order of arrival."""
    some = transactions.take(transactions.accepted())
    columns = event_columns(some)
    blank = np.zeros(len(some), dtype=np.bool_)
    for node in example.graph.spec.nodes:
        if node.features is not None:
            view = compile_view(example.views[node.features.view_ref.name], example.stream)
            batch = as_of(
                view,
                columns[f"event.{view.entity}"],
                columns[view.time_column].values,
                {name: columns[f"event.{name}"] for name in view.fields},
            )
            columns |= {f"{node.name}.{name}": column for name, column in batch.columns.items()}
            blank |= batch.late | batch.stale
    for column in columns.values():
        if column.missing is not None:
            blank |= column.missing
    return Dataset(
        columns=columns,
        complete=~blank,
        fraud=some.fraud,
        occurred_at=some.occurred_at,
        label_known_at=some.label_known_at,
    )


def event_columns(transactions: Transactions) -> dict[str, Column]:
    """The rows as the stream's contract reads them, named as in a graph."""
    text, time = ColumnType(type=FieldType.STRING), ColumnType(type=FieldType.TIMESTAMP)
    money = ColumnType(type=FieldType.DECIMAL, scale=2)
    return {
        "event.transaction_id": Column(type=text, values=transactions.transaction_id),
        "event.occurred_at": Column(type=time, values=transactions.occurred_at),
        "event.known_at": Column(type=time, values=transactions.known_at),
        "event.amount": Column(type=money, values=transactions.amount_cents),
        "event.card_id": Column(type=text, values=transactions.card_id),
        "event.terminal_id": Column(type=text, values=transactions.terminal_id),
        "event.card_account": Column(type=text, values=transactions.card_account),
    }


def _only(documents: list[Any], kind: type[Kind], folder: Path) -> Kind:
    found = [each for each in documents if isinstance(each, kind)]
    if len(found) != 1:
        raise LookupError(f"one {kind.__name__} is needed in {folder}, here are {len(found)}")
    return found[0]
