"""Certifies the demo's bands before anything is decided, on labelled history that its models have not learned from.

What is certified are the thresholds that the example states; nothing is chosen on these days, nor on the streamed ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

import numpy as np
import orjson
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg.rows import TupleRow

from pointsman.certificate_files import read_private_key, write_new_key
from pointsman.certificates.certify import Outcome, certify
from pointsman.certificates.document import SignedCertificate
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.promise import promises
from pointsman.certificates.statement import Terms, statements
from pointsman.decisions.certificate_store import add_key, issue
from pointsman.demo.dataset import event_columns
from pointsman.demo.transactions import Transactions, as_json_lines
from pointsman.graphs.identity import decision_ids
from pointsman.library import GraphLibrary
from pointsman.local.home import Home
from pointsman.local.postgres import PostgresServer
from pointsman.store.database import OWNER_ROLE, connect

ISSUER = "pointsman-demo"
VALID = timedelta(days=90)
AT_ONCE = 5000
PROMISES = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
"""Errors that people promise, each about half of the one before"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a band promises, what was measured of it, and what the next stricter promise would take; shares of 1."""

    band: str
    promise: float
    confidence: float
    certified: bool
    labelled: int
    wrong: int
    bound: float
    next_promise: float
    """the promise itself, where it is not certified"""
    needed: str


@dataclass(frozen=True, kw_only=True)
class Certification:
    """Labelled history and what it says of each band. `until` is when the certificates expire."""

    labelled: Labelled
    outcomes: tuple[Outcome, ...]
    bands: tuple[Measured, ...]
    until: datetime | None = None

    @property
    def certified(self) -> frozenset[str]:
        return frozenset(each.band for each in self.bands if each.certified)


def measure(
    library: GraphLibrary,
    before: Transactions,
    history: Transactions,
    on_scored: Callable[[int], None] = lambda events: None,
) -> Certification:
    """Score the history with a library whose features have seen what came `before`, and test what its bands promise."""
    for at in range(0, len(before), AT_ONCE):
        library.warm_up(event_columns(before.take(slice(at, at + AT_ONCE))))
    truth = dict(zip(history.transaction_id.tolist(), history.fraud.tolist(), strict=True))
    scores = dict[str, float]()
    for at in range(0, len(history), AT_ONCE):
        answers = library.decide([orjson.loads(line) for line in as_json_lines(history, slice(at, at + AT_ONCE))])
        scores |= {each["id"]: each["score"] for each in answers if each["score"] is not None}
        on_scored(len(answers))
    found = Labelled(
        ids=decision_ids(library.graph.resolved.graph_uid, scores),
        scores=np.fromiter(scores.values(), dtype=np.float64),
        labels=np.fromiter((truth[id_] for id_ in scores), dtype=np.bool_),
        propensities=np.ones(len(scores)),
        smallest_propensity=1.0,
    )
    outcomes = tuple(certify(found, promises(library.graph.resolved)))
    return Certification(labelled=found, outcomes=outcomes, bands=tuple(_measured(each, found) for each in outcomes))


def issue_certificates(
    home: Home, connection: psycopg.Connection[TupleRow], library: GraphLibrary, found: Certification, now: datetime
) -> Certification:
    """Sign and store a certificate for each band that is certified, by the home's key, which may sign from then on."""
    key, until = _key(home), now + VALID
    with connect(PostgresServer(home).url("pointsman", OWNER_ROLE)) as owner:
        add_key(owner, key.public_key(), now)
    terms = Terms(issuer=ISSUER, issued=now, expires=until)
    made = statements(found.outcomes, found.labelled, library.graph.resolved, terms, [uuid4() for _ in found.outcomes])
    issue(connection, [SignedCertificate.sign(each, key) for each in made])
    return replace(found, until=until)


def _measured(outcome: Outcome, labelled: Labelled) -> Measured:
    band, test = outcome.band, outcome.test
    following = outcome
    if outcome.certified:
        stricter = next((each for each in PROMISES if each < test.bound), PROMISES[-1])
        (following,) = certify(labelled, [replace(band, alpha=stricter)])
    return Measured(
        band=band.name,
        promise=band.alpha,
        confidence=1 - band.delta,
        certified=outcome.certified,
        labelled=test.labelled,
        wrong=test.wrong,
        bound=test.bound,
        next_promise=following.band.alpha,
        needed=following.what_is_needed(),
    )


def _key(home: Home) -> Ed25519PrivateKey:
    file = home.certificate_key
    return read_private_key(file) if file.exists() else write_new_key(file)
