"""The tree of what a ModelDeployment consists of on the cluster, each thing with its state, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pointsman.deployments.versions import of_revision
from pointsman.explained import Line, Mark, Verdict, conditions_of, explained, headed, standing
from pointsman_operator.explaining import words
from pointsman_operator.explaining.blame import Blame, blame
from pointsman_operator.seen import DEPLOYMENT, INFERENCE_SERVICE, POD, REPLICA_SET, Kind, Raw, Seen

PODS = 5
"""So many pods of a revision are told of one by one: the one that is to blame, then those that are not ready"""
Logs = Mapping[tuple[str, str], str]
"""The end of a container's log, by pod and container"""


def explain(seen: Seen, logs: Logs) -> dict[str, Any]:
    """What `pointsman explain` prints of it."""
    stands = standing(seen.status, generation=int(seen.deployment["metadata"].get("generation", 0)))
    services = sorted(filter(seen.is_ours, seen.of(INFERENCE_SERVICE)), key=lambda raw: _rank(seen, raw))
    blamed = blame(seen, stands, services)
    drawing = Drawing(seen=seen, blamed=blamed, logs=logs)
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
class Drawing:
    """The lines of what is seen."""

    seen: Seen
    blamed: Blame | None
    logs: Logs

    def revision(self, service: Raw) -> Line:
        """InferenceService, Deployment, ReplicaSets, each with its pods: what is missing of them is left out."""
        revision = words.revision_of(service)
        pods = list(self._pods(revision))
        sets = [raw for raw in words.of_revision(self.seen, REPLICA_SET, revision) if raw["spec"].get("replicas")]
        inner = []
        for raw in sets:
            made = [line for maker, line in pods if maker == raw["metadata"]["name"]]
            inner.append(self._line(REPLICA_SET, raw, words.of_replicas(raw), made))
        makers = {raw["metadata"]["name"] for raw in sets}
        inner += [line for maker, line in pods if maker not in makers]
        deployments = [
            self._line(DEPLOYMENT, raw, words.of_replicas(raw), inner)
            for raw in words.of_revision(self.seen, DEPLOYMENT, revision)
        ]
        below = self._line(INFERENCE_SERVICE, service, words.of_service(service), deployments or inner)
        return Line(what=f"revision {revision}", state=of_revision(self.seen.status, revision), below=(below,))

    def _line(self, kind: Kind, raw: Raw, state: str, below: Iterable[Line]) -> Line:
        """A thing, with the warnings about it before what it is made of."""
        name = str(raw["metadata"]["name"])
        events = self.seen.events.get(str(raw["metadata"].get("uid")), ())
        told = (Line(what=f"event {reason}", state=message) for reason, message in words.of_events(events))
        return Line(what=f"{kind.name}/{name}", state=state, mark=self._mark(kind, name), below=(*told, *below))

    def _pods(self, revision: str) -> Iterator[tuple[str, Line]]:
        """The pods of a revision, each with the name of what made it."""
        found = sorted(words.of_revision(self.seen, POD, revision), key=self._rank_of_pod)
        for pod in found[:PODS]:
            containers = () if words.is_ready(pod) else self._containers(pod)
            yield words.maker_of(pod), self._line(POD, pod, words.of_pod(pod), containers)
        rest = found[PODS:]
        if rest:
            yield "", Line(what=f"{len(rest)} more pods", state=f"{sum(map(words.is_ready, rest))} ready")

    def _rank_of_pod(self, pod: Raw) -> tuple[bool, bool, str]:
        name = str(pod["metadata"]["name"])
        is_blamed = self.blamed is not None and (self.blamed.kind, self.blamed.name) == (POD.name, name)
        return not is_blamed, words.is_ready(pod), name

    def _containers(self, pod: Raw) -> Iterator[Line]:
        """The containers in the order in which they start; one that is not ready with what it said last."""
        name = str(pod["metadata"]["name"])
        for what, status in words.statuses(pod):
            container = str(status["name"])
            said = "" if status.get("ready") else words.last_words(status, self.logs.get((name, container), ""))
            below = (Line(what="last log line", state=said),) if said else ()
            mark = self._mark(POD, name, container)
            yield Line(what=what, state=words.of_container(status), mark=mark, below=below)

    def _mark(self, kind: Kind, name: str, container: str = "") -> Mark:
        return "" if self.blamed is None else self.blamed.mark_of(kind.name, name, container)
