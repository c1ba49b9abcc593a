"""Records written column by column are, byte for byte, what writing them row by row gives."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.columns import Column, ColumnType, FieldType
from pointsman.decisions import bodies
from pointsman.graphs.identity import canonical

DOUBLES = Column(
    type=ColumnType(type=FieldType.DOUBLE),
    values=np.array([0.1, np.nan, 1e300]),
    missing=np.array([False, False, True]),
)
COLUMNS = {
    "doubles, one that is no number, one missing": (DOUBLES, [0.1, None, None]),
    "whole numbers": (Column(type=ColumnType(type=FieldType.INTEGER), values=np.array([1, -2, 2**62])), [1, -2, 2**62]),
    "decimals in natural units": (
        Column(type=ColumnType(type=FieldType.DECIMAL, scale=2), values=np.array([1250, 0, -5])),
        [12.5, 0.0, -0.05],
    ),
    "booleans": (
        Column(type=ColumnType(type=FieldType.BOOLEAN), values=np.array([True, False, True])),
        [True, False, True],
    ),
    "texts with commas, quotes and brackets": (
        Column(type=ColumnType(type=FieldType.STRING), values=np.array(['a,"b"', "],[", "é"], dtype=object)),
        ['a,"b"', "],[", "é"],
    ),
    "vectors": (
        Column(type=ColumnType(type=FieldType.DOUBLE, width=2), values=np.array([[1.0, 2.5], [0.0, 0.0], [3.0, 4.0]])),
        [[1.0, 2.5], [0.0, 0.0], [3.0, 4.0]],
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_written_as_its_values(name: str) -> None:
    column, values = COLUMNS[name]
    assert list(bodies.column(column)) == [orjson.dumps(value) for value in values]


def test_an_object_has_its_keys_sorted_and_lacks_what_is_rarely_there() -> None:
    fields = {"zeta": bodies.one_of_few(["x", None, "x"]), "alpha": bodies.numbered(7, 3)}
    written = list(bodies.objects(fields, rarely={"rules": {1: ["n.b"]}, "none": {}}))
    assert written == [
        b'{"alpha":7,"zeta":"x"}',
        b'{"alpha":8,"rules":["n.b"],"zeta":null}',
        b'{"alpha":9,"zeta":"x"}',
    ]


def test_without_a_field_an_object_is_empty() -> None:
    assert next(bodies.objects({})) == b"{}"


@given(
    st.lists(
        st.tuples(st.text(), st.integers(-(2**40), 2**40), st.dictionaries(st.text(), st.integers(-9, 9))), min_size=1
    )
)
def test_rows_are_canonical_json(rows: list[tuple[str, int, dict[str, int]]]) -> None:
    fields = {
        "text": bodies.strings(text for text, _, _ in rows),
        "number": bodies.column(
            Column(type=ColumnType(type=FieldType.INTEGER), values=np.array([number for _, number, _ in rows]))
        ),
        "more": bodies.mostly([], {at: more for at, (_, _, more) in enumerate(rows) if more}, len(rows)),
    }
    nested = bodies.objects({"inner": bodies.objects(fields), "a": bodies.constant("always")})
    assert list(nested) == [
        canonical({"a": "always", "inner": {"text": text, "number": number, "more": more or []}})
        for text, number, more in rows
    ]
