"""Labels of a graph's decisions: what is stored, how many count, importing ground truth, and a set for retraining."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from pointsman.console.asking import After, Asked, Limit, Refused, Short, TheCaller, TheStore, cursor, read_cursor
from pointsman.console.store import Graph, now
from pointsman.decisions.queries import recorded_revision
from pointsman.labels import read, store
from pointsman.labels.counts import counted
from pointsman.labels.importing import Truth

router = APIRouter(prefix="/v1/graphs/{graph}/labels", tags=["labels"])

MOST_AT_ONCE = 5000
SET_SIZE = 1000


class OneLabel(Asked):
    """What is known of an event. Without `knownAt` it is known from now on."""

    event: Short
    label: bool
    known_at: AwareDatetime | None = None


class Batch(Asked):
    """Ground truth for at most 5,000 events. `propensity` says how probable it was for each event of the graph to be in it,
    whatever its label; left out, that is not known. `replace` lets a label take the place of one that says the opposite.
    """

    labels: list[OneLabel] = Field(min_length=1, max_length=MOST_AT_ONCE)
    source: str = Field(default="", max_length=256, pattern=r"^[^\x00]*$")
    propensity: float | None = Field(default=None, gt=0, le=1)
    replace: bool = False


@router.get("", summary="Stored labels, the newest first")
def page(
    graph: Short,
    store_: TheStore,
    source: Annotated[Literal["Verdict", "Import"] | None, Query(description="Only labels of this source.")] = None,
    limit: Limit = 100,
    cursor_: Annotated[After, Query(alias="cursor")] = None,
) -> dict[str, Any]:
    """Those of silence are not stored: they follow from the passing of time, and are counted."""
    after = _position(cursor_)
    found = store_.graph(graph)
    with store_.connection() as connection:
        items = store.newest(connection, found.uid, source=source, after=after, limit=limit)
    return {"items": items, "next": cursor(items[-1]["seq"]) if len(items) == limit else None}


@router.post("", summary="Import ground truth")
def import_(graph: Short, body: Batch, store_: TheStore, caller: TheCaller) -> dict[str, Any]:
    """Written is what is new; what contradicts an earlier import, and events that were not decided, are named and not
    written. The same again changes nothing.
    """
    found, moment = _labelled(store_.graph(graph)), now()
    truths = [Truth(event_id=each.event, value=each.label, known_at=each.known_at or moment) for each in body.labels]
    with store_.connection() as connection:
        done = store.import_labels(
            connection,
            found.uid,
            truths,
            author=caller.subject,
            source=body.source,
            propensity=body.propensity,
            replace=body.replace,
            now=moment,
        )
    return {
        "batch": done.batch,
        "new": done.new,
        "repeated": done.repeated,
        "conflicts": [{"event": each.event_id, "label": each.value, "before": each.before} for each in done.conflicts],
        "unknown": done.unknown,
        "demoted": [{"band": each.band, "segment": each.segment or None} for each in done.alarms],
    }


@router.get("/counts", summary="How many labels count now, by band and source")
def counts(graph: Short, store_: TheStore) -> dict[str, Any]:
    """With those of silence. `waiting` items may still be labelled; what is `setAside` came from nobody knows which choice."""
    found = _labelled(store_.graph(graph))
    with store_.connection() as connection:
        items, known = read.known_numbers(connection, found.uid, found.document.spec, now())
    return counted(items, known)


@router.get("/set", summary="Labelled decisions for retraining")
def retraining_set(
    graph: Short,
    store_: TheStore,
    limit: Annotated[int, Query(ge=1, le=SET_SIZE, description="The most decisions to look at.")] = SET_SIZE,
    cursor_: Annotated[After, Query(alias="cursor")] = None,
) -> dict[str, Any]:
    """Features as they were recorded, the event's fields but for personal ones, score, label and weight (1 / propensity).

    Decisions without a label that counts are passed over, so that a page may be empty and not the last.
    """
    since = _position(cursor_) or 0
    found = _labelled(store_.graph(graph))
    with store_.connection() as connection:
        rows, following = read.records(connection, found.uid, found.document.spec, now(), since=since, limit=limit)
        revision = recorded_revision(connection, found.uid)
    fields = () if revision is None else revision.stream.spec.contract.fields
    open_ = {each.name for each in fields if not each.personal}
    return {
        "items": [_shown(each, open_) for each in rows],
        "next": None if following is None else cursor(following),
    }


def _shown(record: read.Record, fields: Collection[str]) -> dict[str, Any]:
    event = {f"event.{name}": value for name, value in record.event.items() if name in fields}
    return {
        "id": record.event_id,
        "time": record.event_time,
        "features": {**event, **record.values},
        "score": record.score,
        "band": record.band,
        "outcome": record.outcome,
        "revision": record.revision,
        "label": record.label,
        "source": record.source,
        "knownAt": record.known_at,
        "weight": record.weight,
    }


def _labelled(graph: Graph) -> Graph:
    if graph.document.spec.label is None:
        raise Refused(422, f'graph: "{graph.name}" has no label: write spec.label, which says what its score is about')
    return graph


def _position(cursor_: str | None) -> int | None:
    position: int | None = read_cursor(cursor_, int)[0] if cursor_ else None
    if position is not None and not 0 <= position < 2**63:
        raise Refused(400, 'cursor: give "next" of the page before, unchanged')
    return position
