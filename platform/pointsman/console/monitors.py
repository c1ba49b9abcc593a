"""Monitors of a graph's bands, and re-arming a band that one has demoted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from pointsman.console.asking import Asked, Refused, Short, Text, TheKey, TheStore
from pointsman.console.store import now
from pointsman.decisions import certificate_store
from pointsman.monitoring.monitor import ALARM
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


@router.post("/bands/{band}/rearm", summary="Let a demoted band act again")
def rearm(graph: Short, band: Short, body: Rearm, store: TheStore, key: TheKey) -> dict[str, Any]:
    """Takes a certificate that was issued since, by somebody else. In effect within a second."""
    found = store.graph(graph)
    with store.connection() as connection:
        try:
            event = certificate_store.rearm(
                connection, found.uid, band, segment=body.segment, author=key.name, comment=body.comment, now=now()
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
