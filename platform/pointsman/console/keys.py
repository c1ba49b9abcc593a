"""API keys: list, make, rotate, revoke. A key's text is in the answer that makes it and nowhere else."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from pointsman.console.asking import Asked, Refused, Short, TheStore
from pointsman.console.store import now
from pointsman.governance import keys
from pointsman.governance.access import Role

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class NewKey(Asked):
    """The key's name, whose it will be (default: the name), what for, and until when."""

    name: Short
    subject: Short | None = None
    role: Role
    expires_at: AwareDatetime | None = None


class Rotation(Asked):
    """How long the key before is to open beside its successor."""

    overlap_seconds: int = Field(default=86_400, ge=0, le=30 * 86_400)


@router.get("", summary="All keys, without their text")
def page(store: TheStore) -> dict[str, Any]:
    """Oldest first, the revoked and expired ones too."""
    with store.connection() as connection:
        return {"items": [asdict(each) for each in keys.all_keys(connection).values()]}


@router.post("", status_code=201, summary="Make a key")
def make(body: NewKey, store: TheStore) -> dict[str, Any]:
    """The key's text is shown this once."""
    moment = now()
    if body.expires_at is not None and body.expires_at <= moment:
        raise Refused(422, f"expiresAt: {body.expires_at.isoformat()} has passed")
    with store.connection() as connection:
        key, text = keys.make(
            connection, body.name, body.role, expires_at=body.expires_at, now=moment, subject=body.subject
        )
    return {**asdict(key), "key": text}


@router.post("/{name}/rotate", status_code=201, summary="Make a key's successor")
def rotate(name: Short, body: Rotation, store: TheStore) -> dict[str, Any]:
    """A key of the same name, subject and role; the one before it opens for the overlap yet. The text is shown this once."""
    with store.connection() as connection:
        try:
            overlap = timedelta(seconds=body.overlap_seconds)
            key, text, ended = keys.rotate(connection, name, overlap=overlap, now=now())
        except keys.NoSuchKey as error:
            raise Refused(404, f'key: no valid key is called "{name[:80]}"') from error
    return {**asdict(key), "key": text, "ending": [asdict(each) for each in ended]}


@router.delete("/{key}", summary="Revoke a key")
def revoke(key: Short, store: TheStore) -> dict[str, Any]:
    """It opens nothing from two seconds later on."""
    with store.connection() as connection:
        if not keys.revoke(connection, key, now()):
            raise Refused(404, f'key: no valid key has the id "{key[:80]}"')
    return {"revoked": key}
