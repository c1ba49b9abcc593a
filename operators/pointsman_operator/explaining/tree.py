"""The tree of what a ModelDeployment consists of on the cluster, each thing with its state, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pointsman.deployments.versions import of_revision
from pointsman.explained import Line, Verdict, conditions_of, explained, headed, standing
from pointsman_operator.explaining import words
from pointsman_operator.explaining.blame import blame
from pointsman_operator.explaining.drawing import Drawing, Logs
from pointsman_operator.seen import DEPLOYMENT, INFERENCE_SERVICE, POD, REPLICA_SET, Raw, Seen


def explain(seen: Seen, logs: Logs) -> dict[str, Any]:
    """What `pointsman explain` prints of it."""
    stands = standing(seen.status, generation=int(seen.deployment["metadata"].get("generation", 0)))
    services = sorted(filter(seen.is_ours, seen.of(INFERENCE_SERVICE)), key=lambda raw: _rank(seen, raw))
    blamed = blame(seen, stands, services)
    drawing = Revisions(seen=seen, blamed=blamed, logs=logs)
    below = [*conditions_of(seen.status), *map(drawing.revision, services)]
    tree = headed(f"ModelDeployment/{seen.name}", stands, below)
    if blamed is None:
        return explained(tree, Verdict(reason=stands.reason))
    is_told = stands.status != "True" and stands.decided_by  # else the status does not know of it
    reason = stands.reason if is_told else blamed.reason
    return explained(tree, Verdict(reason=reason, more=f"kubectl {blamed.more} -n {seen.namespace}"))


def _rank(seen: Seen, service: Raw) -> tuple[bool, str]:
    """The one that serves comes first, then the oldest."""
    return words.revision_of(service) != seen.status.get("revision"), words.age(service)


@dataclass(frozen=True, kw_only=True)
class Revisions(Drawing):
    """The lines of a ModelDeployment's revisions."""

    seen: Seen

    def revision(self, service: Raw) -> Line:
        """InferenceService, Deployment, ReplicaSets, each with its pods: what is missing of them is left out."""
        revision = words.revision_of(service)
        pods = list(self.pods(words.of_revision(self.seen, POD, revision)))
        sets = [raw for raw in words.of_revision(self.seen, REPLICA_SET, revision) if raw["spec"].get("replicas")]
        inner = []
        for raw in sets:
            made = [line for maker, line in pods if maker == raw["metadata"]["name"]]
            inner.append(self.line(REPLICA_SET, raw, words.of_replicas(raw), made))
        makers = {raw["metadata"]["name"] for raw in sets}
        inner += [line for maker, line in pods if maker not in makers]
        deployments = [
            self.line(DEPLOYMENT, raw, words.of_replicas(raw), inner)
            for raw in words.of_revision(self.seen, DEPLOYMENT, revision)
        ]
        below = self.line(INFERENCE_SERVICE, service, words.of_service(service), deployments or inner)
        return Line(what=f"revision {revision}", state=of_revision(self.seen.status, revision), below=(below,))
