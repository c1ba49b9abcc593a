"""API keys: list, make, revoke. A key's text is in the answer that makes it and nowhere else."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import AwareDatetime

from pointsman.console.asking import Asked, Refused, Short, TheStore
from pointsman.console.store import now
from pointsman.governance import keys
from pointsman.governance.access import Role

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class NewKey(Asked):
    """Whose key it will be, what for, and until when."""

    name: Short
    role: Role
    expires_at: AwareDatetime | None = None


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
        key, text = keys.make(connection, body.name, body.role, expires_at=body.expires_at, now=moment)
    return {**asdict(key), "key": text}


@router.delete("/{key}", summary="Revoke a key")
def revoke(key: Short, store: TheStore) -> dict[str, Any]:
    """It opens nothing from two seconds later on."""
    with store.connection() as connection:
        if not keys.revoke(connection, key, now()):
            raise Refused(404, f'key: no valid key has the id "{key[:80]}"')
    return {"revoked": key}
