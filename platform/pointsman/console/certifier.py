"""Computes certifications beside the API's routes: one after the other in a thread, each on a connection of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import psycopg
import structlog
from fastapi import Depends, Request

from pointsman.api.values import Duration
from pointsman.certificates.costs import Wanted
from pointsman.certificates.weighted import WeightsOutOfBounds
from pointsman.certifying import Anew, CannotCertify, Joined, given, known_to_the_store, of_revision, rescored
from pointsman.console.asking import Refused
from pointsman.console.host import Host
from pointsman.console.store import Connection, Unavailable, now
from pointsman.decisions import certification_store
from pointsman.decisions.certification_store import Certification, NotCollecting
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect

log = structlog.get_logger()


class Certifier:
    """What computes. One certification of a graph runs at a time, whichever process of the API was asked."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="certifying")

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def start(self, graph_uid: UUID, id_: UUID, host: Host) -> None:
        """Have a certification computed. Raises Refused, Unavailable."""
        try:
            connection = connect(self._url, autocommit=True)
        except psycopg.OperationalError as error:
            raise Unavailable("the decision store does not answer") from error
        try:
            if not certification_store.take(connection, graph_uid):
                raise Refused(409, "graph: another certification of it runs: wait until it has ended", 5)
            asked = certification_store.one(connection, graph_uid, id_)
            assert asked is not None
            certification_store.begin(connection, asked, now())
            self._thread.submit(self._run, connection, asked, host)
        except NotCollecting as error:
            connection.close()
            raise Refused(409, f"certification: {error}") from error
        except BaseException:
            connection.close()
            raise

    def _run(self, connection: Connection, asked: Certification, host: Host) -> None:
        with connection:
            result: dict[str, Any] | None = None
            error: str | None = None
            try:
                result = certified(connection, asked, host)
            except (CannotCertify, WeightsOutOfBounds, Refused) as refusal:
                error = str(refusal)
            except Exception as unexpected:
                log.exception("a certification has failed", graph=str(asked.graph_uid))
                error = f"it has failed: {' '.join(str(unexpected).split())}: the API's log says more"
            try:
                certification_store.end(connection, asked.id, result=result, error=error, now=now())
            except psycopg.Error as away:
                log.warning("a certification is lost", graph=str(asked.graph_uid), error=str(away).strip())


def certifier_of(request: Request) -> Certifier:
    """What computes the API's certifications."""
    certifier: Certifier = request.app.state.certifier
    return certifier


TheCertifier = Annotated[Certifier, Depends(certifier_of)]


def certified(connection: Connection, asked: Certification, host: Host) -> dict[str, Any]:
    """What came of a certification. Raises CannotCertify, WeightsOutOfBounds, Refused."""
    # Both need SciPy, which an API that certifies nothing does without.
    from pointsman.certificates.statement import Terms
    from pointsman.certification import certification

    row = connection.execute("SELECT name FROM objects WHERE uid = %s", (asked.graph_uid,)).fetchone()
    resolved = None if row is None else of_revision(connection, row[0], asked.asked["revision"])
    if resolved is None or resolved.revision != asked.revision:
        raise CannotCertify("another revision decides now than when it was begun: begin anew")
    other: Anew | None = None
    if asked.asked["revision"] is not None:
        other = partial(host.rescore, resolved.revision, resolved.stream.spec.id)
    certification_store.enter(connection, asked.id, "reading labels")
    joined = _joined(connection, asked, resolved, any_model=other is not None)
    if other is not None and not asked.is_history:
        certification_store.enter(connection, asked.id, f"scoring {len(joined.labelled):,} decisions anew")
        joined = rescored(connection, joined, other)
    certification_store.enter(connection, asked.id, f"testing {len(joined.labelled):,} labelled decisions")
    moment = now()
    ends = moment + timedelta(microseconds=Duration(asked.asked["validFor"]).microseconds)
    terms = Terms(issuer=asked.author, issued=moment, expires=ends)
    choose = asked.asked["choose"]
    wanted = None if choose is None else Wanted(**choose)
    return certification(joined, resolved, terms, wanted=wanted, connection=connection, other=other).document()


def _joined(connection: Connection, asked: Certification, resolved: ResolvedGraph, *, any_model: bool) -> Joined:
    segment = asked.asked["segment"]
    if asked.asked["labels"] == "Known":
        return known_to_the_store(connection, resolved, now(), segment=segment, any_model=any_model)
    return given(
        certification_store.items(connection, asked, segment=segment),
        smallest_propensity=asked.asked["smallestPropensity"],
        unknown=asked.unknown,
        other_scorer=asked.other_scorer,
    )
