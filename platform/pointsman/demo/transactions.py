"""Generated card transactions as columns, and as the raw JSON events that a bank's systems would send.

The generator makes them, training reads the columns, the demo and the benchmarks send the bytes and compare what was
decided with the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

DAY_US = 86_400_000_000
"""Microseconds of a day."""

Rows = npt.NDArray[Any] | slice


class Kind(StrEnum):
    """How a row reaches us."""

    NORMAL = "normal"
    LATE = "late"
    """known minutes to hours after it occurred"""
    DUPLICATE = "duplicate"
    """the same bytes as an earlier row, sent again"""
    BROKEN = "broken"
    """breaks the contract in one way, its `defect`"""
    CONFLICT = "conflict"
    """the id of an earlier row with another body"""


class Scenario(StrEnum):
    """The fraud behind a row, or what is honest and looks like it."""

    HABIT = "habit"
    SPREE = "spree"
    """honest: many purchases within an hour or two"""
    LARGE_AMOUNT = "large-amount"
    TERMINAL = "terminal"
    CARD = "card"


class Defect(StrEnum):
    """What is wrong with a broken row."""

    NONE = ""
    MISSING_FIELD = "missing-field"
    MISSING_ID = "missing-id"
    WRONG_TYPE = "wrong-type"
    TOO_MANY_DECIMALS = "too-many-decimals"
    BAD_TIMESTAMP = "bad-timestamp"


@dataclass(frozen=True, kw_only=True)
class Transactions:
    """Equally long columns in order of arrival. Times are int64 microseconds since 1970-01-01 UTC.

    `fraud` is the truth, and `label_known_at` when the bank learns it. `arrived_at` is `known_at`, but for a duplicate:
    its body repeats the `known_at` of its first sending. `kind`, `scenario` and `defect` hold members of their enums.
    """

    transaction_id: npt.NDArray[Any]
    occurred_at: npt.NDArray[np.int64]
    known_at: npt.NDArray[np.int64]
    arrived_at: npt.NDArray[np.int64]
    amount_cents: npt.NDArray[np.int64]
    card_id: npt.NDArray[Any]
    terminal_id: npt.NDArray[Any]
    card_account: npt.NDArray[Any]
    fraud: npt.NDArray[np.bool_]
    label_known_at: npt.NDArray[np.int64]
    scenario: npt.NDArray[Any]
    kind: npt.NDArray[Any]
    defect: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.transaction_id)

    def take(self, rows: Rows) -> Self:
        """The rows at these positions, of a slice, or where a mask is True, in their order."""
        return type(self)(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def split(self, moment: int) -> tuple[Self, Self]:
        """What arrived before a moment (µs), and the rest: a history and the stream that continues it."""
        at = int(np.searchsorted(self.arrived_at, moment))
        return self.take(slice(at)), self.take(slice(at, None))

    def accepted(self) -> npt.NDArray[np.bool_]:
        """The rows that become decisions: all but broken, duplicate and conflicting ones."""
        return np.asarray((self.kind == Kind.NORMAL) | (self.kind == Kind.LATE), dtype=np.bool_)

    def fraud_ids(self) -> frozenset[str]:
        """The ids of the transactions that are fraud in truth."""
        return frozenset(self.transaction_id[self.fraud].tolist())


def as_json_lines(transactions: Transactions, rows: Rows = slice(None)) -> list[bytes]:
    """The rows as a source would send them: one JSON object each, without a line break.

    Times are RFC 3339 with microseconds in UTC, amounts are strings of two decimals. `channel` is in no contract:
    sources send more than was asked for.
    """
    some = transactions.take(rows)
    lines = [
        (
            f'{{"transaction_id":"{id_}","occurred_at":"{occurred}Z","known_at":"{known}Z",'
            f'"amount":"{cents // 100}.{cents % 100:02d}","card_id":"{card}","terminal_id":"{terminal}",'
            f'"card_account":"{account}","channel":"{"online" if terminal[-1] < "3" else "store"}"}}'
        ).encode()
        for id_, occurred, known, cents, card, terminal, account in zip(
            some.transaction_id.tolist(),
            _as_text(some.occurred_at),
            _as_text(some.known_at),
            some.amount_cents.tolist(),
            some.card_id.tolist(),
            some.terminal_id.tolist(),
            some.card_account.tolist(),
            strict=True,
        )
    ]
    for row in np.flatnonzero(some.defect != Defect.NONE).tolist():
        lines[row] = _broken(lines[row], some.defect[row])
    return lines


def _as_text(times: npt.NDArray[np.int64]) -> list[str]:
    text: list[str] = np.datetime_as_string(times.astype("datetime64[us]"), unit="us").tolist()
    return text


def _broken(line: bytes, defect: Defect) -> bytes:
    """The same event with one thing wrong."""
    id_, amount, card = (_member(line, name) for name in (b"transaction_id", b"amount", b"card_id"))
    occurred = _member(line, b"occurred_at")
    match defect:
        case Defect.MISSING_FIELD:
            return line.replace(amount + b",", b"")
        case Defect.MISSING_ID:
            return line.replace(id_ + b",", b"")
        case Defect.WRONG_TYPE:
            return line.replace(card, b'"card_id":17')
        case Defect.TOO_MANY_DECIMALS:
            return line.replace(amount, amount[:-1] + b'5"')
        case Defect.BAD_TIMESTAMP:
            return line.replace(occurred, b'"occurred_at":"2026-02-30T25:61:00Z"')
        case _:
            return line


def _member(line: bytes, name: bytes) -> bytes:
    start = line.index(b'"' + name + b'":"')
    return line[start : line.index(b'"', start + len(name) + 4) + 1]
