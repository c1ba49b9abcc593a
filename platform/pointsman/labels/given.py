"""Labels and events in files that somebody certifies on: a line each of JSONL, or a row of CSV or Parquet.

Labels have the `id` of the event, `label`, and `propensity` where the probability with which it came to be seen is known.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

TRUE, FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


class CannotCertify(ValueError):
    """What is given cannot be certified on: what, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """The truth of one event, and the probability with which it came to be seen; None where nothing is known of that."""

    label: bool
    propensity: float | None


def read_labels(file: Path) -> dict[str, Label]:
    """By event id. Raises CannotCertify, naming the row that cannot be used."""
    found = dict[str, Label]()
    for number, row in enumerate(_rows(file), start=1):
        where = f"{file}: row {number}"
        event, said = row.get("id"), str(row.get("label")).lower()
        if event is None or said not in TRUE | FALSE:
            raise CannotCertify(f'{where}: needs "id", and "label" that is true or false, not "{row.get("label")}"')
        propensity = row.get("propensity")
        try:
            known = None if propensity in (None, "") else float(propensity)
        except (TypeError, ValueError):
            known = -1.0
        if known is not None and not 0 < known <= 1:
            raise CannotCertify(f'{where}: "propensity" is above 0 and at most 1, not "{propensity}"')
        label = Label(label=said in TRUE, propensity=known)
        if found.setdefault(str(event), label) != label:
            raise CannotCertify(f'{where}: event "{event}" has another label in an earlier row')
    if not found:
        raise CannotCertify(f"{file}: holds no labels")
    return found


def read_events(file: Path) -> list[object]:
    """Events, one a row, as they are sent. Raises CannotCertify."""
    return list(_rows(file))


def _rows(file: Path) -> list[dict[str, Any]]:
    try:
        if file.suffix in (".jsonl", ".ndjson"):
            return [orjson.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
        if file.suffix == ".csv":
            with file.open(newline="", encoding="utf-8") as opened:
                return list(csv.DictReader(opened))
        if file.suffix == ".parquet":
            return _parquet(file)
    except (OSError, UnicodeDecodeError, csv.Error, orjson.JSONDecodeError) as error:
        raise CannotCertify(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
    raise CannotCertify(f"{file}: a file of labels or events ends in .jsonl, .csv or .parquet")


def _parquet(file: Path) -> list[dict[str, Any]]:
    try:
        import polars
    except ImportError as error:
        raise CannotCertify(f"{file}: {error}: pip install 'pointsman[certify]', or give .csv or .jsonl") from None
    try:
        return list(polars.read_parquet(file).to_dicts())
    except polars.exceptions.PolarsError as error:
        raise CannotCertify(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
