"""Brings the demo to the point where its graph is Ready: trains its models unless they are registered, and applies the example."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from pointsman.api.documents import load, plain
from pointsman.demo.days import FULL, TRAINING_DAYS
from pointsman.demo.train import TrainingSettings, train
from pointsman.demo.transactions import Transactions
from pointsman.local.client import ControlClient
from pointsman.local.model_runtimes import RUNTIMES
from pointsman.local.triton_here import why_not_triton

TOKEN = ("accounts-token", "token")
READY_SECONDS = 300


class DemoFailed(Exception):
    """The demo cannot go on; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How the demo tells how far it is: `begin(name, total)`, then `advance(count)`."""

    begin: Callable[[str, int | None], None]
    advance: Callable[[int], None]


def wait_for_component(client: ControlClient, name: str, seconds: float = 120) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for each in client.status()["components"]:
            if each["name"] == name and each["state"] == "Ready":
                return str(each["address"])
        time.sleep(0.2)
    raise DemoFailed(f"{name} was not up within {seconds:.0f} s: `pointsman logs {name}` says why")


def train_models(client: ControlClient, example: Path, history: Transactions, stage: Stage) -> None:
    """Train and register, unless the models are registered already."""
    mlflow = wait_for_component(client, "mlflow")
    found = httpx2.get(
        f"{mlflow}/api/2.0/mlflow/registered-models/alias",
        params={"name": "fraud-scorer", "alias": "champion"},
        timeout=60,
    )
    if found.status_code == 200:
        return
    settings = TrainingSettings(example=example, history=replace(FULL, days=TRAINING_DAYS), tracking_uri=mlflow)
    train(settings, lambda name: stage.begin(f"training: {name}", None), history=history)


def apply_example(client: ControlClient, example: Path, stage: Stage) -> list[dict[str, Any]]:
    """Apply the example, and what it needs; return its documents as they were applied."""
    token = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": TOKEN[0]}}
    known = {each["metadata"]["name"] for each in client.objects("Secret")}
    documents: list[dict[str, Any]] = [plain(each) for each in load(example)]
    if not _has_triton(stage):
        for each in documents:
            if each["kind"] == "ModelDeployment" and each["spec"].get("runtime", {}).get("type") == "Triton":
                each["spec"]["runtime"] = {"type": "Native"}
    for each in documents:
        if each["kind"] == "DecisionGraph":  # a threshold that was changed takes over at once, and is certified next
            each["spec"] |= {"certificates": "Required", "onMissingCertificates": "Review"}
    stage.begin("applying the fraud example", None)
    if TOKEN[0] not in known:
        client.apply([{**token, "stringData": {TOKEN[1]: secrets.token_urlsafe(32)}}])
    apply_documents(client, documents, stage)
    return documents


def apply_documents(client: ControlClient, documents: list[dict[str, Any]], stage: Stage) -> None:
    client.apply(documents)
    if not client.wait_ready(READY_SECONDS, lambda text: stage.begin(text[:110], None)):
        raise DemoFailed(
            f"not Ready within {READY_SECONDS} s, {client.status()['waitingFor']}: `pointsman get` says more"
        )


def _has_triton(stage: Stage) -> bool:
    """Whether Triton can be had: its environment is there, or could be installed now. Elsewhere our own server is used."""
    module = RUNTIMES["Triton"].environment
    if why_not_triton() is not None or module is None:
        return False
    stage.begin("installing Triton, once (0.5 GB)", None)
    return subprocess.run([sys.executable, "-m", module], capture_output=True, check=False).returncode == 0
