"""Where the cause of an object's state lies: in which thing of which revision. The status says what decides, `causes` why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pointsman.api.reasons import Reason
from pointsman.explained import Mark, Standing
from pointsman_operator.causes.cause import Cause
from pointsman_operator.causes.containers import PodSeen, cause_of_pod
from pointsman_operator.explaining import words
from pointsman_operator.observe import cause_of_service, pods_of
from pointsman_operator.seen import DEPLOYMENT, INFERENCE_SERVICE, POD, REPLICA_SET, Kind, Raw, Seen


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The thing that is marked: a kind and a name, and of a pod the container; `more` is kubectl's command for the rest."""

    kind: str
    name: str
    container: str = ""
    mark: Mark
    reason: Reason
    more: str

    def mark_of(self, kind: str, name: str, container: str = "") -> Mark:
        """The mark of a thing: none, where it is another."""
        return self.mark if (self.kind, self.name, self.container) == (kind, name, container) else ""


def blame(seen: Seen, stands: Standing, services: Sequence[Raw]) -> Blame | None:
    """Where the cause lies, where it lies in a revision. `services` are the InferenceServices, the one that serves first."""
    for service in _candidates(seen, stands, services):
        cause = cause_of_service(seen, service)
        if cause is not None:
            return _found(seen, service, cause)
    return None


def _candidates(seen: Seen, stands: Standing, services: Sequence[Raw]) -> Iterable[Raw]:
    """The revisions that what decides may be about, the likeliest first."""
    serving = [raw for raw in services if words.revision_of(raw) == seen.status.get("revision")]
    others = [raw for raw in reversed(services) if raw not in serving]
    if stands.decided_by == "Rollout":
        return others
    if stands.decided_by == "ModelReady":
        return serving or others
    return () if stands.decided_by else (*others, *serving)


def _found(seen: Seen, service: Raw, cause: Cause) -> Blame:
    """The thing in a revision that shows its cause."""
    revision = words.revision_of(service)
    for pod in pods_of(seen, revision):
        found = cause_of_pod(pod)
        if found is not None and (found.reason, found.container) == (cause.reason, cause.container):
            return in_pod(pod, found)
    for kind in (REPLICA_SET, DEPLOYMENT):
        for raw in words.of_revision(seen, kind, revision):
            if words.is_refused(raw):
                return _in(kind, raw, cause)
    return _in(INFERENCE_SERVICE, service, cause)


def in_pod(seen: PodSeen, cause: Cause) -> Blame:
    """In a container of a pod, or in the pod itself."""
    name = str(seen.pod["metadata"]["name"])
    status: Raw = next((status for _, status in words.statuses(seen.pod) if status["name"] == cause.container), {})
    runs, restarts = "running" in status.get("state", {}), status.get("restartCount", 0)
    previous = "" if runs else " --previous"
    more = f"logs {name} -c {cause.container}{previous}" if runs or restarts else f"describe pod {name}"
    return Blame(kind=POD.name, name=name, container=cause.container, mark=_mark(cause), reason=cause.reason, more=more)


def _in(kind: Kind, raw: Raw, cause: Cause) -> Blame:
    name = str(raw["metadata"]["name"])
    more = f"describe {kind.name.lower()} {name}"
    return Blame(kind=kind.name, name=name, mark=_mark(cause), reason=cause.reason, more=more)


def _mark(cause: Cause) -> Mark:
    return "waits" if cause.passes else "cause"
