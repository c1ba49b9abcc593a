"""Labels and retraining sets as files: JSON lines, CSV or Parquet, by the file's name. Used by the command line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

Row = Mapping[str, Any]

FORMATS = (".jsonl", ".csv", ".parquet")
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")


class FileRefused(ValueError):
    """A file that cannot be read or written as it is: where, what, and what would be right. One line."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a file of labels are called."""

    event: str = "event"
    label: str = "label"
    known_at: str = "known_at"


def read_labels(file: Path, columns: Columns) -> Iterator[dict[str, object]]:
    """Each label as the API takes it. Raises FileRefused at the first row that is none."""
    for number, row in enumerate(_rows(file), start=1):
        yield _label(row, columns, f"{file}: row {number}")


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write rows, which need not have the same keys; a file of that name is replaced once all is written."""
    written = file.with_name(f".{file.name}.part")
    kind = _kind(file)
    if kind == ".jsonl":
        written.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    elif kind == ".csv":
        names = list(dict.fromkeys(name for row in rows for name in row))
        with written.open("w", newline="") as out:
            table = csv.DictWriter(out, names)
            table.writeheader()
            table.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    else:
        _arrow().parquet.write_table(_arrow().Table.from_pylist(list(rows)), written)
    written.replace(file)


def check(file: Path) -> None:
    """Whether a file of that name can be written at all. Raises FileRefused."""
    if _kind(file) == ".parquet":
        _arrow()


def _rows(file: Path) -> Iterator[Row]:
    kind = _kind(file)
    try:
        if kind == ".csv":
            with file.open(newline="", encoding="utf-8-sig") as lines:
                yield from csv.DictReader(lines)
        elif kind == ".jsonl":
            with file.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _object(line, f"{file}: line {number}")
        else:
            for batch in _arrow().parquet.ParquetFile(file).iter_batches():
                yield from batch.to_pylist()
    except OSError as error:
        raise FileRefused(f"{file}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileRefused(f"{file}: {error}") from error


def _label(row: Row, columns: Columns, place: str) -> dict[str, object]:
    for name in (columns.event, columns.label):
        if row.get(name) in (None, ""):
            raise FileRefused(f'{place}: has no "{name}"; it has {", ".join(map(str, row)) or "nothing"}')
    said: dict[str, object] = {"event": str(row[columns.event])}
    text = str(row[columns.label]).strip().lower()
    if text not in TRUE + FALSE:
        raise FileRefused(f'{place}: {columns.label}: "{row[columns.label]}" is neither true nor false')
    said["label"] = text in TRUE
    known = row.get(columns.known_at)
    if known not in (None, ""):
        try:
            moment = known if isinstance(known, datetime) else datetime.fromisoformat(str(known))
        except ValueError as error:
            raise FileRefused(
                f'{place}: {columns.known_at}: "{known}" is no moment such as 2026-01-31T12:00:00Z'
            ) from error
        if moment.tzinfo is None:
            raise FileRefused(f'{place}: {columns.known_at}: "{known}" has no offset from UTC: 2026-01-31T12:00:00Z')
        said["knownAt"] = moment.isoformat()
    return said


def _object(line: bytes, place: str) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise FileRefused(f"{place}: is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise FileRefused(f"{place}: is no JSON object")
    return row


def _plain(value: object) -> object:
    return orjson.dumps(value).decode() if isinstance(value, (list, dict)) else value


def _kind(file: Path) -> str:
    if file.suffix.lower() not in FORMATS:
        raise FileRefused(f"{file}: its name says no format: it ends in {', '.join(FORMATS)}")
    return file.suffix.lower()


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise FileRefused(
            "Parquet takes pyarrow, which is not installed: pip install pyarrow, or use .jsonl"
        ) from error
    return pyarrow
