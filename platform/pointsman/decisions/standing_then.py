"""How a decision's band stood to its certificates when it was decided, made again from what the store held then.

What was stored, taken back or revoked since does not count. A host looks once a second: of what changed in the second before
a decision its own reasons tell.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg.rows import tuple_row

from pointsman.certificates.document import SignedCertificate
from pointsman.certificates.promise import promises
from pointsman.certificates.report import BandReport
from pointsman.certificates.standing import Demotion, Known, stand
from pointsman.graphs.resolve import ResolvedGraph

STORED = """
SELECT c.body FROM certificates c JOIN ledger l ON l.ref = c.certificate_id AND l.kind = 'certificate'
WHERE c.graph_uid = %(graph)s AND c.issued_at <= %(at)s
    AND l.index < (SELECT index FROM ledger WHERE ref = %(decision)s AND kind = 'decision') ORDER BY c.seq
"""
KEYS = """
SELECT key_id, public_key FROM certificate_keys WHERE added_at <= %(at)s AND (revoked_at IS NULL OR revoked_at > %(at)s)
"""
DEMOTED = """
SELECT band, segment, at, author, comment FROM (
    SELECT DISTINCT ON (band, segment) * FROM certificate_events WHERE graph_uid = %(graph)s AND at <= %(at)s
    ORDER BY band, segment, seq DESC) latest
WHERE change = 'demoted' ORDER BY seq
"""


def standing_then(
    connection: psycopg.Connection, resolved: ResolvedGraph, decision_id: UUID, band: str | None, at: datetime
) -> list[BandReport]:
    """What was said of the band's certificates, or of those of its segments; nothing of a band that promises nothing."""
    asked = {"graph": resolved.graph_uid, "decision": decision_id, "at": at}
    with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        keys = {
            name: Ed25519PublicKey.from_public_bytes(bytes(raw)) for name, raw in cursor.execute(KEYS, asked).fetchall()
        }
        stored = [
            SignedCertificate.model_validate_json(bytes(body)) for (body,) in cursor.execute(STORED, asked).fetchall()
        ]
        demoted = cursor.execute(DEMOTED, asked).fetchall()
    known = Known(
        certificates=[each.certificate for each in stored if each.is_signed_by(keys)],
        demotions=[
            Demotion(band=name, segment=segment, at=moment, author=author, comment=comment)
            for name, segment, moment, author, comment in demoted
        ],
        refused=tuple(each.certificate.band for each in stored if not each.is_signed_by(keys)),
    )
    return [each for each in stand(promises(resolved), known, at).reports if each.band == band]
