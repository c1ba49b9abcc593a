"""The API over a real PostgreSQL and a real server, with a graph that has decided some of the fraud example's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import orjson
import pytest

from harness.hosting import api
from pointsman.api.decision_graph import Audit
from pointsman.api.meta import Percent
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine, Submission
from pointsman.decisions.queries import record_revision
from pointsman.governance import keys
from pointsman.governance.access import Role
from pointsman.graphs.compile import compile_graph
from pointsman.library import GraphLibrary, load
from pointsman.store.database import connect

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
Call = Callable[..., httpx2.Response]


@pytest.fixture(scope="session")
def library() -> GraphLibrary:
    return load(EXAMPLE)


@pytest.fixture(scope="session")
def audited_library() -> Callable[[str], GraphLibrary]:
    """The fraud example with another audit sample, such as "20%"."""

    def make(sample: str) -> GraphLibrary:
        found = load(EXAMPLE)
        resolved = found.graph.resolved
        spec = resolved.graph.spec.model_copy(update={"audit": Audit(sample=Percent(sample))})
        graph = resolved.graph.model_copy(update={"spec": spec})
        return GraphLibrary(compile_graph(resolved.model_copy(update={"graph": graph}), found.ports), found.ports)

    return make


@pytest.fixture
def graph(library: GraphLibrary, database_url: str) -> str:
    """The fraud example, applied, and served nowhere."""
    resolved = library.graph.resolved
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO objects (kind, name, uid, generation, document) VALUES ('DecisionGraph', %s, %s, 1, %s::jsonb)",
            (resolved.graph.name, resolved.graph_uid, orjson.dumps(resolved.graph.document()).decode()),
        )
        connection.commit()
        record_revision(connection, resolved)
    return resolved.graph.name


@pytest.fixture
def engine(graph: str, library: GraphLibrary, database_url: str) -> Iterator[Engine]:
    resolved = library.graph.resolved
    committer = Committer(database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
    opened = Engine(library.graph, library._ports, committer, patience_seconds=5)
    opened.open()
    opened.serves(resolved.revision)
    yield opened
    opened.close()


@pytest.fixture
def decide(engine: Engine) -> Callable[..., dict[str, object]]:
    """Decides one event; `changes` replace its fields."""

    def send(**changes: object) -> dict[str, object]:
        event = {
            "transaction_id": uuid4().hex,
            "occurred_at": "2026-03-02T10:00:00Z",
            "amount": "12.50",
            "card_id": "card-1",
            "terminal_id": "terminal-1",
            "card_account": "account-1",
        } | changes
        ((answer,),) = engine.process([Submission(events=[event], arrived=0.0, synchronous=False)])
        return answer

    return send


@pytest.fixture
def to_review(decide) -> Callable[..., dict[str, object]]:
    """Sends one event to a person: its amount is implausible."""
    return lambda **changes: decide(**({"amount": "9000.00"} | changes))


@pytest.fixture
def key_of(database_url: str) -> Callable[..., str]:
    """The text of a fresh key."""

    def make(role: Role = Role.ADMIN, name: str = "ann", **more: object) -> str:
        with connect(database_url) as connection:
            _, text = keys.make(
                connection,
                name,
                role,
                expires_at=more.get("expires_at"),
                now=more.get("now", datetime.now(UTC)),
                subject=more.get("subject"),
            )
        return text

    return make


@pytest.fixture
def address(database_url: str, key_of) -> Iterator[str]:
    key_of(name="first")
    with api(database_url) as url:
        yield url


@pytest.fixture
def call(address: str, key_of) -> Iterator[Call]:
    """Asks the API as a person with a role; an admin where none is said."""
    texts = dict[tuple[str, Role], str]()
    with httpx2.Client(base_url=address, trust_env=False) as client:

        def ask(method: str, path: str, *, by: str = "ann", role: Role = Role.ADMIN, **more: object):
            if (by, role) not in texts:
                texts[by, role] = key_of(role, by)
                wait_until_known(client, texts[by, role])
            return client.request(method, path, headers={"authorization": f"Bearer {texts[by, role]}"}, **more)

        yield ask


def wait_until_known(client: httpx2.Client, text: str) -> None:
    """Keys are read every two seconds."""
    while client.get("/v1/decisions?graph=x", headers={"authorization": f"Bearer {text}"}).status_code == 401:
        pass
