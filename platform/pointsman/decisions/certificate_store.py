"""Band certificates in the decision store: issued by people, demoted by monitors, read by the graph's host every second.

Nothing is updated: a certificate is a row, and so is each time that its band was demoted or re-armed; each is a leaf of the
ledger. Which keys may sign is the owner's to say: the application's role cannot add one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import orjson
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from psycopg.rows import TupleRow

from pointsman.certificates.awaiting import Awaiting, Certified, awaited
from pointsman.certificates.document import SignedCertificate, key_id
from pointsman.certificates.promise import Promised, promises
from pointsman.certificates.standing import Demotion, Known, Standing, stand
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.ledger.append import append_leaves

Connection = psycopg.Connection[TupleRow]

READ_SECONDS = 1.0
"""How often a host looks whether a certificate has come, or was taken back."""
MOST_KEYS = 2
"""Keys that are valid at a time: one, and while keys are changed the next one too."""

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 7300412008))"
LATEST = """
SELECT (SELECT max(seq) FROM certificates WHERE graph_uid = %(graph)s),
       (SELECT max(seq) FROM certificate_events WHERE graph_uid = %(graph)s),
       (SELECT array_agg(key_id ORDER BY key_id) FROM certificate_keys WHERE revoked_at IS NULL)
"""
CERTIFICATES = "SELECT body FROM certificates WHERE graph_uid = %s ORDER BY seq"
KEYS = "SELECT key_id, public_key FROM certificate_keys WHERE revoked_at IS NULL"
DEMOTIONS = """
SELECT band, segment, at, author, comment FROM (
    SELECT DISTINCT ON (band, segment) * FROM certificate_events WHERE graph_uid = %s
    ORDER BY band, segment, seq DESC) latest
WHERE change = 'demoted' ORDER BY seq
"""
ISSUED_SINCE = """
SELECT issuer, author FROM certificates WHERE graph_uid = %s AND band = %s AND (%s::text IS NULL OR segment = %s OR segment IS NULL)
AND issued_at > %s ORDER BY seq DESC LIMIT 1
"""


class CertificateRefused(ValueError):
    """A certificate, key or re-arming that is not accepted, and why."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A certificate as it is stored, and whether a key that is valid now has signed it."""

    signed: SignedCertificate
    is_valid: bool


def add_key(owner: Connection, key: Ed25519PublicKey, now: datetime) -> str:
    """Let this key sign from now on; return its name. The connection is the owner's. The same again changes nothing.

    Raises CertificateRefused where two others are valid.
    """
    with owner.transaction():
        owner.execute("LOCK TABLE certificate_keys IN SHARE ROW EXCLUSIVE MODE")
        others = [name for name in keys(owner) if name != key_id(key)]
        if len(others) >= MOST_KEYS:
            raise CertificateRefused(f"{MOST_KEYS} other keys may sign ({', '.join(others)}): revoke one first")
        owner.execute(
            "INSERT INTO certificate_keys (key_id, public_key, added_at) VALUES (%s, %s, %s) "
            "ON CONFLICT (key_id) DO NOTHING",
            (key_id(key), key.public_bytes_raw(), now),
        )
    return key_id(key)


def revoke_key(owner: Connection, name: str, now: datetime) -> bool:
    """What this key has signed is valid no more; return whether it was. The connection is the owner's."""
    with owner.transaction():
        done = owner.execute(
            "UPDATE certificate_keys SET revoked_at = %s WHERE key_id = %s AND revoked_at IS NULL", (now, name)
        )
        return done.rowcount == 1


def keys(connection: Connection) -> dict[str, Ed25519PublicKey]:
    """The keys that may sign, by name."""
    rows = connection.execute(KEYS).fetchall()
    return {name: Ed25519PublicKey.from_public_bytes(bytes(raw)) for name, raw in rows}


def issue(connection: Connection, signed: Sequence[SignedCertificate], *, author: str | None = None) -> int:
    """Store certificates and return how many are new. They come into effect within a second. `author` brings them in.

    Raises CertificateRefused where one is signed by no valid key, or another one has its id.
    """
    new = 0
    with connection.transaction(), connection.cursor() as cursor:
        known = keys(connection)
        for each in signed:
            of = each.certificate
            if not each.is_signed_by(known):
                raise CertificateRefused(
                    f'certificate {of.id} of band "{of.band}": signed by no key that is valid here'
                )
            body = _body(each)
            cursor.execute(
                "INSERT INTO certificates (certificate_id, graph_uid, band, segment, scorer, issuer, issued_at, expires_at, "
                "body, author) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (certificate_id) DO NOTHING",
                (of.id, of.graph_uid, of.band, None if of.segment is None else of.segment.value, of.scorer, of.issuer)
                + (of.issued, of.expires, body, author),
            )
            if cursor.rowcount:
                new += 1
                append_leaves(connection, "certificate", [of.id.bytes], [body])
                continue
            row = cursor.execute("SELECT body FROM certificates WHERE certificate_id = %s", (of.id,)).fetchone()
            if row is None or bytes(row[0]) != body:
                raise CertificateRefused(f"another certificate has the id {of.id}")
    return new


def entries(connection: Connection, graph_uid: UUID) -> list[Entry]:
    """All certificates of a graph, in the order in which they were stored."""
    with connection.transaction():
        known = keys(connection)
        rows = connection.execute(CERTIFICATES, (graph_uid,)).fetchall()
    found = [SignedCertificate.model_validate_json(bytes(body)) for (body,) in rows]
    return [Entry(signed=each, is_valid=each.is_signed_by(known)) for each in found]


