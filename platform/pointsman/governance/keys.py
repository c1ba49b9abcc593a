"""API keys: 256 random bits, shown once, kept as SHA-256. Two keys of one name may be valid side by side, for rotation.

Who holds a key is its subject: a person is one, whatever keys they hold. Leases, verdicts and measures go by it.

A key is random, so a plain digest protects it: there is nothing to guess, and argon2 would cost 131 ms a request.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import TupleRow

from pointsman.governance.access import Role

Connection = psycopg.Connection[TupleRow]

PREFIX = "pm_"
SELECT = "SELECT key_id, name, subject, role, digest, created_at, expires_at, revoked_at FROM api_keys"
EXPIRE = "UPDATE api_keys SET expires_at = least(expires_at, %s) WHERE key_id = %s"


@dataclass(frozen=True, kw_only=True)
class Key:
    """What is known of a key; the key itself is not."""

    key_id: str
    name: str
    subject: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether the key opens anything at this moment."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def digest_of(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).digest()


class NoSuchKey(LookupError):
    """No valid key has the name."""


def make(
    connection: Connection,
    name: str,
    role: Role,
    *,
    expires_at: datetime | None,
    now: datetime,
    subject: str | None = None,
) -> tuple[Key, str]:
    """A new key, and its text: the only time that it is seen. Its subject is its name unless it is said."""
    text = PREFIX + secrets.token_urlsafe(32)
    return _keep(connection, name, subject or name, role, text, expires_at=expires_at, now=now), text


def rotate(connection: Connection, name: str, *, overlap: timedelta, now: datetime) -> tuple[Key, str, list[Key]]:
    """A new key as the newest valid one of this name, its text, and the older ones, which now end.

    The newest of them stays valid for `overlap`, any before it for no longer: of a name at most two keys open anything. A
    key that was to expire is followed by one that expires as long after it was made. Raises NoSuchKey.
    """
    with connection.transaction():
        rows = connection.execute(
            f"{SELECT} WHERE name = %s ORDER BY created_at, key_id FOR UPDATE", (name,)
        ).fetchall()
        valid = [each for each in map(_key, rows) if each.is_valid(now)]
        if not valid:
            raise NoSuchKey(name)
        newest = valid[-1]
        for each in valid:
            ends = now + overlap if each is newest else now
            connection.execute(EXPIRE, (ends, each.key_id))
        lasts = None if newest.expires_at is None else newest.expires_at - newest.created_at
        expires_at = None if lasts is None else now + lasts
        made, text = make(connection, name, newest.role, expires_at=expires_at, now=now, subject=newest.subject)
        ended = [each for each in all_keys(connection).values() if each.key_id in {old.key_id for old in valid}]
    return made, text, ended


def make_known(connection: Connection, name: str, role: Role, text: str, *, now: datetime) -> Key:
    """The key with this text, which somebody else has chosen by chance; kept where it is not known yet.

    One that was revoked stays revoked.
    """
    return _keep(connection, name, name, role, text, expires_at=None, now=now)


def _keep(
    connection: Connection,
    name: str,
    subject: str,
    role: Role,
    text: str,
    *,
    expires_at: datetime | None,
    now: datetime,
) -> Key:
    with connection.transaction():
        connection.execute(
            "INSERT INTO api_keys (key_id, name, subject, role, digest, created_at, expires_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (digest) DO NOTHING",
            (secrets.token_hex(4), name, subject, role.value, digest_of(text), now, expires_at),
        )
        return _key(connection.execute(f"{SELECT} WHERE digest = %s", (digest_of(text),)).fetchall()[0])


def revoke(connection: Connection, key_id: str, now: datetime) -> bool:
    """End a key; return whether there was one that had not ended."""
    with connection.transaction():
        done = connection.execute(
            "UPDATE api_keys SET revoked_at = %s WHERE key_id = %s AND revoked_at IS NULL", (now, key_id)
        )
    return done.rowcount == 1


def all_keys(connection: Connection) -> dict[bytes, Key]:
    """Every key by its digest, oldest first."""
    with connection.transaction():
        rows = connection.execute(f"{SELECT} ORDER BY created_at, key_id").fetchall()
    return {bytes(row[4]): _key(row) for row in rows}


def _key(row: TupleRow) -> Key:
    key_id, name, subject, role, _, created_at, expires_at, revoked_at = row
    return Key(
        key_id=key_id,
        name=name,
        subject=subject,
        role=Role(role),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
