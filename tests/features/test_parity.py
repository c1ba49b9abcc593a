"""The online and the offline engine give the same numbers, however the stream is cut into batches."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.api.documents import parse
from pointsman.columns import Column, ColumnType, FieldType
from pointsman.features.definition import CompiledView, compile_view
from pointsman.features.offline import as_of
from pointsman.features.online import OnlineState

MINUTE = 60_000_000
STREAM = """
apiVersion: pointsman.dev/v1alpha1
kind: EventStream
metadata: {name: s}
spec:
  source: {type: HTTP}
  id: id
  time: at
  contract:
    fields:
    - {name: id, type: String}
    - {name: at, type: Timestamp}
    - {name: who, type: String, optional: true}
    - {name: amount, type: Decimal, scale: 2, optional: true}
---
apiVersion: pointsman.dev/v1alpha1
kind: FeatureView
metadata: {name: v}
spec:
  sourceRef: {kind: EventStream, name: s}
  entity: who
  maxAge: 2h
  allowedLateness: 30m
  features:
  - {name: rows, aggregate: Count, window: 1h}
  - {name: rows_own, aggregate: Count, window: 1h, includeCurrent: true}
  - {name: total, aggregate: Sum, field: amount, window: 1h}
  - {name: average, aggregate: Mean, field: amount, window: 3h, default: "-1"}
  - {name: least, aggregate: Min, field: amount, window: 1h}
  - {name: most, aggregate: Max, field: amount, window: 3h, includeCurrent: true}
  - {name: since, aggregate: SinceLast, window: 3h}
  - {name: recent, aggregate: Last, field: amount, window: 3h, count: 3}
  - {name: amounts, aggregate: Sequence, field: amount, window: 3h, count: 4}
  - {name: gaps, aggregate: Sequence, window: 2h, count: 3}