def demote(
    connection: Connection,
    graph_uid: UUID,
    band: str,
    *,
    segment: str | None,
    certificate_id: UUID | None,
    author: str,
    comment: str,
    now: datetime,
) -> UUID:
    """Send a band, or one segment of it, to review from the next batch on; return the event's id."""
    with connection.transaction():
        return _write(connection, graph_uid, band, segment, certificate_id, "demoted", author, comment, now)


def rearm(
    connection: Connection,
    graph_uid: UUID,
    band: str,
    *,
    segment: str | None,
    author: str,
    comment: str,
    now: datetime,
) -> UUID:
    """Take a demotion back, so that a newer certificate counts; return the event's id.

    Raises CertificateRefused where the band is not demoted, has no newer certificate, or `author` has issued that one or
    brought it in.
    """
    with connection.transaction():
        connection.execute(LOCK, (graph_uid,))
        found = [each for each in demotions(connection, graph_uid) if (each.band, each.segment) == (band, segment)]
        name = f'band "{band}"' + ("" if segment is None else f' where the segment is "{segment}"')
        if not found:
            raise CertificateRefused(f"{name} is not demoted")
        asked = (graph_uid, band, segment, segment, found[0].at)
        newest = connection.execute(ISSUED_SINCE, asked).fetchone()
        if newest is None:
            raise CertificateRefused(f"{name} has no certificate since it was demoted: certify it first")
        if author in newest:
            raise CertificateRefused(f'"{author}" has issued the certificate of {name}: a second person re-arms it')
        return _write(connection, graph_uid, band, segment, None, "rearmed", author, comment, now)


def demotions(connection: Connection, graph_uid: UUID) -> list[Demotion]:
    """The bands and segments that are demoted, oldest first."""
    return [
        Demotion(band=band, segment=segment, at=at, author=author, comment=comment)
        for band, segment, at, author, comment in connection.execute(DEMOTIONS, (graph_uid,)).fetchall()
    ]


def known(connection: Connection, graph_uid: UUID) -> Known:
    """All that decides which certificates of a graph are live."""
    found = entries(connection, graph_uid)
    with connection.transaction():
        demoted = demotions(connection, graph_uid)
    return Known(
        certificates=[each.signed.certificate for each in found if each.is_valid],
        demotions=demoted,
        refused=tuple(each.signed.certificate.band for each in found if not each.is_valid),
    )


class CertificateReader:
    """A host's view of its graph's certificates, at most `READ_SECONDS` old while the store answers."""

    def __init__(self, graph_uid: UUID, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph_uid, self._clock = graph_uid, clock
        self._promises: tuple[Promised, ...] = ()
        self._known = Known()
        self._revision: str | None = None
        self._latest: TupleRow | None = None
        self._standing: Standing | None = None
        self._due = 0.0

    @property
    def last(self) -> Standing | None:
        """What was last found; None before the first look."""
        return self._standing

    def read(self, connection: Connection, resolved: ResolvedGraph, now: datetime) -> Standing:
        """What is live for the revision; asks the store where the last look is a second old, and for another revision.

        Raises psycopg.OperationalError.
        """
        standing, news = self._standing, resolved.revision != self._revision
        if news or self._clock() >= self._due:
            latest = connection.execute(LATEST, {"graph": self._graph_uid}).fetchone()
            if latest != self._latest:
                self._known, self._latest, news = known(connection, self._graph_uid), latest, True
            self._due = self._clock() + READ_SECONDS
        if resolved.revision != self._revision:
            self._promises, self._revision = promises(resolved), resolved.revision
        expired = standing is not None and standing.until is not None and now >= standing.until
        if standing is None or news or expired:
            required = resolved.graph.spec.certificates == "Required"
            standing = self._standing = stand(self._promises, self._known, now, required=required)
        return standing

    def certified(self, connection: Connection, resolved: ResolvedGraph, now: datetime) -> Certified:
        """The revision with what is live for it; asks and raises as `read` does."""
        standing = self.read(connection, resolved, now)
        return Certified(resolved=resolved, promises=self._promises, standing=standing)


class Gate:
    """Whether a revision of a graph takes over from the one that serves, as the store stands, at most `READ_SECONDS` ago."""

    def __init__(self, graph_uid: UUID) -> None:
        self._serving, self._candidate = CertificateReader(graph_uid), CertificateReader(graph_uid)

    def awaited(
        self, connection: Connection, serving: ResolvedGraph, candidate: ResolvedGraph, now: datetime
    ) -> Awaiting | None:
        """What the candidate waits for; None where it takes over at once. Raises psycopg.OperationalError."""
        return awaited(
            self._serving.certified(connection, serving, now), self._candidate.certified(connection, candidate, now)
        )


def _body(signed: SignedCertificate) -> bytes:
    """The stored bytes, to which the ledger commits."""
    said = signed.model_dump(mode="json", by_alias=True, exclude_none=True)
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def _write(
    connection: Connection,
    graph_uid: UUID,
    band: str,
    segment: str | None,
    certificate_id: UUID | None,
    change: str,
    author: str,
    comment: str,
    now: datetime,
) -> UUID:
    event_id = uuid4()
    body = orjson.dumps(
        {
            "version": 1,
            "change": change,
            "id": str(event_id),
            "graph": str(graph_uid),
            "band": band,
            "segment": segment,
            "certificate": None if certificate_id is None else str(certificate_id),
            "author": author,
            "comment": comment,
            "at": now.isoformat(),
        },
        option=orjson.OPT_SORT_KEYS,
    )
    connection.execute(
        "INSERT INTO certificate_events (event_id, graph_uid, band, segment, certificate_id, change, author, comment, at, "
        "body) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (event_id, graph_uid, band, segment, certificate_id, change, author, comment, now, body),
    )
    append_leaves(connection, "certificateEvent", [event_id.bytes], [body])
    return event_id
