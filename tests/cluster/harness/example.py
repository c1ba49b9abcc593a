"""The fraud example on a cluster: applied with kubectl as it lies in the repository, fed through the gateway, and counted."""

from __future__ import annotations

import base64
import contextlib
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from psycopg.rows import TupleRow

from harness.cluster import Cluster
from harness.operator import MANIFESTS
from harness.waiting import wait_for
from pointsman.certificate_files import public_file, write_new_key
from pointsman.demo.conservation import PENDING, Conservation, conservation
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.streaming import Sent, send
from pointsman.demo.transactions import as_json_lines
from pointsman.store.database import connect

EXAMPLE = MANIFESTS / "examples" / "fraud"
GRAPH = "card-fraud"
HISTORY = ("--days", "30", "--seed", "41")
"""On which both bands of the example keep their promises, though barely: it is as short as can be"""
POSTGRES = "pointsman-postgres"


@dataclass(frozen=True, kw_only=True)
class Fraud:
    """The example in one namespace. `gateway` is where the cluster is reached, `registry` its MLflow: http:// addresses."""

    cluster: Cluster
    namespace: str
    gateway: str
    registry: str

    @property
    def decisions(self) -> str:
        """Where events are posted."""
        return f"{self.gateway}/v1/graphs/{GRAPH}/decisions"

    @property
    def headers(self) -> dict[str, str]:
        """What lets in: the first API key, of role admin."""
        return {"authorization": f"Bearer {self.secret('pointsman-keys', 'adminKey')}"}

    def secret(self, name: str, key: str) -> str:
        """A value of a Secret."""
        return base64.b64decode(self.cluster.get("secret", name, self.namespace)["data"][key]).decode()

    def address(self, service: str) -> str:
        """The cluster IP of a Service."""
        return str(self.cluster.get("service", service, self.namespace)["spec"]["clusterIP"])

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in the example's namespace."""
        return self.cluster.kubectl(*arguments, "-n", self.namespace, stdin=stdin)

    def apply(self) -> None:
        """What the README says: the target's secret, and the example's files as they are."""
        token = secrets.token_urlsafe(24)
        self.kubectl("create", "secret", "generic", "accounts-token", f"--from-literal=token={token}")
        for file in sorted(EXAMPLE.glob("*.yaml")):
            self.kubectl("apply", "-f", str(file))

    def status(self, kind: str = "decisiongraph", name: str = GRAPH) -> dict[str, Any]:
        """The status of one of its objects."""
        found: dict[str, Any] = self.cluster.get(kind, name, self.namespace).get("status", {})
        return found

    def ready(self, kind: str = "decisiongraph", name: str = GRAPH, seconds: float = 300) -> dict[str, Any]:
        """Wait until it is Ready; its status."""

        def is_ready() -> bool:
            return any(
                (each["type"], each["status"]) == ("Ready", "True")
                for each in self.status(kind, name).get("conditions", ())
            )

        try:
            wait_for(f"{kind} {name} is Ready", is_ready, seconds=seconds, every=0.5)
        except AssertionError as error:
            pods = self.kubectl("get", "pods", "-o", "wide")
            raise AssertionError(f"{error}: {self.status(kind, name)}\n{pods}") from None
        return self.status(kind, name)

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`pointsman` in the example's namespace, as a user runs it."""
        program = Path(sys.executable).with_name("pointsman")
        where = ("--kubeconfig", self.cluster.kubeconfig, "-n", self.namespace)
        command = [str(each) for each in (program, *arguments, *where)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def certify(self, folder: Path) -> str:
        """What the README says: a key that may sign, and its certificates on labelled history; what the command said.

        Nothing is decided by it. Where the graph asks for no certificates, its bands need not keep their promises.
        """
        labels, history, key = folder / "labels.csv", folder / "history.jsonl", folder / "risk.pem"
        with history.open("wb") as written:
            events = [sys.executable, "-m", "pointsman.demo.events", *HISTORY, "--labels", str(labels)]
            subprocess.run(events, stdout=written, check=True)
        write_new_key(key)
        trusted = self.command("certificates", "trust", public_file(key))
        assert trusted.returncode == 0, trusted.stderr
        ran = self.command("certify", GRAPH, "--events", history, "--labels", labels, "--key", key)
        spec = self.cluster.get("decisiongraph", GRAPH, self.namespace)["spec"]
        fine = (0,) if spec["certificates"] == "Required" else (0, 1)
        assert ran.returncode in fine, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def send(
        self, lines: Sequence[bytes], *, batch: int = 500, rate: float | None = None, patience: float = 180
    ) -> Sent:
        """Post events through the gateway, in order; whoever is away is tried again."""
        return send(self.decisions, lines, headers=self.headers, batch=batch, rate=rate, patience_seconds=patience)

    def store(self) -> psycopg.Connection[TupleRow]:
        """A connection to its PostgreSQL, once that answers, by the application's own role."""
        url = self.secret("pointsman-store", "url").replace(POSTGRES, self.address(POSTGRES))

        def connected() -> psycopg.Connection[TupleRow] | None:
            with contextlib.suppress(psycopg.OperationalError):
                return connect(url)
            return None

        return wait_for("PostgreSQL answers", connected, seconds=120, every=0.5)

    def counted(self) -> Conservation:
        """What came in and what became of it, once no action waits any more."""
        with self.store() as connection:

            def nothing_waits() -> bool:
                with connection.transaction():
                    row = connection.execute(PENDING).fetchone()
                return row is not None and row[0] == 0

            wait_for("no action waits any more", nothing_waits, seconds=180, every=0.5)
            token = self.secret("accounts-token", "token")
            return conservation(connection, accounts=f"http://{self.address('accounts')}", token=token)

    def asked(self, method: str, path: str, **body: Any) -> Any:
        """What the API answers through the gateway."""
        with httpx2.Client(trust_env=False, timeout=30) as client:
            answer = client.request(method, f"{self.gateway}{path}", headers=self.headers, json=body or None)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


def with_store(cluster: Cluster, namespace: str) -> None:
    """A namespace at the restricted Pod Security level with the PostgreSQL for trials, as docs/store.md says."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    roles = {"url": "pointsman_app", "ownerUrl": "pointsman_owner"}
    urls = (
        f"{key}=postgresql://{role}:{secrets.token_hex(16)}@{POSTGRES}:5432/pointsman" for key, role in roles.items()
    )
    given = [f"--from-literal={each}" for each in urls]
    cluster.kubectl("create", "secret", "generic", "pointsman-store", "-n", namespace, *given)
    cluster.kubectl("apply", "-n", namespace, "-k", str(MANIFESTS / "postgres" / "without-storage"))


def transactions(days: int = 10, customers: int = 2000) -> list[bytes]:
    """A stream with all that a real one has: late, doubled, broken rows and conflicts."""
    return as_json_lines(generate(GeneratorSettings(days=days, customers=customers, terminals=customers)))


def folder_of(cluster: Cluster) -> Path:
    """Where images are written for this cluster; it goes with it."""
    assert cluster.log_folder is not None
    return cluster.log_folder.parent / "tmp"
