"""Certificates for tests in which a graph is to act by itself: certified on labels of which none is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointsman.certificates.certify import certify
from pointsman.certificates.document import SignedCertificate
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.promise import promises
from pointsman.certificates.statement import Terms, statements
from pointsman.decisions.certificate_store import add_key, issue
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BENIGN, FRAUDS = 8000, 1000
"""Enough for bands that promise 0.1 % and 1 %: half of them test"""


def certify_bands(resolved: ResolvedGraph, store_url: str, owner_url: str) -> None:
    """Let every automatic band of a revision act, by a key that may sign from now on; a host knows within a second."""
    now = datetime.now(UTC)
    labels = np.arange(BENIGN + FRAUDS) >= BENIGN
    ids = [at.to_bytes(16, "big") for at in range(len(labels))]
    labelled = Labelled(ids=ids, scores=labels.astype(np.float64), labels=labels)
    outcomes = certify(labelled, promises(resolved))
    terms = Terms(issuer="tests", issued=now, expires=now + timedelta(days=90))
    made = statements(outcomes, labelled, resolved, terms, [uuid4() for _ in outcomes])
    assert len(made) == len(outcomes)
    with connect(owner_url) as owner:
        add_key(owner, KEY.public_key(), now)
    with connect(store_url) as connection:
        issue(connection, [SignedCertificate.sign(each, KEY) for each in made])
