"""Generated transactions with the scores that a graph gives them. Used by the measurements beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from pointsman.certificates.certify import Outcome, certify_on
from pointsman.certificates.choose import choose, propose
from pointsman.certificates.costs import Scales
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.promise import Promised
from pointsman.demo.dataset import event_columns
from pointsman.demo.generator import Transactions
from pointsman.graphs.decide import GraphState, evaluate
from pointsman.library import GraphLibrary

BATCH = 5_000

Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def scored(library: GraphLibrary, transactions: Transactions) -> tuple[Doubles, Mask]:
    """The score of each, NaN where it has none, and whether a person sees it whatever its score.

    All are accepted ones in order of arrival; features have seen nothing before.
    """
    graph, state, now = library.graph, GraphState(library.graph.views), datetime.now(UTC)
    columns = event_columns(transactions)
    scores, always = np.empty(len(transactions)), np.zeros(len(transactions), dtype=np.bool_)
    for at in range(0, len(transactions), BATCH):
        rows = slice(at, at + BATCH)
        batch = {name: column.take(rows) for name, column in columns.items()}
        found = evaluate(graph, batch, state, library.ports, now=now)
        scores[rows] = found.score
        for _, mask in found.why:
            always[rows] |= mask
        state.commit()
    return scores, always | np.isnan(scores)


def certified(choosing: Labelled, testing: Labelled, bands: Sequence[Promised]) -> list[Outcome]:
    """What `certify --choose` finds, where all that counts is how much people look at."""
    scales = Scales.plain(choosing)
    proposed = propose(scales, bands)
    return choose(certify_on(testing, bands, proposed.by_band()), proposed, scales)[1]
