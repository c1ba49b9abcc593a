"""Identities: the same on every retry, on every host and in every replay."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import UUID

import orjson


def canonical(event: object) -> bytes:
    """The bytes of an event that are stored and digested: JSON with sorted keys."""
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def digest(body: bytes) -> bytes:
    """SHA-256 of stored bytes, 32 bytes."""
    return hashlib.sha256(body).digest()


def decision_ids(graph_uid: UUID, event_ids: Iterable[str]) -> list[bytes]:
    """The first 128 bits of SHA-256(graph uid ‖ event id), one for each event: a UUID's bytes."""
    prefix, sha = graph_uid.bytes, hashlib.sha256
    return [sha(prefix + event_id.encode()).digest()[:16] for event_id in event_ids]


def uuid_text(raw: bytes) -> str:
    """A UUID's 16 bytes as it is written."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def action_id(decision_id: bytes, action: str) -> UUID:
    """The first 128 bits of SHA-256(decision id ‖ action name): the key a target sees on every attempt."""
    return UUID(bytes=hashlib.sha256(decision_id + action.encode()).digest()[:16])


def dead_letter_id(graph_uid: UUID, source: str, name: str, event_digest: bytes) -> UUID:
    """A dead letter is named by where it came from and what it held, so that a re-sent one is the same one."""
    return UUID(bytes=hashlib.sha256(graph_uid.bytes + f"{source}\0{name}\0".encode() + event_digest).digest()[:16])
