"""Events a second of the stream, and where the time goes, by node: `make bench`.

Runs the fraud example on the hosts' engine over an embedded PostgreSQL in this process, with every model inline, in batches of
1,000, one being decided while the one before is written, several rounds; prints and writes benchmarks/results/stream.json.
The demo reports the same for Ray Serve.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import orjson

from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine, Submission
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.library import load
from pointsman.local.home import Home
from pointsman.local.postgres import running_postgres
from pointsman.store.database import APP_ROLE, OWNER_ROLE
from pointsman.store.migrate import migrate
from pointsman_serving.graph.host import settle_interpreter

ROOT = Path(__file__).parent.parent
ROUNDS, BATCH = 5, 1000


def main() -> None:
    library = load(ROOT / "manifests" / "examples" / "fraud")
    lines = as_json_lines(generate(GeneratorSettings(days=6)))
    per_round = len(lines) // ROUNDS // BATCH * BATCH
    rates, cpu = list[float](), list[float]()
    settle_interpreter()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres(Home(folder)) as server,
        ThreadPoolExecutor(max_workers=1) as thread,
    ):
        migrate(server.url("pointsman", OWNER_ROLE))
        committer = Committer(
            server.url("pointsman", APP_ROLE), graph_uid=uuid4(), stream_uid=library.graph.resolved.stream_uid
        )
        engine = Engine(library.graph, library._ports, committer)
        engine.open()
        for number in range(ROUNDS):
            chunk = lines[number * per_round : (number + 1) * per_round]
            began, used = time.perf_counter(), time.process_time()
            writing: Future[object] | None = None
            for at in range(0, len(chunk), BATCH):
                events = [orjson.loads(line) for line in chunk[at : at + BATCH]]
                decided = engine.decide([Submission(events=events, arrived=time.monotonic(), synchronous=False)])
                if writing is not None:
                    writing.result()
                writing = thread.submit(engine.commit, decided)
            if writing is not None:
                writing.result()
            rates.append(len(chunk) / (time.perf_counter() - began))
            cpu.append((time.process_time() - used) / len(chunk) * 1e6)
        engine.close()
    steps = {name: round(seconds / engine.stats.rows[name] * 1e6, 2) for name, seconds in engine.stats.seconds.items()}
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("onnxruntime", "psycopg", "numpy", "orjson")},
        "events_per_second": {
            "median": round(statistics.median(rates)),
            "min": round(min(rates)),
            "max": round(max(rates)),
        },
        "host_cpu_us_per_event": round(statistics.median(cpu), 1),
        "us_per_event_by_step": steps,
    }
    print(json.dumps(result, indent=2))  # noqa: T201
    target = ROOT / "benchmarks" / "results" / "stream.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
