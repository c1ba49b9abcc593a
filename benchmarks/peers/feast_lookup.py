"""Feast's online lookup of the example's features: `PYTHON feast_lookup.py FOLDER`, in Feast's own environment.

A local SQLite store with as many features and entities as the example has. For each line on standard input it looks up 100
entities so many times and writes their features back as often; it answers with the milliseconds of each lookup and write.
"""

import json
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RegistryConfig, RepoConfig
from feast.types import Float64

ENTITIES, ROWS = 6_000, 100
VIEWS = {"card": 7, "terminal": 4}


def store(folder: Path) -> FeatureStore:
    config = RepoConfig(
        project="peer",
        provider="local",
        registry=RegistryConfig(path=str(folder / "registry.db")),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    feast = FeatureStore(config=config)
    now = datetime.now(timezone.utc)  # noqa: UP017
    for name, count in VIEWS.items():
        frame = pd.DataFrame({f"{name}_{at}": [float(row + at) for row in range(ENTITIES)] for at in range(count)})
        frame[name] = [f"{name}-{row}" for row in range(ENTITIES)]
        frame["at"] = now - timedelta(minutes=1)
        file = folder / f"{name}.parquet"
        frame.to_parquet(file)
        entity = Entity(name=name, join_keys=[name], value_type=ValueType.STRING)
        view = FeatureView(
            name=name,
            entities=[entity],
            ttl=timedelta(days=1),
            schema=[Field(name=f"{name}_{at}", dtype=Float64) for at in range(count)],
            source=FileSource(path=str(file), timestamp_field="at"),
        )
        feast.apply([entity, view])
    feast.materialize(now - timedelta(hours=1), now)
    return feast


def main() -> None:
    feast = store(Path(sys.argv[1]))
    wanted = [f"{name}:{name}_{at}" for name, count in VIEWS.items() for at in range(count)]
    rows = [{name: f"{name}-{row * 7}" for name in VIEWS} for row in range(ROWS)]
    fresh = {
        name: pd.DataFrame(
            {
                **{f"{name}_{at}": [1.0] * ROWS for at in range(count)},
                name: [row[name] for row in rows],
                "at": datetime.now(timezone.utc),  # noqa: UP017
            }
        )
        for name, count in VIEWS.items()
    }
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        lookups, writes = [], []
        for _ in range(int(line)):
            began = time.perf_counter()
            feast.get_online_features(features=wanted, entity_rows=rows).to_dict()
            lookups.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            for name, frame in fresh.items():
                feast.write_to_online_store(name, df=frame)
            writes.append((time.perf_counter() - began) * 1000)
        print(json.dumps([lookups, writes]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
