"""Exact Shapley values of a tree ensemble: path-dependent TreeSHAP, over all leaves at once. Pure.

The game is that of Lundberg, Erion and Lee, "Consistent Individualized Feature Attribution for Tree Ensembles" (2018): a
feature that is not known follows both branches of its splits, weighted by how much of the background went each way.

A leaf pays its value times, over the features j on its path, o_j where j is known (1 where the row agrees with all splits
on it, else 0) and z_j where it is not (the product of its branches' shares). Such a product's Shapley value for j is
(o_j - z_j) times the integral over t in [0, 1] of the product over the others of z_k (1 - t) + o_k t: Owen's multilinear
extension (1972). That is a polynomial, which Gauss-Legendre quadrature of enough points integrates exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

LESS_OR_EQUAL, LESS, GREATER_OR_EQUAL, GREATER, EQUAL, NOT_EQUAL, LEAF = range(7)


@dataclass(frozen=True, kw_only=True)
class Trees:
    """An ensemble, node by node; a node's children stand after it. `value` counts at leaves alone.

    The row's value goes to `when_true` where it compares so with the threshold, as float32, or is missing and
    `missing_is_true`. `parent` is -1 at a root.
    """

    feature: Ints
    mode: Ints
    threshold: npt.NDArray[np.float32]
    missing_is_true: Mask
    when_true: Ints
    when_false: Ints
    parent: Ints
    value: Floats
    base: float

    @cached_property
    def leaves(self) -> Ints:
        """The leaves' positions."""
        return np.flatnonzero(self.mode == LEAF)

    @cached_property
    def paths(self) -> _Paths:
        """The splits above each leaf."""
        return _paths(self)

    def decisions(self, rows: npt.NDArray[np.float32]) -> Mask:
        """Rows by nodes: whether the row goes to `when_true` there; at leaves it says nothing."""
        value = rows[:, self.feature]
        found = np.zeros(value.shape, dtype=np.bool_)
        for mode, compare in (
            (LESS_OR_EQUAL, np.less_equal),
            (LESS, np.less),
            (GREATER_OR_EQUAL, np.greater_equal),
            (GREATER, np.greater),
            (EQUAL, np.equal),
            (NOT_EQUAL, np.not_equal),
        ):
            at = self.mode == mode
            if at.any():
                found[:, at] = compare(value[:, at], self.threshold[at])
        return np.where(np.isnan(value), self.missing_is_true, found)

    def reached(self, rows: npt.NDArray[np.float32]) -> Mask:
        """Rows by nodes: whether the row comes there."""
        goes = self.decisions(rows)
        reached = np.empty(goes.shape, dtype=np.bool_)
        for node, above in enumerate(self.parent.tolist()):
            if above < 0:
                reached[:, node] = True
            else:
                taken = goes[:, above] if self.when_true[above] == node else ~goes[:, above]
                reached[:, node] = reached[:, above] & taken
        return reached

    def predict(self, rows: npt.NDArray[np.float32]) -> Floats:
        """What the ensemble gives, before any link."""
        return self.base + self.reached(rows)[:, self.leaves] @ self.value[self.leaves]


@dataclass(frozen=True, kw_only=True)
class _Paths:
    """One entry for each split above each leaf; of one leaf, splits on one feature share a slot."""

    leaf: Ints
    slot: Ints
    node: Ints
    to: Ints
    is_true: Mask
    features: Ints
    """leaves by slots; -1 where a leaf has fewer features than the most"""


def _paths(trees: Trees) -> _Paths:
    splits = list[tuple[int, int, int, int]]()
    slots_of = list[dict[int, int]]()
    for at, leaf in enumerate(trees.leaves.tolist()):
        node, slots = leaf, dict[int, int]()
        while (above := int(trees.parent[node])) >= 0:
            splits.append((at, slots.setdefault(int(trees.feature[above]), len(slots)), above, node))
            node = above
        slots_of.append(slots)
    features = np.full((len(slots_of), max(map(len, slots_of), default=0)), -1, dtype=np.intp)
    for at, slots in enumerate(slots_of):
        features[at, : len(slots)] = list(slots)
    leaf, slot, above_, to = np.array(splits, dtype=np.intp).reshape(-1, 4).T
    return _Paths(leaf=leaf, slot=slot, node=above_, to=to, is_true=trees.when_true[above_] == to, features=features)


def shares(trees: Trees, background: npt.NDArray[np.float32]) -> Floats:
    """For each node, the share of the background that went there of all that came to its parent; 1 at roots.

    Where none came to the parent both branches have a half.
    """
    count = trees.reached(background).sum(axis=0).astype(np.float64)
    above = count[trees.parent]
    share = np.where(above > 0, count / np.maximum(above, 1), 0.5)
    return np.where(trees.parent < 0, 1.0, share)


def shapley(trees: Trees, row: npt.NDArray[np.float32], share: Floats) -> tuple[float, Floats]:
    """The expected value where nothing is known, and each feature's part of the way from there to the row's value.

    `row` holds all features of the ensemble's input; expected value and parts add up to what `predict` gives.
    """
    paths, values = trees.paths, trees.value[trees.leaves]
    known, unknown = np.ones(paths.features.shape), np.ones(paths.features.shape)
    goes = trees.decisions(row[None, :])[0]
    np.minimum.at(known, (paths.leaf, paths.slot), (goes[paths.node] == paths.is_true).astype(np.float64))
    np.multiply.at(unknown, (paths.leaf, paths.slot), share[paths.to])
    expected = trees.base + float(values @ unknown.prod(axis=1))
    parts = np.zeros(len(row))
    pays = ((known > 0) | (unknown > 0)).all(axis=1)  # elsewhere the leaf pays nothing, whatever is known
    known, unknown, features = known[pays], unknown[pays], paths.features[pays]
    points, weights = np.polynomial.legendre.leggauss(paths.features.shape[1] // 2 + 1)
    integral = np.zeros(known.shape)
    for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
        factor = unknown * (1 - t) + known * t
        integral += weight * factor.prod(axis=1, keepdims=True) / factor
    part = values[pays, None] * (known - unknown) * integral
    real = features >= 0
    np.add.at(parts, features[real], part[real])
    return expected, parts
