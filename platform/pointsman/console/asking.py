"""What routes share of HTTP: who asks, cursors, and bodies that refuse what they do not know."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from pointsman.console.metrics import Verdicts
from pointsman.console.store import Store
from pointsman.governance.keyring import Caller

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]
Short = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Query(ge=1, le=500, description="The most items of a page.")]
After = Annotated[str | None, Query(max_length=1000, description='"next" of the page before.')]
ReviewState = Literal["open", "decided", "expired"]


class Refused(Exception):
    """A request that gets a 4xx or 503 with this message."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class Asked(BaseModel):
    """A request's body: camelCase, and nothing that is not known."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


def store_of(request: Request) -> Store:
    """The API's store."""
    store: Store = request.app.state.store
    return store


def verdicts_of(request: Request) -> Verdicts:
    """What counts the API's verdicts."""
    verdicts: Verdicts = request.app.state.verdicts
    return verdicts


def caller_of(request: Request) -> Caller:
    """Who calls; the gate has put it there."""
    caller: Caller = request.state.caller
    return caller


TheStore = Annotated[Store, Depends(store_of)]
TheVerdicts = Annotated[Verdicts, Depends(verdicts_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]


def cursor(*values: object) -> str:
    """Where the next page begins, as text that nobody needs to read."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def read_cursor(text: str, *types: type) -> list[Any]:
    """What `cursor` was made of. Raises Refused."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, orjson.JSONDecodeError) as error:
        raise Refused(400, 'cursor: give "next" of the page before, unchanged') from error
    if not isinstance(values, list) or [type(each) for each in values] != list(types):
        raise Refused(400, 'cursor: give "next" of the page before, unchanged')
    return values
