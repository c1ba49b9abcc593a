"""Features that are warmed up beside the decisions that are made: by a host that stands by, and for the next revision."""

from __future__ import annotations

from psycopg import Connection
from psycopg.rows import TupleRow

from pointsman.decisions.accept import event_columns
from pointsman.decisions.queries import Seen, all_events, events_since, heard
from pointsman.graphs.compile import CompiledGraph
from pointsman.graphs.decide import GraphState

BATCH = 20_000


class Warm:
    """The state of a revision's views, and how far it has come in what is committed."""

    def __init__(self, graph: CompiledGraph) -> None:
        self._graph = graph
        self.state = GraphState(graph.views)
        self.seen = Seen()

    def catch_up(self, connection: Connection[TupleRow]) -> None:
        """See what was committed since, in the order in which it was decided. What it costs goes with how much that is.

        After a failure it begins anew.
        """
        if not self._graph.views:
            return
        try:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                self._advance(connection)
        except BaseException:
            self._forget()
            raise

    def _advance(self, connection: Connection[TupleRow]) -> None:
        graph, now = self._graph, heard(connection, self._graph)
        if now.history != self.seen.history:  # imported before the first decision: little is lost
            self._forget()
        if now == self.seen:
            return
        since = self.seen.next_seq
        bodies = events_since(connection, graph, since, BATCH) if since else all_events(connection, graph, BATCH)
        for each in bodies:
            self.state.advance_all(event_columns(graph.contract.read(each).columns))
        self.seen = now

    def _forget(self) -> None:
        self.state, self.seen = GraphState(self._graph.views), Seen()
