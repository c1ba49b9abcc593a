"""What a simulated pod's status shows at one moment, and kwok's template that writes it.

`pod_stages.py` says which look follows which. Templates are Go's, over the pod, and give YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

Fields = dict[str, Any]

_NOW = "{{ Now }}"
_RESTARTS = "(restarts)"  # stands for a number until the template is made: YAML would quote the expression
NONE_YET = "0"
SAME = "{{ (index $pod.status.%s $i).restartCount }}"
ONE_MORE = "{{ add 1 (index $pod.status.%s $i).restartCount }}"

RUNNING: Fields = {"running": {"startedAt": _NOW}}
INITIALIZING: Fields = {"waiting": {"reason": "PodInitializing"}}
DONE: Fields = {
    "terminated": {"exitCode": 0, "reason": "Completed", "startedAt": _NOW, "finishedAt": _NOW},
}
BACK_OFF: Fields = {
    "waiting": {
        "reason": "CrashLoopBackOff",
        "message": "back-off 10s restarting failed container={{ $c.name }} "
        "pod={{ $pod.metadata.name }}_{{ $pod.metadata.namespace }}({{ $pod.metadata.uid }})",
    }
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a pod's status shows at one moment; every container of a list shows the same."""

    phase: str
    ready: bool
    containers: Fields
    last: Fields | None = None
    restarts: str = NONE_YET
    init: Fields | None = None  # None: done
    init_last: Fields | None = None
    init_restarts: str = NONE_YET
    complete: bool = False


def terminated(reason: str, code: int, message: str | None = None) -> Fields:
    """A container's end, as `state` or `lastState` shows it."""
    ended: Fields = {"exitCode": code, "reason": reason, "startedAt": _NOW, "finishedAt": _NOW}
    return {"terminated": ended if message is None else {**ended, "message": message}}


def template(look: Look) -> str:
    """kwok's template for this look: YAML with loops over the pod's containers."""
    words = [f"{{{{ $pod := . }}}}\n{_conditions(look)}"]
    words.append(_statuses("initContainers", look.init or DONE, look.init_last, look.init_restarts, look.init is None))
    words.append(_statuses("containers", look.containers, look.last, look.restarts, look.ready))
    words.append(_ADDRESSES)
    words.append(yaml.safe_dump({"phase": look.phase}))
    return "\n".join(words)


def _conditions(look: Look) -> str:
    unready = {"reason": "PodCompleted" if look.complete else "ContainersNotReady"}
    if not look.complete:
        unready["message"] = "containers with unready status: " + _names("containers")
    uninitialized = {
        "reason": "ContainersNotInitialized",
        "message": "containers with incomplete status: " + _names("initContainers"),
    }
    gates = "{{ range .spec.readinessGates }}\n- {type: '{{ .conditionType }}', status: 'True'}\n{{ end }}\n"
    return (
        yaml.safe_dump(
            {
                "conditions": [
                    _condition("PodReadyToStartContainers", not look.complete, {}),
                    _condition("Initialized", look.init is None, uninitialized),
                    _condition("Ready", look.ready, unready),
                    _condition("ContainersReady", look.ready, unready),
                ]
            },
            width=10_000,
        )
        + gates
    )


def _names(of: str) -> str:
    return f"[{{{{ range $i, $c := .spec.{of} }}}}{{{{ if $i }}}} {{{{ end }}}}{{{{ $c.name }}}}{{{{ end }}}}]"


def _condition(kind: str, holds: bool, otherwise: Mapping[str, str]) -> Fields:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "lastTransitionTime": _NOW,
        "lastProbeTime": None,
        **({"reason": "", "message": ""} if holds else otherwise),
    }


def _statuses(of: str, state: Fields, last: Fields | None, restarts: str, ready: bool) -> str:
    key = "initContainerStatuses" if of == "initContainers" else "containerStatuses"
    started = "running" in state
    item = {
        "name": "{{ $c.name }}",
        "image": "{{ $c.image }}",
        "imageID": "" if "waiting" in state and last is None else "{{ $c.image }}",
        "ready": ready,
        "started": started,
        "restartCount": _RESTARTS,
        "state": state,
        "lastState": last or {},
    }
    count = restarts % key if "%" in restarts else restarts
    listed = yaml.safe_dump([item], width=10_000).replace(_RESTARTS, count)
    return f"{key}:\n{{{{ range $i, $c := .spec.{of} }}}}\n{listed}{{{{ end }}}}"


# once: kwok would draw another address, and a pod can have one
_ADDRESSES = """
{{ if not .status.podIP }}
hostIP: '{{ NodeIPWith .spec.nodeName }}'
{{ with PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
podIP: '{{ index . 0 }}'
podIPs:
{{ range . }}
- ip: '{{ . }}'
{{ end }}
{{ end }}
startTime: '{{ Now }}'
{{ end }}
"""
