"""The fraud example on the hosts' engine, in this process, over an embedded PostgreSQL. Used by the measurements beside it."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine, Submission
from pointsman.library import GraphLibrary, load
from pointsman.local.home import Home
from pointsman.local.postgres import PostgresServer, running_postgres
from pointsman.store.database import APP_ROLE, OWNER_ROLE
from pointsman.store.migrate import migrate
from pointsman_serving.graph.interpreter import settle_interpreter

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
EXAMPLE = ROOT / "manifests" / "examples" / "fraud"
BATCH = 1000


@contextmanager
def store() -> Iterator[PostgresServer]:
    """A PostgreSQL with an empty decision store, as `pointsman up` sets it up."""
    with tempfile.TemporaryDirectory(prefix="pmb") as folder, running_postgres(Home(folder)) as server:
        migrate(server.url("pointsman", OWNER_ROLE))
        yield server


def opened(server: PostgresServer, library: GraphLibrary | None = None) -> Engine:
    """The example's engine, or another graph's, every model inline, as a host would run it."""
    settle_interpreter()
    library = library or load(EXAMPLE)
    resolved = library.graph.resolved
    committer = Committer(
        server.url("pointsman", APP_ROLE), graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid
    )
    engine = Engine(library.graph, library.ports, committer)
    engine.open()
    return engine


def submission(lines: list[bytes]) -> Submission:
    """A batch of a stream."""
    return Submission(events=[orjson.loads(line) for line in lines], arrived=time.monotonic(), synchronous=False)


def streamed(engine: Engine, lines: list[bytes], thread: ThreadPoolExecutor) -> None:
    """Decide a stream as a host does: one batch is decided while the one before is written."""
    writing: Future[object] | None = None
    for start in range(0, len(lines), BATCH):
        decided = engine.decide([submission(lines[start : start + BATCH])])
        if writing is not None:
            writing.result()
        writing = thread.submit(engine.commit, decided)
    if writing is not None:
        writing.result()


def machine() -> dict[str, Any]:
    """What a result is of: date, machine, versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("onnxruntime", "psycopg", "numpy", "orjson", "ray", "uvicorn")},
    }


def write(name: str, result: dict[str, Any]) -> None:
    """Keep a result as data."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
