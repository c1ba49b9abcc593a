"""Registers a model folder with an MLflow server over its REST interface: run, metrics, model, version, alias.

MLflow's own client does the same; importing it takes longer than all of the training. Called by training.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import httpx2

API = "/api/2.0/mlflow"


class PublishingFailed(Exception):
    """The server did not take the model: what was asked, and what it answered."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is recorded beside a model's files. Without a digest nothing is said of what it was trained on."""

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    dataset_digest: str = ""
    dataset_source: str = ""


class Publisher:
    """Publishes into one experiment of one server. A context manager."""

    def __init__(self, url: str, experiment: str) -> None:
        self._url = url
        self._client = httpx2.Client(base_url=url.rstrip("/"), timeout=30.0, trust_env=False)
        self._experiment_id = ""
        self._experiment = experiment

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def publish(self, name: str, folder: Path, description: Description, *, alias: str) -> str:
        """Register the folder as a new version and let the alias point to it; returns the version.

        Publishing the same folder again makes another version of the same content. Raises PublishingFailed.
        """
        experiment = self._experiment_id or self._find_experiment()
        run = self._run(name, experiment, description)
        model_id, place = self._model(name, experiment, run, description)
        self._log(run, model_id, description)
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self._store(place, file.relative_to(folder).as_posix(), file.read_bytes())
        path = f"{API}/logged-models/{quote(model_id)}"
        self._ask("PATCH", path, {"model_id": model_id, "status": "LOGGED_MODEL_READY"})
        self._ask("POST", f"{API}/runs/outputs", {"run_id": run, "models": [{"model_id": model_id, "step": 0}]})
        self._ask("POST", f"{API}/runs/update", {"run_id": run, "status": "FINISHED", "end_time": _now()})
        self._ask("POST", f"{API}/registered-models/create", {"name": name}, fine=("RESOURCE_ALREADY_EXISTS",))
        source = {"name": name, "source": f"models:/{model_id}", "run_id": run, "model_id": model_id}
        version = str(self._ask("POST", f"{API}/model-versions/create", source)["model_version"]["version"])
        moved = {"name": name, "alias": alias, "version": version}
        self._ask("POST", f"{API}/registered-models/alias", moved)
        return version

    def log_dataset(
        self, name: str, *, digest: str, source: str, profile: Mapping[str, int], columns: Mapping[str, str]
    ) -> str:
        """Log a data set as the input of a run of its own, and return the run. `columns` are names with MLflow's types.

        Raises PublishingFailed.
        """
        started = {"experiment_id": self._find_experiment(), "run_name": name, "start_time": _now()}
        run = str(self._ask("POST", f"{API}/runs/create", started)["run"]["info"]["run_id"])
        schema = {"mlflow_colspec": [{"name": column, "type": type_} for column, type_ in columns.items()]}
        dataset = {
            "name": name,
            "digest": digest[:36],
            "source_type": "local",
            "source": json.dumps({"uri": source}),
            "schema": json.dumps(schema),
            "profile": json.dumps(dict(profile)),
        }
        tags = [{"key": "mlflow.data.context", "value": "training"}]
        inputs = {"run_id": run, "datasets": [{"tags": tags, "dataset": dataset}]}
        self._ask("POST", f"{API}/runs/log-inputs", inputs)
        self._ask("POST", f"{API}/runs/update", {"run_id": run, "status": "FINISHED", "end_time": _now()})
        return run

    def _find_experiment(self) -> str:
        made = self._ask(
            "POST", f"{API}/experiments/create", {"name": self._experiment}, fine=("RESOURCE_ALREADY_EXISTS",)
        )
        if "experiment_id" not in made:
            path = f"{API}/experiments/get-by-name?experiment_name={quote(self._experiment, safe='')}"
            made = self._ask("GET", path)["experiment"]
        self._experiment_id = str(made["experiment_id"])
        return self._experiment_id

    def _run(self, name: str, experiment: str, description: Description) -> str:
        started = {"experiment_id": experiment, "run_name": name, "start_time": _now()}
        run = str(self._ask("POST", f"{API}/runs/create", started)["run"]["info"]["run_id"])
        if not description.dataset_digest:
            return run
        dataset = {
            "name": "transactions",
            "digest": description.dataset_digest.removeprefix("sha256:")[:36],
            "source_type": "code",
            "source": description.dataset_source,
        }
        tags = [{"key": "mlflow.data.context", "value": "training"}]
        datasets = [{"tags": tags, "dataset": dataset}]
        self._ask("POST", f"{API}/runs/log-inputs", {"run_id": run, "datasets": datasets})
        return run

    def _log(self, run: str, model_id: str, description: Description) -> None:
        """Metrics and parameters, of the run and of the model."""
        about = {"timestamp": _now(), "step": 0, "model_id": model_id}
        metrics = [{"key": key, "value": value} | about for key, value in description.metrics.items()]
        params = _pairs(description.params)
        self._ask("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": metrics, "params": params})

    def _model(self, name: str, experiment: str, run: str, description: Description) -> tuple[str, str]:
        """Announce the model; returns its id and where its files go."""
        announced = {
            "experiment_id": experiment,
            "name": name,
            "source_run_id": run,
            "params": _pairs(description.params),
        }
        info = self._ask("POST", f"{API}/logged-models", announced)["model"]["info"]
        return str(info["model_id"]), str(info["artifact_uri"])

    def _store(self, place: str, name: str, content: bytes) -> None:
        """Store one file: through the server's proxy, or beside it where it keeps files on this machine."""
        parts = urlsplit(place)
        if parts.scheme == "mlflow-artifacts":
            self._upload(f"{parts.path.strip('/')}/{name}", content)
        elif parts.scheme in ("", "file") and parts.netloc in ("", "localhost"):
            file = Path(unquote(parts.path)) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        else:
            raise PublishingFailed(f'the server keeps files at "{place}": start it with --serve-artifacts')

    def _upload(self, path: str, content: bytes) -> None:
        address = f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}"
        try:
            answer = self._client.put(address, content=content)
        except httpx2.HTTPError as error:
            raise PublishingFailed(f"MLflow at {self._url} does not answer: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise PublishingFailed(f"MLflow did not take a file: {path}: status {answer.status_code}")

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, fine: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """One question; error codes in `fine` are answered by an empty object."""
        try:
            answer = self._client.request(method, path, json=body)
            told = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise PublishingFailed(f"MLflow at {self._url} does not answer: {type(error).__name__}") from error
        if answer.status_code == 200 and isinstance(told, dict):
            return told
        if isinstance(told, dict) and told.get("error_code") in fine:
            return {}
        raise PublishingFailed(f"MLflow refused {method} {path}: status {answer.status_code}: {str(told)[:300]}")


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _now() -> int:
    return time.time_ns() // 1_000_000
