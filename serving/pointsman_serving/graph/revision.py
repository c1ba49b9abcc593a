"""A revision that is ready to decide, made beside the one that does: loaded, its features warmed up, its probe decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import structlog

from pointsman.decisions.probe import probe
from pointsman.decisions.warm import Warm
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.store.database import connect
from pointsman_serving.graph.load import LoadedGraph, load
from pointsman_serving.graph.model_files import ModelFiles

log = structlog.get_logger()


class RevisionRefused(Exception):
    """A revision that does not decide, and why; one line."""

    def __init__(self, revision: str, message: str) -> None:
        super().__init__(message)
        self.revision, self.message = revision, message


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A revision that has decided its probe. `warm` where its features are not those of the one that serves."""

    loaded: LoadedGraph
    warm: Warm | None

    @property
    def resolved(self) -> ResolvedGraph:
        return self.loaded.compiled.resolved

    def catch_up(self, database_url: str) -> None:
        """See what was committed since. Raises psycopg.Error."""
        if self.warm is not None:
            with connect(database_url, autocommit=True) as connection:
                self.warm.catch_up(connection)

    def close(self) -> None:
        """Give back what its models hold; the revision decides no more."""
        self.loaded.close()


def prepare(
    resolved: ResolvedGraph,
    files: ModelFiles,
    *,
    database_url: str,
    remembered: Callable[[CompiledGraph], bool] = lambda graph: False,
) -> Prepared:
    """Make a revision ready. `remembered` says whether a state is there already that suits it.

    Raises RevisionRefused, whatever is the matter with it, and psycopg.Error where the store does not answer.
    """
    loaded: LoadedGraph | None = None
    try:
        loaded = load(resolved, files)
        unmeasured = {node: each.port for node, each in loaded.ports.items()}
        outcome = probe(loaded.compiled, unmeasured, now=datetime.now(UTC))
        prepared = Prepared(loaded=loaded, warm=None if remembered(loaded.compiled) else Warm(loaded.compiled))
        prepared.catch_up(database_url)
    except Exception as error:
        if loaded is not None:
            loaded.close()
        if isinstance(error, psycopg.Error):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        log.warning("a revision is refused", revision=resolved.revision, cause=message, exc_info=error)
        raise RevisionRefused(resolved.revision, message) from error
    log.info("prepared", revision=resolved.revision, probe=outcome)
    return prepared
