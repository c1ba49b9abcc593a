"""Lists of a graph: what stands in them, and who changes them. In effect with the next batch, a second later at most."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from pointsman.console.asking import Asked, Refused, Short, TheCaller, TheStore
from pointsman.console.store import Graph, now
from pointsman.decisions import list_store

router = APIRouter(prefix="/v1/graphs/{graph}/lists", tags=["lists"])


class Entry(Asked):
    """A value for a list: until when, and why."""

    value: Short
    comment: str = Field(default="", max_length=2000, pattern=r"^[^\x00]*$")
    expires_at: AwareDatetime | None = None


@router.get("", summary="What stands in a graph's lists")
def show(
    graph: Short, store: TheStore, name: Annotated[Short | None, Query(description="Only this list.")] = None
) -> dict[str, Any]:
    """Every list of the graph with its entries."""
    found = store.graph(graph)
    declared = _declared(found)
    if name is not None:
        _check(found, name)
    with store.connection() as connection:
        entries = list_store.current(connection, found.uid, now(), name)
    return {
        "lists": [
            {"name": list_, "type": type_, "entries": [_shown(each) for each in entries if each.list == list_]}
            for list_, type_ in declared.items()
            if name in (None, list_)
        ]
    }


@router.post("/{name}", summary="Put a value in a list")
def add(graph: Short, name: Short, body: Entry, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """The same again changes nothing; another expiry or comment replaces the entry."""
    found = store.graph(graph)
    _check(found, name)
    with store.connection() as connection:
        try:
            listed, changed = list_store.add(
                connection,
                found.uid,
                name,
                body.value,
                author=caller.subject,
                comment=body.comment,
                expires_at=body.expires_at,
                now=now(),
            )
        except list_store.InvalidEntry as error:
            raise Refused(422, str(error)) from error
    return {**_shown(listed), "list": name, "changed": changed}


@router.delete("/{name}", summary="Take a value out of a list")
def remove(
    graph: Short,
    name: Short,
    value: Annotated[Short, Query(description="The value.")],
    store: TheStore,
    caller: TheCaller,
    comment: Annotated[str, Query(max_length=2000, pattern=r"^[^\x00]*$", description="Why.")] = "",
) -> dict[str, Any]:
    """404 where it does not stand there."""
    found = store.graph(graph)
    _check(found, name)
    with store.connection() as connection:
        gone = list_store.remove(connection, found.uid, name, value, author=caller.subject, comment=comment, now=now())
    if not gone:
        raise Refused(404, f'value: "{value[:80]}" does not stand in "{name}"')
    return {"list": name, "value": value, "changed": True}


def _declared(graph: Graph) -> dict[str, str]:
    return {each.name: each.type for node in graph.document.spec.nodes for each in node.lists or ()}


def _check(graph: Graph, name: str) -> None:
    declared = _declared(graph)
    if name not in declared:
        known = ", ".join(sorted(declared)) or "none: give it a node of type Lists"
        raise Refused(404, f'name: graph "{graph.name}" has no list "{name[:80]}"; it has {known}')


def _shown(listed: list_store.Listed) -> dict[str, Any]:
    entry, added = listed.entry, listed.added_at
    moments: dict[str, datetime | None] = {"addedAt": added, "expiresAt": entry.expires_at}
    return {"entry": entry.entry_id, "value": entry.value, "author": entry.author, "comment": entry.comment, **moments}
