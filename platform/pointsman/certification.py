"""Tests what the bands of a graph promise, and says what may be signed: the same for commands and for the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

from pointsman.certificates.certify import Outcome, certify
from pointsman.certificates.choose import Choice
from pointsman.certificates.costs import Wanted
from pointsman.certificates.document import BandCertificate
from pointsman.certificates.promise import promises
from pointsman.certificates.shown import chosen, shown
from pointsman.certificates.statement import Terms, statements
from pointsman.certifying import Anew, CannotCertify, Joined
from pointsman.choosing import choose_and_certify
from pointsman.graphs.resolve import ResolvedGraph

Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True, kw_only=True)
class Certification:
    """What became of each band, and the certificates of those that keep their promise, to be signed."""

    resolved: ResolvedGraph
    joined: Joined
    outcomes: Sequence[Outcome]
    choice: Choice | None
    statements: Sequence[BandCertificate]

    def document(self) -> dict[str, Any]:
        """As it is told, in JSON: `bands`, `choice` where thresholds were looked for, `leftOut`, `statements` to be signed."""
        said: dict[str, Any] = {
            "bands": [shown(each, self.joined.days) for each in self.outcomes],
            "statements": [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in self.statements],
            "leftOut": {"withoutDecision": self.joined.unknown, "ofAnotherScorer": self.joined.other_scorer},
        }
        return said if self.choice is None else {**said, "choice": chosen(self.choice, self.resolved)}


def certification(
    joined: Joined,
    resolved: ResolvedGraph,
    terms: Terms,
    *,
    wanted: Wanted | None = None,
    connection: Connection | None = None,
    other: Anew | None = None,
) -> Certification:
    """Test the bands; `wanted` has other thresholds looked for too, by the decisions of a store where there is a connection.

    `other` scores recorded decisions anew, where the labelled ones were. Raises CannotCertify, WeightsOutOfBounds.
    """
    bands = promises(resolved)
    if not bands:
        raise CannotCertify(f'no automatic band of graph "{resolved.graph.name}" has a promise')
    choice: Choice | None = None
    if wanted is None:
        outcomes = certify(joined.labelled, bands)
    else:
        choice, outcomes = choose_and_certify(connection, resolved, joined, bands, wanted, other=other)
    made = statements(outcomes, joined.labelled, resolved, terms, [uuid4() for _ in outcomes])
    return Certification(resolved=resolved, joined=joined, outcomes=outcomes, choice=choice, statements=made)
