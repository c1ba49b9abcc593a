"""Counts labels by band and source: what people are told of how far a graph is labelled. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pointsman.labels.assemble import Assembled, Items


def counted(items: Items, known: Assembled) -> dict[str, Any]:
    """How many labels count, by band (None: no score) and source, and how many items they stand for."""
    numbers = np.ones(len(items), dtype=np.int64) if items.numbers is None else items.numbers
    bands = items.bands[known.rows].tolist()
    counts, true, weights = Counter[tuple[str | None, str]](), Counter[tuple[str | None, str]](), dict[Any, float]()
    columns = (known.sources.tolist(), known.labels.tolist(), known.weights.tolist(), numbers[known.rows].tolist())
    for band, source, label, weight, number in zip(bands, *columns, strict=True):
        counts[band, source] += number
        true[band, source] += number * label
        weights[band, source] = weights.get((band, source), 0.0) + number * weight
    return {
        "decisions": int(numbers.sum()),
        "labelled": counts.total(),
        "waiting": known.waiting,
        "setAside": known.set_aside,
        "items": [
            {
                "band": band,
                "source": source,
                "labels": number,
                "true": true[band, source],
                "false": number - true[band, source],
                "standFor": round(weights[band, source]),
            }
            for (band, source), number in sorted(counts.items(), key=lambda each: (each[0][0] or "", each[0][1]))
        ],
    }
