"""A host of the fraud example over a fresh database, in this process, with every model inline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from harness.certified import certify_bands
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine, Submission
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import Transactions, as_json_lines
from pointsman.library import GraphLibrary, load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"


@pytest.fixture(scope="session")
def library() -> GraphLibrary:
    return load(EXAMPLE)


@pytest.fixture(scope="session")
def transactions() -> Transactions:
    return generate(GeneratorSettings(days=2, customers=600, terminals=300, broken_share=0.01, conflict_share=0.002))


@pytest.fixture(scope="session")
def events(transactions: Transactions) -> list[object]:
    return [orjson.loads(line) for line in as_json_lines(transactions)]


@pytest.fixture
def open_engine(library: GraphLibrary, database_url: str, owner_url: str) -> Iterator[Callable[[], Engine]]:
    """Opens engines of one graph over one database; each takes the graph over from the one before. Its bands are certified."""
    opened = list[Engine]()
    certify_bands(library.graph.resolved, database_url, owner_url)

    def open_one() -> Engine:
        resolved = library.graph.resolved
        committer = Committer(database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
        engine = Engine(library.graph, library._ports, committer, patience_seconds=5)
        engine.open()
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        engine.close()


@pytest.fixture
def submit() -> Callable[..., list[dict[str, object]]]:
    """Sends events to an engine in batches; the answers in order."""

    def send(engine: Engine, events: list[object], size: int = 200) -> list[dict[str, object]]:
        answers = list[dict[str, object]]()
        for at in range(0, len(events), size):
            chunk = events[at : at + size]
            (part,) = engine.process([Submission(events=chunk, arrived=0.0, synchronous=False)])
            answers += part
        return answers

    return send


def fresh_event(**changes: object) -> dict[str, object]:
    """One good event; `changes` replace fields, None removes them."""
    event: dict[str, object] = {
        "transaction_id": uuid4().hex,
        "occurred_at": "2026-03-02T10:00:00Z",
        "known_at": "2026-03-02T10:00:01Z",
        "amount": "12.50",
        "card_id": "card-1",
        "terminal_id": "terminal-1",
        "card_account": "account-1",
    }
    event.update(changes)
    return {name: value for name, value in event.items() if value is not None}


@pytest.fixture
def event() -> Callable[..., dict[str, object]]:
    return fresh_event
