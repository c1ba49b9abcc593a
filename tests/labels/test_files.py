"""Files of labels: JSON lines, CSV and Parquet say the same, and a row that is no label is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pointsman.labels.files import FORMATS, Columns, FileRefused, read_labels, write_rows

ROWS = [
    {"event": "e1", "label": True, "known_at": "2026-04-01T00:00:00+00:00"},
    {"event": "e2", "label": False, "known_at": "2026-04-02T00:00:00+00:00"},
]
SAID = [
    {"event": "e1", "label": True, "knownAt": "2026-04-01T00:00:00+00:00"},
    {"event": "e2", "label": False, "knownAt": "2026-04-02T00:00:00+00:00"},
]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_is_read_again_in_every_format(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"labels{kind}"
    write_rows(file, ROWS)
    assert list(read_labels(file, Columns())) == SAID
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_columns_may_be_called_otherwise_and_moments_may_be_moments(tmp_path: Path) -> None:
    file = tmp_path / "labels.parquet"
    write_rows(file, [{"transaction": 7, "fraud": 1, "since": datetime(2026, 4, 1, tzinfo=UTC)}])
    (found,) = read_labels(file, Columns(event="transaction", label="fraud", known_at="since"))
    assert found == {"event": "7", "label": True, "knownAt": "2026-04-01T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("event,label\ne1,true\ne2,\n", 'row 2: has no "label"'),
        ("event,label\ne1,perhaps\n", 'row 1: label: "perhaps" is neither true nor false'),
        ("event,label,known_at\ne1,1,yesterday\n", 'known_at: "yesterday" is no moment'),
        ("event,label,known_at\ne1,1,2026-01-01T00:00:00\n", "has no offset from UTC"),
        ("id,label\ne1,1\n", 'has no "event"; it has id, label'),
    ],
)
def test_a_row_that_is_no_label_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(FileRefused) as refused:
        list(read_labels(file, Columns()))
    assert said in str(refused.value)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"event": "e1", "label": true}\n\n{"event": \n')
    with pytest.raises(FileRefused, match="line 3: is no JSON"):
        list(read_labels(file, Columns()))


def test_a_name_without_a_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"\.jsonl, \.csv, \.parquet"):
        write_rows(tmp_path / "labels", ROWS)
