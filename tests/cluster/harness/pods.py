"""What a pod's status says of its failure: the fields the operator reads, in one value to compare.

`SEEN` is what a real kubelet shows. The tests of the real node hold it to that, and those of simulated nodes hold
kwok's stages to it, so that the two worlds cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.cluster import Cluster
from harness.pod_stages import Behaviour
from harness.waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One container's trouble; two kubelets that see the same trouble give equal values."""

    phase: str
    container: str
    waiting: str  # "" when it does not; the reason of `state.waiting`
    last_reason: str | None  # of `lastState.terminated`, like the next
    exit_code: int | None
    restarted: bool
    ready: bool
    conditions: Mapping[str, str]  # status by type
    unready: str | None  # the reason of the condition Ready


def failure(pod: Mapping[str, Any], *, init: bool = False) -> Failure:
    """The failure of the pod's first container, or first init container; an unscheduled pod has none to read."""
    status = pod["status"]
    statuses = status.get("initContainerStatuses" if init else "containerStatuses")
    one: Mapping[str, Any] = statuses[0] if statuses else {"name": "", "restartCount": 0, "ready": False}
    last = one.get("lastState", {}).get("terminated", {})
    conditions = status.get("conditions", ())
    return Failure(
        phase=status["phase"],
        container=one["name"],
        waiting=one.get("state", {}).get("waiting", {}).get("reason", ""),
        last_reason=last.get("reason"),
        exit_code=last.get("exitCode"),
        restarted=one["restartCount"] > 0,
        ready=one["ready"],
        conditions={condition["type"]: condition["status"] for condition in conditions},
        unready=next((condition.get("reason") for condition in conditions if condition["type"] == "Ready"), None),
    )


_UNREADY = MappingProxyType(
    {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "False",
        "ContainersReady": "False",
        "PodScheduled": "True",
    }
)


def _seen(phase: str, waiting: str, last_reason: str | None, exit_code: int | None) -> Failure:
    return Failure(
        phase=phase,
        container="main",
        waiting=waiting,
        last_reason=last_reason,
        exit_code=exit_code,
        restarted=exit_code is not None,
        ready=False,
        conditions=_UNREADY,
        unready="ContainersNotReady",
    )


SEEN: Mapping[Behaviour, Failure] = MappingProxyType(
    {
        Behaviour.CRASH_LOOP: _seen("Running", "CrashLoopBackOff", "Error", 1),
        Behaviour.OOM: _seen("Running", "CrashLoopBackOff", "OOMKilled", 137),
        Behaviour.IMAGE_PULL: _seen("Pending", "ImagePullBackOff", None, None),
    }
)


def waits_as(cluster: Cluster, namespace: str, name: str, reason: str, *, init: bool = False) -> Failure:
    """The pod's failure, once its first container (or init container) waits for this reason."""

    def seen() -> Failure | None:
        found = failure(cluster.get("pod", name, namespace), init=init)
        return found if found.waiting == reason else None

    return wait_for(f"pod {name} waits with {reason}", seen, seconds=60)
