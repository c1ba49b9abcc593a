"""Certifications: what the bands of a graph promise is tested on labelled decisions, and becomes certificates to be signed.

The API computes and holds no key: whoever asked signs the statements, and brings them in as certificates. Labels are those that
the store knows, or are given in batches: of decisions that were made, or with the events of a history that the graph's host
scores as it would have, without deciding them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import AfterValidator, Field

from pointsman.api.values import Duration
from pointsman.certifying import (
    CannotCertify,
    Joined,
    Label,
    NothingLabelled,
    of_history,
    of_revision,
    of_the_store,
    read_segmentation,
)
from pointsman.console.asking import Asked, Refused, Short, Text, TheCaller, TheStore
from pointsman.console.certifier import TheCertifier
from pointsman.console.host import Host
from pointsman.console.store import Connection, Graph, now
from pointsman.decisions import certification_store
from pointsman.decisions.certification_store import Certification, NotCollecting
from pointsman.graphs.resolve import ResolvedGraph

router = APIRouter(prefix="/v1/graphs/{graph}/certifications", tags=["certificates"])

MOST_AT_ONCE = 5000


def _duration(text: str) -> str:
    return str(Duration(text))


class Costs(Asked):
    """What it costs to let an item pass that should not (`missed`), to stop one that should (`stopped`; both a number, or CEL over
    the event's fields), and to have it seen by a person (`review`), which takes `minutes` of the `hours` that there are a day.
    """

    missed: Text = "0"
    stopped: Text = "0"
    review: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    hours: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class NewCertification(Asked):
    """What is to be certified: each value of `segment` by itself, where it is given; other thresholds too, where `choose` says
    what is to be weighed. `labels` are what the store knows, or follow in batches; `smallestPropensity` is the smallest
    probability with which those can come to be seen. `revision`, or how its digest begins, is one that waits for certificates:
    recorded decisions are then scored anew; left out, it is the one that decides.
    """

    labels: Literal["Known", "Given"] = "Known"
    revision: Short | None = None
    segment: Short | None = None
    choose: Costs | None = None
    smallest_propensity: float | None = Field(default=None, gt=0, le=1)
    valid_for: Annotated[str, Field(max_length=20), AfterValidator(_duration)] = "2160h"


class GivenLabel(Asked):
    """The truth of one event, and the probability with which it came to be seen, where that is known."""

    event: Short
    label: bool
    propensity: float | None = Field(default=None, gt=0, le=1)


class Batch(Asked):
    """At most 5,000 labels. With `events` they are of a history: all its events, labelled or not, in their order, and `after`
    says how many were sent before.
    """

    labels: list[GivenLabel] = Field(max_length=MOST_AT_ONCE)
    events: list[Any] | None = Field(default=None, min_length=1, max_length=MOST_AT_ONCE)
    after: int = Field(default=0, ge=0, le=2**53)


@router.post("", status_code=202, summary="Certify the graph's bands")
def make(
    graph: Short,
    body: NewCertification,
    store: TheStore,
    caller: TheCaller,
    certifier: TheCertifier,
    request: Request,
) -> dict[str, Any]:
    """It runs at once where the store knows the labels; else it waits for them, and to be started. One runs at a time."""
    found = store.graph(graph)
    with store.connection() as connection:
        resolved = _resolved(connection, found, body.revision)
        if body.segment is not None:
            try:
                read_segmentation(resolved, body.segment)
            except CannotCertify as error:
                raise Refused(422, f"segment: {error}") from error
        asked = body.model_dump(by_alias=True)
        id_ = certification_store.create(
            connection, found.uid, resolved.revision, author=caller.subject, asked=asked, now=now()
        )
    if body.labels == "Known":
        certifier.start(found.uid, id_, Host.of(found, request))
    return {"certification": id_, "revision": resolved.revision, "idField": resolved.stream.spec.id}


@router.get("/{certification}", summary="What has become of a certification")
def one(graph: Short, certification: UUID, store: TheStore) -> dict[str, Any]:
    """Collecting, Running, Done or Failed. Once it is Done, `statements` are the certificates that can be signed."""
    found = store.graph(graph)
    with store.connection() as connection:
        asked = _certification(connection, found, certification)
        if asked.state == "Running" and certification_store.look_after(connection, asked, now()):
            asked = _certification(connection, found, certification)
    return {
        "certification": asked.id,
        "revision": asked.revision,
        "author": asked.author,
        "at": asked.at,
        "asked": asked.asked,
        "state": asked.state,
        "phase": asked.phase,
        "given": asked.given,
        "leftOut": {"withoutDecision": asked.unknown, "ofAnotherScorer": asked.other_scorer},
        "error": asked.error,
        **(asked.result or {"bands": [], "statements": []}),
    }


@router.post("/{certification}/labels", summary="Give a certification labels, or a labelled history")
def give(
    graph: Short, certification: UUID, body: Batch, store: TheStore, caller: TheCaller, request: Request
) -> dict[str, Any]:
    """A batch of labels may be given again. A history's events are scored in their order, so one that breaks off begins anew."""
    found = store.graph(graph)
    labels = {each.event: Label(label=each.label, propensity=each.propensity) for each in body.labels}
    with store.connection() as connection:
        asked, resolved = _collecting(connection, found, certification, caller.subject)
    if body.events is not None and asked.asked["choose"] is not None:
        raise Refused(422, "events: thresholds are chosen by decisions that were made, and a history has none")
    segment, smallest = asked.asked["segment"], asked.asked["smallestPropensity"]
    how: dict[str, Any] = {"segment": segment, "smallest_propensity": smallest}
    scores = dict[str, float]()
    if body.events is not None:
        batch = {"history": str(asked.id), "after": body.after, "events": body.events, "revision": asked.revision}
        scores = Host.of(found, request).scores(batch)
    with store.connection() as connection:
        joined: Joined | None = None
        try:
            if body.events is not None:
                joined = of_history(resolved, body.events, scores, labels, **how)
            elif labels:
                joined = of_the_store(
                    connection, resolved, labels, **how, any_model=asked.asked["revision"] is not None
                )
        except NothingLabelled:
            pass
        except CannotCertify as error:
            raise Refused(422, f"labels: {error}") from error
        unknown = len(labels) if joined is None else joined.unknown
        other = 0 if joined is None else joined.other_scorer
        try:
            items = None if joined is None else joined.labelled
            certification_store.add(
                connection,
                asked.id,
                items,
                is_history=body.events is not None,
                unknown=unknown,
                other_scorer=other,
            )
        except NotCollecting as error:
            raise Refused(409, f"certification: {error}") from error
    return {"labelled": 0 if joined is None else len(joined.labelled), "withoutScore": unknown}


@router.post("/{certification}/start", status_code=202, summary="Test what a certification was given")
def start(
    graph: Short,
    certification: UUID,
    store: TheStore,
    caller: TheCaller,
    certifier: TheCertifier,
    request: Request,
) -> dict[str, Any]:
    """Nothing can be given to it any more."""
    found = store.graph(graph)
    with store.connection() as connection:
        asked, _ = _collecting(connection, found, certification, caller.subject)
    certifier.start(found.uid, asked.id, Host.of(found, request))
    return {"certification": asked.id, "revision": asked.revision}


def _resolved(connection: Connection, graph: Graph, revision: str | None) -> ResolvedGraph:
    try:
        return of_revision(connection, graph.name, revision)
    except CannotCertify as error:
        raise Refused(409, f"graph: {error}") from error


def _certification(connection: Connection, graph: Graph, id_: UUID) -> Certification:
    found = certification_store.one(connection, graph.uid, id_)
    if found is None:
        raise Refused(404, f'certification: graph "{graph.name}" has none with the id {id_}')
    return found


def _collecting(connection: Connection, graph: Graph, id_: UUID, subject: str) -> tuple[Certification, ResolvedGraph]:
    """A certification that takes labels, of the revision that decides."""
    found = _certification(connection, graph, id_)
    if found.author != subject:
        raise Refused(403, f'certification: it is "{found.author}" who gives it labels')
    if found.state != "Collecting" or found.asked["labels"] != "Given":
        why = f": {found.error}" if found.error else ""
        raise Refused(409, f"certification: it is {found.state}, and takes no labels{why}")
    resolved = _resolved(connection, graph, found.asked["revision"])
    if resolved.revision != found.revision:
        raise Refused(409, "certification: another revision decides now than when it was begun: begin anew")
    return found, resolved
