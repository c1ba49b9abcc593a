"""Occlusion: how far an answer moves when one input is replaced by a baseline, the others staying as they are. Pure.

Unlike Shapley values these need not add up to the answer: inputs that stand in for one another each seem to matter little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Row = Mapping[str, npt.NDArray[Any]]
"""One row: an array for each input, the first dimension being 1."""


def medians(rows: Sequence[Row]) -> dict[str, npt.NDArray[Any]]:
    """The baseline: each element's median over the rows, as a value that occurs among them."""
    names = rows[0].keys()
    together = {name: np.concatenate([each[name] for each in rows]) for name in names}
    return {
        name: np.quantile(array, 0.5, axis=0, keepdims=True, method="lower").astype(array.dtype)
        for name, array in together.items()
    }


def occlusion(answer: Callable[[Row], float], row: Row, baseline: Row) -> tuple[float, dict[str, float]]:
    """The answer to the baseline, and for each input what it adds: the row's answer less that without the input."""
    whole = answer(row)
    return answer(baseline), {name: whole - answer({**row, name: baseline[name]}) for name in row}
