"""Logs a retraining set to MLflow, over its REST interface, as the input dataset of a run of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pointsman.cli.errors import Exit, Failure

EXPERIMENT = "pointsman-labels"


def log_dataset(graph: str, file: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Log the file and return what to tell. Raises Failure."""
    import hashlib

    from pointsman.demo.publish import Publisher, PublishingFailed

    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    profile = {"num_rows": len(rows), "true": sum(each["label"] for each in rows)}
    try:
        with Publisher(_server(), EXPERIMENT) as publisher:
            run = publisher.log_dataset(
                f"{graph}-labels",
                digest=digest,
                source=file.resolve().as_uri(),
                profile=profile,
                columns=_columns(rows),
            )
    except PublishingFailed as error:
        raise Failure(str(error), hint="the file is written; --mlflow can be tried again") from error
    return f"MLflow run {run} has it as dataset {graph}-labels, digest {digest[:36]}"


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each column with MLflow's name of its type, by the first value that is there."""
    names = {bool: "boolean", int: "long", float: "double", str: "string"}
    found = dict[str, str]()
    for row in rows:
        for name, value in row.items():
            if name not in found and value is not None:
                found[name] = names.get(type(value), "string")
    return found


def _server() -> str:
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    from pointsman.cli.connection import supervisor

    with supervisor() as client:
        for each in client.status()["components"]:
            if each["name"] == "mlflow" and each["address"]:
                return str(each["address"])
    raise Failure("MLflow is not up", hint="set MLFLOW_TRACKING_URI, or see `pointsman status`", code=Exit.NOT_RUNNING)
