"""Workers that take keys from a queue and reconcile them: what fails comes again later, and nothing ends the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

import structlog
from prometheus_client import Counter, Histogram
from structlog.contextvars import bind_contextvars, clear_contextvars

from pointsman_operator.cluster.client import ClusterError
from pointsman_operator.cluster.queue import WorkQueue

log = structlog.get_logger()

K = TypeVar("K", bound=Hashable)

RECONCILES = Counter("pointsman_operator_reconciles", "Reconciles, by how they ended", ["outcome"])
SECONDS = Histogram("pointsman_operator_reconcile_seconds", "How long a reconcile takes")
for _outcome in ("done", "retry", "error"):
    RECONCILES.labels(_outcome)  # from 0 on, so that the first one of a kind is an increase


async def work(queue: WorkQueue[K], reconcile: Callable[[K], Awaitable[None]], called: Callable[[K], str]) -> None:
    """One worker, until cancelled. `called` is what the log calls a key."""
    while True:
        key = await queue.take()
        clear_contextvars()
        bind_contextvars(object=called(key))
        try:
            with SECONDS.time():
                await reconcile(key)
        except ClusterError as error:
            seconds = queue.failed(key)
            RECONCILES.labels("retry").inc()
            log.warning("retry", seconds=seconds, error=str(error))
        except Exception:  # one object's trouble must not end the others' reconciles
            queue.failed(key)
            RECONCILES.labels("error").inc()
            log.exception("a reconcile failed")
        else:
            queue.done(key)
            RECONCILES.labels("done").inc()
