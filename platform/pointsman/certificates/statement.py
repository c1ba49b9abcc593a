"""What a certified outcome becomes: the certificate's content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pointsman.certificates.certify import Outcome
from pointsman.certificates.document import BandCertificate, Segment
from pointsman.certificates.labelled import Labelled
from pointsman.graphs.resolve import ResolvedGraph


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Who issues, when, and until when it holds."""

    issuer: str
    issued: datetime
    expires: datetime


def statements(
    outcomes: Sequence[Outcome], labelled: Labelled, resolved: ResolvedGraph, terms: Terms, ids: Sequence[UUID]
) -> list[BandCertificate]:
    """One certificate for each outcome that is certified; `ids` are fresh, one for each outcome."""
    data = labelled.digest()
    return [
        _statement(each, labelled, resolved, terms, id_, data)
        for each, id_ in zip(outcomes, ids, strict=True)
        if each.certified
    ]


def _statement(
    outcome: Outcome, labelled: Labelled, resolved: ResolvedGraph, terms: Terms, id_: UUID, data: str
) -> BandCertificate:
    band, test = outcome.band, outcome.test
    digest = band.digest_with(test.low, test.high)
    segment = None
    if outcome.segment is not None and labelled.segment_field is not None:
        segment = Segment(field=labelled.segment_field, value=outcome.segment)
    return BandCertificate(
        id=id_,
        graph=resolved.graph.name,
        graph_uid=resolved.graph_uid,
        band=band.name,
        segment=segment,
        outcome=band.outcome,
        promises=band.label,
        at_least=test.low if math.isfinite(test.low) else None,
        below=test.high if math.isfinite(test.high) else None,
        alpha=band.alpha,
        delta=band.delta,
        wrong=test.wrong,
        labelled=test.labelled,
        bound=test.bound,
        p_value=test.p_value,
        candidates=outcome.candidates,
        method=outcome.method,
        smallest_propensity=labelled.smallest_propensity if outcome.method == "Betting" else None,
        population=outcome.population,
        scorer=digest.value,
        scorer_parts=digest.parts,
        data=data,
        issued=terms.issued,
        expires=terms.expires,
        issuer=terms.issuer,
    )
