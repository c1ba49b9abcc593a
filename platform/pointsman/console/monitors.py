"""Monitors of a graph's bands, re-arming a band that one has demoted, and drift of what is decided on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from pointsman.console.asking import Asked, Refused, Short, Text, TheCaller, TheStore
from pointsman.console.store import now
from pointsman.decisions import certificate_store
from pointsman.decisions.queries import recorded_revision
from pointsman.monitoring.monitor import ALARM
from pointsman.monitoring.recorded import drift
from pointsman.monitoring.store import Watched, watched

router = APIRouter(prefix="/v1/graphs/{graph}", tags=["monitors"])


class Rearm(Asked):
    """Why the band may act again; `segment` where one segment of it was demoted."""

    comment: Text
    segment: Short | None = None


@router.get("/monitors", summary="What audited labels say of each band's promise")
def page(graph: Short, store: TheStore) -> dict[str, Any]:
    """A band is demoted when its evidence reaches `alarmAt`, and stays so until it is certified anew and re-armed."""
    found = store.graph(graph)
    with store.connection() as connection, connection.transaction():
        monitors = watched(connection, found.uid)
        demoted = certificate_store.demotions(connection, found.uid)
    return {
        "items": [_shown(each) for each in monitors],
        "demoted": [
            {"band": each.band, "segment": each.segment, "at": each.at, "author": each.author, "comment": each.comment}
            for each in demoted
        ],
    }


@router.get("/drift", summary="Whether what the graph decides on has changed")
def drift_of(
    graph: Short,
    store: TheStore,
    newest: Annotated[
        int, Query(ge=200, le=5000, description="How many of the newest decisions are looked at.")
    ] = 2000,
) -> dict[str, Any]:
    """The newest decisions beside those that were made before the last certificate was issued. `inDoubt` are the bands
    whose certificates stand for a scorer that depends on a changed input: nothing is demoted for it.
    """
    found = store.graph(graph)
    with store.connection() as connection:
        resolved = recorded_revision(connection, found.uid)
        if resolved is None:
            raise Refused(409, f'graph: "{found.name}" has decided nothing yet')
        seen = drift(connection, found.uid, resolved, newest)
    return {
        "before": seen.before,
        "now": seen.now,
        "inputs": [
            {
                "name": each.name,
                "psi": each.psi,
                "ks": each.ks,
                "missingBefore": each.missing_before,
                "missingNow": each.missing_now,
                "changed": each.has_changed,
            }
            for each in seen.inputs
        ],
        "unknownFields": seen.unknown,
        "inDoubt": [{"band": band, "segment": segment} for band, segment in seen.in_doubt],
    }


@router.post("/bands/{band}/rearm", summary="Let a demoted band act again")
def rearm(graph: Short, band: Short, body: Rearm, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """Takes a certificate that was issued since, by somebody else. In effect within a second."""
    found = store.graph(graph)
    with store.connection() as connection:
        try:
            event = certificate_store.rearm(
                connection,
                found.uid,
                band,
                segment=body.segment,
                author=caller.subject,
                comment=body.comment,
                now=now(),
            )
        except certificate_store.CertificateRefused as error:
            raise Refused(409, f"band: {error}") from error
    return {"event": event, "band": band, "segment": body.segment}


def _shown(each: Watched) -> dict[str, Any]:
    monitor = each.monitor
    return {
        "band": each.band,
        "segment": each.segment or None,
        "wrong": monitor.wrong,
        "labelled": monitor.labelled,
        "promised": monitor.alpha,
        "evidence": monitor.evidence,
        "alarmAt": ALARM,
        "beganAt": each.began_at,
        "alarmedAt": each.alarmed_at,
    }
