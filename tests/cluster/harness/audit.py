"""What the operator wrote, as the API server itself tells it: its audit log, of the operator's writes and nobody else's.

The log is written before a request is answered: what somebody has seen the effect of is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.cluster import Cluster
from harness.runs import Run

OPERATOR = "system:serviceaccount:pointsman-system:pointsman-operator"
_FILE = ("state", "audit.log")  # in the run's folder; it goes when the run ends
_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {
            "level": "Request",
            "users": [OPERATOR],
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            "omitManagedFields": True,
        },
        {"level": "None"},
    ],
}


@dataclass(frozen=True, kw_only=True)
class Write:
    """One write, whether or not it changed anything. `resource` is plural, with the part of it: "services/status"."""

    verb: str
    resource: str
    namespace: str
    name: str
    body: Any
    code: int
    began: datetime
    ended: datetime


def flags(run: Run) -> list[str]:
    """The API server's flags that make it keep the log; writes the policy."""
    policy = run.path("etc", "audit.json")
    policy.write_text(json.dumps(_POLICY))
    return [f"--audit-policy-file={policy}", f"--audit-log-path={run.path(*_FILE)}", "--audit-log-maxsize=2000"]


class Audit:
    """The log of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.log_folder is not None, "only the clusters that are started here keep an audit log"
        self._path = cluster.log_folder.parent.joinpath(*_FILE)

    def now(self) -> int:
        """This moment in the log: for `since`."""
        return self._path.stat().st_size if self._path.exists() else 0

    def since(self, moment: int) -> list[Write]:
        """The writes after a moment, in the order in which they were answered."""
        return list(self._read(moment))

    def _read(self, moment: int) -> Iterator[Write]:
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(moment)
            for line in log:
                if line.endswith(b"\n"):
                    yield _write(json.loads(line))


def _write(event: Mapping[str, Any]) -> Write:
    about = event["objectRef"]
    part = f"/{about['subresource']}" if "subresource" in about else ""
    body = event.get("requestObject")
    return Write(
        verb=event["verb"],
        resource=about["resource"] + part,
        namespace=about.get("namespace", ""),
        name=about.get("name") or (body or {}).get("metadata", {}).get("name", ""),
        body=body,
        code=event["responseStatus"]["code"],
        began=datetime.fromisoformat(event["requestReceivedTimestamp"]),
        ended=datetime.fromisoformat(event["stageTimestamp"]),
    )
