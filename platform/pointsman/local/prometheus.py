"""The configuration of a Prometheus that reads what runs here: `prometheus --config.file=<home>/config/prometheus.yml`. Pure.

The supervisor keeps it up to date. JSON is YAML.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pointsman.local.gateway import Route

EVERY = "15s"


def configuration(*, api: str, dispatcher: str | None, routes: Sequence[Route], key: Path) -> dict[str, Any]:
    """Who is read where. `api` and `dispatcher` are base URLs; the API asks for the key in the file."""
    jobs = [{**_job("pointsman-api", urlsplit(api).netloc), "authorization": {"credentials_file": str(key)}}]
    if dispatcher is not None:
        jobs.append(_job("pointsman-dispatcher", urlsplit(dispatcher).netloc))
    for route in routes:
        job = _job(f"graph-{route.graph}", route.ingress)
        jobs.append({**job, "metrics_path": f"/v1/graphs/{route.graph}/-/metrics"})
    return {"global": {"scrape_interval": EVERY}, "scrape_configs": jobs}


def _job(name: str, address: str) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": [address]}]}
