"""The operator as a process of this machine against a cluster of the tests, and the model server that its probes reach."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.cluster import Cluster, Object, World
from harness.runs import free_ports
from harness.waiting import wait_for

MANIFESTS = Path(__file__).parents[3] / "manifests"
NAMESPACE = "pointsman-system"
NOBODY = 9
"""A port at which nothing listens: who asks there is refused at once"""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """A running operator."""

    process: subprocess.Popen[bytes]
    log: Path
    metrics: str

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait()

    def written(self) -> Mapping[str, float]:
        """How many writes it has made, by kind and verb: `InferenceService apply`."""
        return self.counted("pointsman_operator_writes_total")

    def counted(self, name: str) -> Mapping[str, float]:
        """A metric by its labels' values."""
        return {" ".join(labels): value for labels, value in self._counted(name)}

    def reconciled(self) -> float:
        """How many reconciles have ended well."""
        counted = self._counted("pointsman_operator_reconciles_total")
        return sum(value for labels, value in counted if labels == ["done"])

    def scrape(self) -> str:
        """Its metrics, as Prometheus reads them."""
        return _opened(f"{self.metrics}/metrics")

    def _counted(self, name: str) -> Iterator[tuple[list[str], float]]:
        for line in self.scrape().splitlines():
            if line.startswith(f"{name}{{"):
                labels, _, value = line.removeprefix(f"{name}{{").partition("} ")
                yield [part.split('"')[1] for part in labels.split(",")], float(value)


def installed(cluster: Cluster, webhook_port: int = NOBODY) -> None:
    """All of `manifests/` in the cluster, as a user applies it; no replica of its Deployment, whose image is not there.

    A simulated world has no network of Services: there the API server asks the webhook at a port of this machine.
    """
    text = cluster.kubectl("kustomize", str(MANIFESTS))
    if cluster.world is World.SIMULATED:
        documents = list(yaml.safe_load_all(text))
        for each in documents:
            for webhook in each.get("webhooks", ()):
                path = webhook["clientConfig"].pop("service")["path"]
                webhook["clientConfig"]["url"] = f"https://{cluster.host}:{webhook_port}{path}"
        text = yaml.safe_dump_all(documents)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)  # what a test set before it
    cluster.kubectl("scale", "deployment/pointsman-operator", "-n", NAMESPACE, "--replicas=0")
    cluster.kubectl("wait", "--for=condition=Established", "crd/modeldeployments.pointsman.dev", "--timeout=30s")


def run_in_the_cluster(cluster: Cluster, settings: Mapping[str, str]) -> None:
    """Start the operator's own Deployment, whose image is on the node, and tell it and the fetcher of these settings."""
    given = [f"{name}={value}" for name, value in settings.items()]
    cluster.kubectl("set", "env", "deployment/pointsman-operator", "-n", NAMESPACE, *given)
    storage = ("clusterstoragecontainer", "pointsman-registry")
    container = json.loads(cluster.kubectl("get", *storage, "-o", "json"))["spec"]["container"]
    environment = [each for each in container["env"] if each["name"] not in settings]
    environment += [{"name": name, "value": value} for name, value in settings.items()]
    patch = {"spec": {"container": {**container, "env": environment}}}
    cluster.kubectl("patch", *storage, "--type=merge", "-p", json.dumps(patch))
    cluster.kubectl("scale", "deployment/pointsman-operator", "-n", NAMESPACE, "--replicas=2")
    cluster.kubectl("rollout", "status", "deployment/pointsman-operator", "-n", NAMESPACE, "--timeout=180s")


def as_the_operator(cluster: Cluster, folder: Path, namespace: str = NAMESPACE) -> Path:
    """A kubeconfig with a token of the operator's ServiceAccount: what it may do is what its role says."""
    account = ("pointsman-operator", "-n", namespace)
    token = cluster.kubectl("create", "token", *account, "--duration=4h").strip()
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"] = [{"name": "operator", "user": {"token": token}}]
    document["contexts"][0]["context"]["user"] = "operator"
    path = folder / "operator.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


@contextmanager
def operator(
    cluster: Cluster,
    folder: Path,
    *,
    registry: str,
    probes: str,
    environment: Mapping[str, str] | None = None,
    namespace: str = NAMESPACE,
) -> Iterator[Operator]:
    """One replica under its own role, ready, and ended with the block.

    `registry` is MLflow's address, `probes` where all models answer, `namespace` where it is installed.
    """
    port, webhook_port = free_ports(2)
    settings = {
        "POINTSMAN_NAMESPACE": namespace,
        "POINTSMAN_REGISTRY_URL": registry,
        "POINTSMAN_REGISTRY_POLL_SECONDS": "0.5",
        "POINTSMAN_PROBE_ADDRESS": probes,
        "POINTSMAN_METRICS_PORT": str(port),
        "POINTSMAN_WEBHOOK_PORT": str(webhook_port),
        "POINTSMAN_WEBHOOK_HOST": "127.0.0.1",
        "POINTSMAN_LEADER_ELECTION": "false",
        "POINTSMAN_DRAIN_SECONDS": "1",
        **(environment or {}),
    }
    log = folder / f"operator-{port}.log"
    command = [
        sys.executable,
        "-m",
        "pointsman_operator",
        "--kubeconfig",
        str(as_the_operator(cluster, folder, namespace)),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)
    running = Operator(process=process, log=log, metrics=f"http://127.0.0.1:{port}")
    try:
        wait_for(f"the operator is ready; its log is {log}", lambda: _is_ready(running), seconds=60)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            running.kill()


@contextmanager
def model_server(folder: Path, digest: str, name: str) -> Iterator[str]:
    """A real model server on loopback; its address."""
    command = [sys.executable, "-m", "pointsman_serving.native", "--model-dir", str(folder), "--digest", digest]
    process = subprocess.Popen(
        [*command, "--name", name, "--http-port", "0", "--grpc-port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        ports: dict[str, Any] = {}
        for line in process.stderr:
            record = json.loads(line)
            if record["event"] == "listening":
                ports = record
            if record["event"] == "ready":
                break
        yield f"http://127.0.0.1:{ports['http_port']}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stderr.close()


def model_deployment(name: str, namespace: str, **spec: Any) -> Object:
    """A ModelDeployment, as a user writes it."""
    return {
        "apiVersion": "pointsman.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _is_ready(running: Operator) -> bool:
    if running.process.poll() is not None:
        raise AssertionError(f"the operator has ended:\n{running.log.read_text()[-3000:]}")
    try:
        return _opened(f"{running.metrics}/readyz") == "ok\n"
    except OSError:
        time.sleep(0.1)
        return False


def _opened(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as response:
        body: bytes = response.read()
    return body.decode()
