"""Lists at the moment of a decision: which values stand in which list, until when, put there by whom. Pure.

A host reads the book of its graph every second or so and gives it to `decide`; a notebook or a test makes one by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column


@dataclass(frozen=True, kw_only=True)
class ListEntry:
    """A value in a list. It counts until `expires_at`, or until it is taken out."""

    entry_id: str
    value: str
    author: str
    comment: str = ""
    expires_at: datetime | None = None


ListBook = Mapping[str, Mapping[str, ListEntry]]
"""By list, by value."""

NO_LISTS: ListBook = {}


@dataclass(frozen=True, kw_only=True)
class Touched:
    """An entry that a decision was touched by."""

    list: str
    entry: ListEntry


def look_up(
    book: ListBook, name: str, keys: Column, now: datetime
) -> tuple[npt.NDArray[np.bool_], Sequence[tuple[int, Touched]]]:
    """Which rows' keys stand in the list at `now`, and the entries that say so, by row. A missing key stands in none."""
    listed = np.zeros(len(keys), dtype=np.bool_)
    entries = book.get(name)
    if not entries:
        return listed, ()
    touched = list[tuple[int, Touched]]()
    for row, key in enumerate(keys.values.tolist()):
        entry = entries.get(key)
        if entry is None or (entry.expires_at is not None and entry.expires_at <= now):
            continue
        if keys.missing is not None and keys.missing[row]:
            continue
        listed[row] = True
        touched.append((row, Touched(list=name, entry=entry)))
    return listed, touched
