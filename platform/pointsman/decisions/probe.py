"""A decision that is made to see that a revision decides: on an event of its contract, on no state, and never committed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from pointsman.api.event_stream import ContractField
from pointsman.columns import Column, FieldType
from pointsman.decisions.accept import event_columns
from pointsman.decisions.record import Events, records
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.contract import Contract
from pointsman.graphs.decide import GraphState, evaluate, triage
from pointsman.graphs.identity import decision_ids, digest
from pointsman.graphs.ports import ModelPort

EVENT_ID = "probe"
_BODY = b"{}"


def probe(graph: CompiledGraph, ports: Mapping[str, ModelPort], *, now: datetime) -> str:
    """Decide one event as far as the record of its decision; its outcome. Raises whatever keeps the graph from deciding."""
    evaluation = evaluate(graph, event_columns(_columns(graph.contract, now)), GraphState(graph.views), ports, now=now)
    at = int(now.timestamp() * 1e6)
    decided = records(
        graph,
        decision_ids=decision_ids(graph.resolved.graph_uid, [EVENT_ID]),
        events=Events(ids=[EVENT_ID], digests=[digest(_BODY)], bodies=[_BODY], times=[at], known_at=[at]),
        first_seq=0,
        evaluation=evaluation,
        triage=triage(graph, evaluation, np.zeros(1, dtype=np.bool_), np.ones(1)),
        decided_at=now,
    )
    return decided.decisions.outcomes[0]


def _columns(contract: Contract, now: datetime) -> dict[str, Column]:
    """One row: a plain value for each field, within its limits. A text need not match its field's pattern."""
    columns = dict[str, Column]()
    for each in contract.fields:
        type_ = contract.types[each.name]
        dtype = object if type_.type is FieldType.STRING else None
        columns[each.name] = Column(type=type_, values=np.array([_value(each, now)], dtype=dtype))
    return columns


def _value(field: ContractField, now: datetime) -> Any:
    match field.type:
        case FieldType.STRING:
            text = min(field.values) if field.values else EVENT_ID.ljust(field.min_length or 0, "-")
            return text[: field.max_length]
        case FieldType.BOOLEAN:
            return False
        case FieldType.TIMESTAMP:
            return int(now.timestamp() * 1e6)
        case FieldType.DOUBLE:
            return float(_near_one(field))
        case FieldType.INTEGER | FieldType.DECIMAL:
            return int(_near_one(field).scaleb(field.scale))


def _near_one(field: ContractField) -> Decimal:
    low = Decimal(1) if field.minimum is None else max(Decimal(1), field.minimum)
    return low if field.maximum is None else min(low, field.maximum)
