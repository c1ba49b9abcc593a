"""What is around a model: how its things are found, and the state of each in one line of words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pointsman_operator import names
from pointsman_operator.causes.cause import Raw, condition, items, last_line, shortened
from pointsman_operator.seen import Kind, Seen

EVENTS = 3
"""So many events are told of a thing: the newest"""
NOISE = re.compile(r"the object has been modified|Istio VirtualService CRD not present")
"""KServe warns of this in good health too: it tries again at once, and Istio is not needed"""


def revision_of(raw: Raw) -> str:
    """The revision that a thing belongs to."""
    return str((raw["metadata"].get("labels") or {}).get(names.REVISION))


def of_revision(seen: Seen, kind: Kind, revision: str) -> list[Raw]:
    """What KServe and Kubernetes made for a revision, the oldest first."""
    return sorted((raw for raw in seen.of(kind) if revision_of(raw) == revision), key=age)


def age(raw: Raw) -> str:
    """For sorting, the oldest first."""
    return str(raw["metadata"].get("creationTimestamp", ""))


def maker_of(pod: Raw) -> str:
    """The name of what made a pod."""
    owners = (str(each["name"]) for each in pod["metadata"].get("ownerReferences", ()) if each.get("controller"))
    return next(owners, "")


def of_service(raw: Raw) -> str:
    """An InferenceService: KServe's own verdict."""
    ready = condition(raw, "Ready")
    if not ready:
        return "KServe has not said anything yet"
    message = shortened(str(ready.get("message", "")))
    told = " ".join(filter(None, (f"Ready {ready['status']}", str(ready.get("reason", "")))))
    return f"{told}: {message}" if message else told


def of_replicas(raw: Raw) -> str:
    """A Deployment or a ReplicaSet: how many are ready, and what it was refused."""
    wanted = raw.get("spec", {}).get("replicas", 1)
    told = f"{raw.get('status', {}).get('readyReplicas', 0)} of {wanted} ready"
    failure = condition(raw, "ReplicaFailure")
    return f"{told}, refused: {shortened(str(failure.get('message', '')))}" if is_refused(raw) else told


def is_refused(raw: Raw) -> bool:
    """Whether it was refused to make pods."""
    return condition(raw, "ReplicaFailure").get("status") == "True"


def of_pod(raw: Raw) -> str:
    """A pod: its phase, or that it waits for a node."""
    if raw["metadata"].get("deletionTimestamp"):
        return "ending"
    scheduled = condition(raw, "PodScheduled")
    if scheduled.get("status") == "False":
        said = str(scheduled.get("message", "")).split(" preemption:")[0]
        return f"no node takes it: {shortened(said.rstrip(' ,'))}"
    phase = raw.get("status", {}).get("phase", "Unknown")
    return f"{phase}, {'ready' if is_ready(raw) else 'not ready'}"


def is_ready(pod: Raw) -> bool:
    """Whether it serves."""
    return condition(pod, "Ready").get("status") == "True"


def of_container(status: Raw) -> str:
    """A container: what it does now, how it ended before, and how often it was started again."""
    state = status.get("state", {})
    if "running" in state:
        now = "running, ready" if status.get("ready") else "running, not ready"
    elif "terminated" in state:
        now = "done" if not state["terminated"].get("exitCode") else f"ended by {_end(state['terminated'])}"
    else:
        waiting = state.get("waiting", {})
        why = "" if waiting.get("reason") == "CrashLoopBackOff" else shortened(str(waiting.get("message", "")))
        now = ": ".join(filter(None, (str(waiting.get("reason") or "not started yet"), why)))
    before = status.get("lastState", {}).get("terminated", {})
    restarts = status.get("restartCount", 0)
    told = [
        now,
        f"ended before by {_end(before)}" if before and "terminated" not in state else "",
        f"started again {'once' if restarts == 1 else f'{restarts} times'}" if restarts else "",
    ]
    return ", ".join(filter(None, told))


def last_words(status: Raw, log: str) -> str:
    """The last line that a container has left: in its status, else in its log."""
    ends = (status.get("state", {}).get("terminated"), status.get("lastState", {}).get("terminated"))
    left = next((str(end["message"]) for end in ends if end and end.get("message")), "")
    return last_line(left or log)


def statuses(pod: Raw) -> Iterator[tuple[str, Raw]]:
    """The containers in the order in which they start, each with what it is called."""
    for status in items(pod, "status", "initContainerStatuses"):
        yield f"init container {status['name']}", status
    for status in items(pod, "status", "containerStatuses"):
        yield f"container {status['name']}", status


def of_events(events: Sequence[Raw]) -> Iterator[tuple[str, str]]:
    """Reason and message of each kind of warning, the newest last, with how often."""
    newest = {(str(event.get("reason", "")), str(event.get("message", ""))): event for event in events}
    telling = [(key, event) for key, event in newest.items() if not NOISE.search(key[1])]
    for (reason, message), event in telling[-EVENTS:]:
        times = (event.get("series") or {}).get("count") or event.get("count") or 1
        yield reason, f"{shortened(message)}{f' ({times} times)' if times > 1 else ''}"


def _end(terminated: Raw) -> str:
    reason = terminated.get("reason")
    return f"exit code {terminated.get('exitCode')}" + (f" ({reason})" if reason else "")
