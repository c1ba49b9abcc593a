"""A graph's host as a process of its own, that reads a topic of a real broker into a real store."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.kafka import Broker, topic
from harness.reading_host import Host
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.library import load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"


@pytest.fixture(scope="session")
def example() -> ResolvedGraph:
    return load(EXAMPLE).graph.resolved


@pytest.fixture
def make_host(
    kafka: Broker, example: ResolvedGraph, database_url: str, tmp_path: Path
) -> Iterator[Callable[..., Host]]:
    """Makes hosts of one graph over one database; `source` and `review` replace what the documents say."""
    made = list[Host]()

    def make(name: str | None = None, *, review: Mapping[str, object] | None = None, **source: object) -> Host:
        name = name or topic()
        document = example.model_dump(mode="json", by_alias=True, exclude_none=True)
        kafka_source = {"bootstrapServers": [kafka.address], "topic": name}
        in_flight = {"maxInFlight": source.pop("maxInFlight")} if "maxInFlight" in source else {}
        document["stream"]["spec"]["source"] = {"type": "Kafka", "kafka": kafka_source | source, **in_flight}
        document["graph"]["spec"]["review"] |= review or {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folder = tmp_path / f"host-{len(made)}"
        folder.mkdir()
        config = {
            "databaseUrl": database_url,
            "port": port,
            "controlToken": "x" * 16,
            "requireKeys": False,
            "secretsFolder": str(tmp_path / "secrets"),
            "resolved": document,
        }
        made.append(Host(kafka=kafka, topic=name, folder=folder, database_url=database_url, config=config))
        return made[-1]

    yield make
    for each in made:
        each.kill()


@pytest.fixture
def host(kafka: Broker, make_host: Callable[..., Host]) -> Host:
    """A host that runs and reads a new topic of three partitions."""
    made = make_host()
    kafka.create(made.topic, partitions=3)
    made.start()
    return made
