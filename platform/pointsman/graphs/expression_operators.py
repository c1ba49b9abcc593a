"""What expressions do to columns: arithmetic, comparisons and logic over NumPy arrays, where a value may be missing.

Used by `pointsman.graphs.expressions` alone. An operand is a pair: the values, and a mask of those that are missing
(None where none is). Arrays have one value a row, or one value in all where it is the same for every row. What stands
under the mask has no meaning. Callers run these with floating point errors ignored.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.columns import Column, FieldType

Mask = npt.NDArray[np.bool_]
Operand = tuple[npt.NDArray[Any], Mask | None]

_BLANK: dict[FieldType, object] = {
    FieldType.STRING: "",
    FieldType.INTEGER: 0,
    FieldType.DECIMAL: 0.0,
    FieldType.DOUBLE: 0.0,
    FieldType.BOOLEAN: False,
    FieldType.TIMESTAMP: 0,
}
_WIDE: dict[FieldType, type] = {FieldType.INTEGER: np.int64, FieldType.DOUBLE: np.float64}
_INT_MIN = -(2**63)
_SEVERAL = 8
"""From this many items on, looking values up in a sorted list is faster than comparing with each."""


def load(column: Column) -> Operand:
    """A column as an operand: a Decimal in natural units; a Double may still hold what is not finite."""
    values, missing, field = column.values, column.missing, column.type.type
    if field is FieldType.DECIMAL:
        values = values / float(10**column.type.scale)
    elif field is FieldType.STRING:
        values = values.astype(object, copy=False)
    elif field is FieldType.DOUBLE or field is FieldType.INTEGER:
        values = values.astype(_WIDE[field], copy=False)
    if missing is not None:
        values = np.where(missing, np.asarray(_BLANK[field], dtype=values.dtype), values)
    return values, missing


def finite(operand: Operand) -> Operand:
    """Doubles: what is not finite is missing.

    Sums, products and signs hand on what is not finite, so a chain of them needs this once, at its end.
    """
    values, missing = operand
    fine = np.isfinite(values)
    if np.count_nonzero(fine) == fine.size:
        return operand
    return np.where(fine, values, 0.0), _either(missing, ~fine)


def add(left: Operand, right: Operand) -> Operand:
    """Doubles; the sum may not be finite."""
    return left[0] + right[0], _either(left[1], right[1])


def subtract(left: Operand, right: Operand) -> Operand:
    """Doubles; the difference may not be finite."""
    return left[0] - right[0], _either(left[1], right[1])


def multiply(left: Operand, right: Operand) -> Operand:
    """Doubles; the product may not be finite."""
    return left[0] * right[0], _either(left[1], right[1])


def divide(left: Operand, right: Operand) -> Operand:
    """Doubles; what is divided by zero is missing."""
    return finite((left[0] / right[0], _either(left[1], right[1])))


def add_int(left: Operand, right: Operand) -> Operand:
    """Ints; a sum beyond 64 bits is missing."""
    (a, _), (b, _) = left, right
    total = a + b
    return _without(total, ((a ^ total) & (b ^ total)) < 0, left, right)


def subtract_int(left: Operand, right: Operand) -> Operand:
    """Ints; a difference beyond 64 bits is missing."""
    (a, _), (b, _) = left, right
    difference = a - b
    return _without(difference, ((a ^ b) & (a ^ difference)) < 0, left, right)


def multiply_int(left: Operand, right: Operand) -> Operand:
    """Ints; a product beyond 64 bits is missing."""
    (a, _), (b, _) = left, right
    product = a * b
    # a product that wrapped around is off by 2**64 or more, so it does not divide back to `a`
    trivial = (b == 0) | (b == -1)
    safe = np.where(trivial, 1, b)
    wrapped = ~trivial & (product // safe != a)
    return _without(product, wrapped | ((b == -1) & (a == _INT_MIN)), left, right)


def divide_int(left: Operand, right: Operand) -> Operand:
    """Ints, truncated toward zero; what is divided by zero, or does not fit 64 bits, is missing."""
    (a, _), (b, _) = left, right
    impossible, safe = _indivisible(a, b)
    return _without((a - np.fmod(a, safe)) // safe, impossible, left, right)


def remainder_int(left: Operand, right: Operand) -> Operand:
    """Ints; the remainder of truncated division, with the sign of the left side; by zero it is missing."""
    (a, _), (b, _) = left, right
    impossible, safe = _indivisible(a, b)
    return _without(np.fmod(a, safe), impossible, left, right)


def negate(operand: Operand) -> Operand:
    """Doubles."""
    return -operand[0], operand[1]


def negate_int(operand: Operand) -> Operand:
    """Ints; the lowest has no positive counterpart, which is then missing."""
    return _without(-operand[0], operand[0] == _INT_MIN, operand)


def comparison(compare: np.ufunc) -> Callable[[Operand, Operand], Operand]:
    """Two operands of one type, compared."""

    def run(left: Operand, right: Operand) -> Operand:
        return compare(left[0], right[0]), _either(left[1], right[1])

    return run


def negation(operand: Operand) -> Operand:
    """`!`."""
    return ~operand[0], operand[1]


def conjunction(left: Operand, right: Operand) -> Operand:
    """`&&`: false where either side is false, though the other is missing."""
    (a, no_a), (b, no_b) = left, right
    unknown = _either(no_a, no_b)
    if unknown is None:
        return a & b, None
    false = _known(~a, no_a) | _known(~b, no_b)
    return ~(false | unknown), unknown & ~false


def disjunction(left: Operand, right: Operand) -> Operand:
    """`||`: true where either side is true, though the other is missing."""
    (a, no_a), (b, no_b) = left, right
    unknown = _either(no_a, no_b)
    if unknown is None:
        return a | b, None
    true = _known(a, no_a) | _known(b, no_b)
    return true, unknown & ~true


def conditional(condition: Operand, then: Operand, otherwise: Operand) -> Operand:
    """`?:`: missing where the condition is, or where the branch that it chose is."""
    chosen, unknown = condition
    values = np.where(chosen, then[0], otherwise[0])
    if then[1] is None and otherwise[1] is None:
        return values, unknown
    branch = np.where(chosen, _mask(then), _mask(otherwise))
    return values, _either(unknown, branch)


def membership(items: tuple[object, ...], texts: bool) -> Callable[[Operand], Operand]:
    """`in` a list of literals."""
    if texts:
        known = frozenset(items)

        def among_texts(operand: Operand) -> Operand:
            values = operand[0]
            return np.fromiter(map(known.__contains__, values.tolist()), np.bool_, count=len(values)), operand[1]

        return among_texts
    sought = np.array(items)

    def among(operand: Operand) -> Operand:
        values = operand[0]
        if len(sought) < _SEVERAL:
            return (values[:, None] == sought).any(axis=1), operand[1]
        return np.isin(values, sought), operand[1]

    return among


def size(operand: Operand) -> Operand:
    """The characters of texts."""
    values = operand[0]
    return np.fromiter(map(len, values.tolist()), np.int64, count=len(values)), operand[1]


def text_test(test: Callable[[str, str], bool]) -> Callable[[Operand, Operand], Operand]:
    """A question about two texts, asked by a loop that is not interpreted where `test` is built in."""

    def run(left: Operand, right: Operand) -> Operand:
        (a, _), (b, _) = left, right
        count = max(len(a), len(b)) if len(a) and len(b) else 0
        answers = map(test, _repeated(a, count), _repeated(b, count))
        return np.fromiter(answers, np.bool_, count=count), _either(left[1], right[1])

    return run


starts_with = text_test(str.startswith)
ends_with = text_test(str.endswith)
contains = text_test(operator.contains)


def least(left: Operand, right: Operand) -> Operand:
    """The smaller; missing where either is."""
    return np.minimum(left[0], right[0]), _either(left[1], right[1])


def greatest(left: Operand, right: Operand) -> Operand:
    """The larger; missing where either is."""
    return np.maximum(left[0], right[0]), _either(left[1], right[1])


def to_double(operand: Operand) -> Operand:
    """Of ints; beyond 2**53 the nearest double."""
    return operand[0].astype(np.float64), operand[1]


def to_int(operand: Operand) -> Operand:
    """Of doubles, truncated toward zero; what does not fit 64 bits is missing."""
    values = operand[0]
    outside = ~((values > -(2.0**63)) & (values < 2.0**63))
    return _without(np.where(outside, 0.0, values).astype(np.int64), outside, operand)


def to_seconds(operand: Operand) -> Operand:
    """Of timestamps: whole seconds since 1970."""
    return operand[0] // 1_000_000, operand[1]


def presence(operand: Operand) -> Operand:
    """`has`: where there is a value; never missing itself."""
    return ~_mask(operand), None


def _either(left: Mask | None, right: Mask | None) -> Mask | None:
    if left is None:
        return right
    return left if right is None else left | right


def _mask(operand: Operand) -> Mask:
    return np.zeros(len(operand[0]), dtype=np.bool_) if operand[1] is None else operand[1]


def _known(values: Mask, missing: Mask | None) -> Mask:
    return values if missing is None else values & ~missing


def _without(values: npt.NDArray[Any], bad: Mask, *operands: Operand) -> Operand:
    missing: Mask | None = None
    for operand in operands:
        missing = _either(missing, operand[1])
    return values, _either(missing, bad) if np.count_nonzero(bad) else missing


def _indivisible(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> tuple[Mask, npt.NDArray[np.int64]]:
    impossible = (b == 0) | ((b == -1) & (a == _INT_MIN))
    return impossible, np.where(impossible, 1, b)


def _repeated(values: npt.NDArray[Any], count: int) -> Iterable[Any]:
    return values.tolist() if len(values) == count else repeat(values[0], count)
