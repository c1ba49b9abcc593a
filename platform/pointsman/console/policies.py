"""The policies in force."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from pointsman.console.asking import TheCaller
from pointsman.governance.policies import DEFAULT, SCHEMA

router = APIRouter(prefix="/v1/policies", tags=["policies"])


@router.get("", summary="Who may do what: the Cedar policies in force, and what they may speak of")
def show(caller: TheCaller) -> dict[str, Any]:
    """The platform's owner changes them where the platform is configured, not here."""
    text = caller.policies.text
    return {"policies": text, "schema": SCHEMA, "areDefault": text == DEFAULT}