"""


@cache
def view() -> CompiledView:
    stream, definition = parse(STREAM)
    return compile_view(definition, stream)


def column(kind: FieldType, values: list[object], missing: list[bool] | None = None, scale: int = 0) -> Column:
    dtype = object if kind is FieldType.STRING else np.int64
    return Column(
        type=ColumnType(type=kind, scale=scale),
        values=np.array(values, dtype=dtype),
        missing=np.array(missing, dtype=np.bool_) if missing and any(missing) else None,
    )


Row = tuple[str | None, int, int | None]


def columns(rows: list[Row]) -> tuple[Column, np.ndarray, dict[str, Column]]:
    who = column(FieldType.STRING, [each[0] or "" for each in rows], [each[0] is None for each in rows])
    amounts = [each[2] or 0 for each in rows]
    amount = column(FieldType.DECIMAL, amounts, [each[2] is None for each in rows], scale=2)
    return who, np.array([each[1] for each in rows], dtype=np.int64), {"amount": amount}


def plain(batch) -> list[tuple[object, ...]]:
    """Rows of the batch as Python values; None where missing."""
    lists = [batch.late.tolist(), batch.stale.tolist()]
    for each in batch.columns.values():
        missing = each.missing.tolist() if each.missing is not None else [False] * len(each)
        lists.append([None if gone else value for value, gone in zip(each.values.tolist(), missing, strict=True)])
    return list(zip(*lists, strict=True))


def advance(state: OnlineState, rows: list[Row], sizes: list[int]) -> list[tuple[object, ...]]:
    answers, at = [], 0
    for size in [*sizes, len(rows)]:
        chunk = rows[at : at + size]
        at += size
        if chunk:
            answers += plain(state.advance(*columns(chunk)))
            state.commit()
    return answers


entities = st.sampled_from(["a", "b", None])
steps = st.integers(-50, 80)
amounts = st.one_of(st.none(), st.integers(-500, 10_000))


@st.composite
def streams(draw: st.DrawFn) -> list[Row]:
    now, rows = 1_000_000 * MINUTE, []
    for who, step, amount in draw(st.lists(st.tuples(entities, steps, amounts), min_size=1, max_size=60)):
        now += step * MINUTE
        rows.append((who, now, amount))
    return rows


@settings(max_examples=60, deadline=None)
@given(streams(), st.lists(st.integers(1, 9), max_size=12))
def test_both_engines_agree_on_any_stream_in_any_batches(rows: list[Row], sizes: list[int]) -> None:
    expected = plain(as_of(view(), *columns(rows)))
    assert advance(OnlineState(view()), rows, sizes) == expected


@settings(max_examples=40, deadline=None)
@given(streams(), streams(), st.lists(st.integers(1, 9), max_size=6))
def test_a_rolled_back_batch_leaves_no_trace(rows: list[Row], undone: list[Row], sizes: list[int]) -> None:
    state, half = OnlineState(view()), len(rows) // 2
    advance(state, rows[:half], sizes)
    state.advance(*columns(undone))
    state.rollback()
    disturbed = advance(state, rows[half:], sizes)
    assert disturbed == plain(as_of(view(), *columns(rows)))[half:]


def test_a_row_sees_the_earlier_rows_of_its_entity_in_its_window() -> None:
    rows: list[Row] = [("a", 0, 100), ("b", MINUTE, 7), ("a", 2 * MINUTE, 300), ("a", 61 * MINUTE, None)]
    batch = OnlineState(view()).advance(*columns(rows))
    assert batch.columns["rows"].values.tolist() == [0, 0, 1, 1]
    assert batch.columns["total"].values.tolist() == [0, 0, 100, 300]
    assert batch.columns["average"].values.tolist() == [-1.0, -1.0, 1.0, 2.0]
    assert batch.columns["since"].values.tolist()[2:] == [120.0, 59 * 60.0]


def test_a_sequence_holds_the_newest_values_oldest_first_and_the_seconds_between_them() -> None:
    rows: list[Row] = [
        ("a", 0, 100),
        ("a", MINUTE, 200),
        ("b", MINUTE, 900),
        ("a", 3 * MINUTE, None),
        ("a", 4 * MINUTE, 1),
    ]
    batch = OnlineState(view()).advance(*columns(rows))
    assert batch.columns["amounts"].values.tolist() == [
        [0, 0, 0, 0],
        [0, 0, 0, 1.0],
        [0, 0, 0, 0],
        [0, 0, 1.0, 2.0],
        [0, 1.0, 2.0, 0],
    ]
    assert batch.columns["gaps"].values.tolist() == [[0, 0, 0], [0, 0, 60], [0, 0, 0], [0, 60, 120], [60, 120, 60]]


def test_a_late_row_gets_nothing_and_changes_nothing() -> None:
    rows: list[Row] = [("a", 100 * MINUTE, 1), ("a", 69 * MINUTE, 5), ("a", 101 * MINUTE, 1)]
    batch = OnlineState(view()).advance(*columns(rows))
    assert batch.late.tolist() == [False, True, False]
    assert batch.columns["rows"].values.tolist()[2] == 1
    assert batch.columns["rows"].missing.tolist() == [False, True, False]


def test_after_a_long_silence_a_row_is_stale_but_counts() -> None:
    rows: list[Row] = [("a", 0, 1), ("a", 121 * MINUTE, 1), ("a", 122 * MINUTE, 1)]
    batch = OnlineState(view()).advance(*columns(rows))
    assert batch.stale.tolist() == [False, True, False]
    assert batch.columns["rows"].values.tolist()[2] == 1


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.slow
def test_memory_stays_flat_over_many_horizons(size: int) -> None:
    state, compiled = OnlineState(view()), view()
    pools = []
    for lap in range(12):
        start = lap * 4 * compiled.horizon_us // 8
        rows: list[Row] = [(f"{at % 5}", start + at * MINUTE // 4, at) for at in range(500)]
        advance(state, rows, [size] * (500 // size))
        pools.append(state.pool_rows)
    assert pools[-1] == pools[len(pools) // 2]


@pytest.mark.parametrize("size", [40, 1000, 6000])
@pytest.mark.slow
def test_many_entities_in_one_large_batch_do_not_write_into_each_other(size: int) -> None:
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(0, 200 * MINUTE, 6000)).tolist()
    rows: list[Row] = [
        (f"card-{who}", at, amount)
        for who, at, amount in zip(rng.integers(0, 900, 6000), times, rng.integers(1, 9999, 6000).tolist(), strict=True)
    ]
    expected = plain(as_of(view(), *columns(rows)))
    assert advance(OnlineState(view()), rows, [size] * (6000 // size)) == expected
