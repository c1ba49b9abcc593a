"""The probe decision: any contract has an event for it, and what keeps a graph from deciding is raised."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pointsman.api.event_stream import ContractField
from pointsman.decisions import probe as probing
from pointsman.decisions.probe import probe
from pointsman.library import GraphLibrary

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_the_example_decides_its_probe(library: GraphLibrary) -> None:
    assert probe(library.graph, library._ports, now=NOW) == "approve"


def test_a_port_that_raises_is_seen(library: GraphLibrary) -> None:
    class Broken:
        inputs = outputs = ()

        def infer(self, inputs: object) -> object:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        probe(library.graph, {name: Broken() for name in library._ports}, now=NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "String"}, "probe"),
        ({"type": "String", "maxLength": 3}, "pro"),
        ({"type": "String", "minLength": 7}, "probe--"),
        ({"type": "String", "values": ["b", "a"]}, "a"),
        ({"type": "Integer"}, 1),
        ({"type": "Integer", "maximum": "0"}, 0),
        ({"type": "Decimal", "scale": 2}, 100),
        ({"type": "Decimal", "scale": 2, "minimum": "12.5"}, 1250),
        ({"type": "Double", "minimum": "2.5"}, 2.5),
        ({"type": "Boolean"}, False),
        ({"type": "Timestamp"}, 1772409600000000),
    ],
)
def test_a_field_gets_a_plain_value_within_its_limits(field: dict[str, object], value: object) -> None:
    assert probing._value(ContractField.model_validate({"name": "f", **field}), NOW) == value
