"""How simulated pods behave: kwok's stages for pods, chosen by the annotation `pointsman.test/pod`.

Without it a pod is Ready at once, and a Job's completes. With it, its status goes through what a kubelet writes:
`pods.SEEN` holds the two side by side. The annotation may be set on a pod that runs already, and removing
it heals the pod. `pointsman.test/delay` ("20s") says how long a `slow` pod takes; three seconds without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.pod_looks import BACK_OFF, DONE, INITIALIZING, ONE_MORE, RUNNING, SAME, Fields, Look, template, terminated

ANNOTATION = "pointsman.test/pod"
DELAY_ANNOTATION = "pointsman.test/delay"
BACK_OFF_MS = 10_000  # a kubelet's first back-off


class Behaviour(StrEnum):
    """What a pod does that carries the annotation."""

    CRASH_LOOP = "crash-loop"  # each container exits with 1, again and again
    IMAGE_PULL = "image-pull"  # no registry has the image
    OOM = "oom"  # each container is killed for its memory, again and again
    STORAGE_INITIALIZER_FAILS = "storage-initializer-fails"  # init containers exit with 1: the model is not there
    SLOW = "slow"  # runs at once, ready later
    NEVER_READY = "never-ready"  # runs, and its readiness probe never passes
    SECRET_MISSING = "secret-missing"  # a container's environment names a Secret that does not exist


_PULL_ERROR = (
    'failed to pull and unpack image "{{ $c.image }}": failed to resolve reference "{{ $c.image }}": no such host'
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A Warning that the kubelet posts with a change."""

    reason: str
    message: str


_UNHEALTHY = Event(reason="Unhealthy", message="Readiness probe failed: HTTP probe failed with statuscode: 503")
_LAST_LINES = "Traceback (most recent call last):\n2026-01-01T00:00:00Z ValueError: the opset 99 is not known\n"
"""What the kubelet keeps of the log of a container that ended, where it is asked to"""

_BEHAVIOUR = f'.metadata.annotations["{ANNOTATION}"]'
_READY = '.status.conditions[] | select(.type == "Ready") | .status'
_STATE = ".status.containerStatuses[].state"
_INIT_STATE = ".status.initContainerStatuses[].state"


def _is(key: str, *values: str) -> Fields:
    return {"key": key, "operator": "In", "values": list(values)}


def _is_not(key: str, *values: str) -> Fields:
    return {"key": key, "operator": "NotIn", "values": list(values)}


def _exists(key: str) -> Fields:
    return {"key": key, "operator": "Exists"}


def _absent(key: str) -> Fields:
    return {"key": key, "operator": "DoesNotExist"}


def _stage(name: str, when: Sequence[Fields], look: Look, *, after_ms: int = 0, event: Event | None = None) -> Fields:
    delay: Fields = {"durationMilliseconds": after_ms}
    if name == "slow-ready":
        delay["durationFrom"] = {"expressionFrom": f'.metadata.annotations["{DELAY_ANNOTATION}"]'}
    following: Fields = {"statusTemplate": template(look)}
    if event:
        following["event"] = {"type": "Warning", "reason": event.reason, "message": event.message}
    selected = [_absent(".metadata.deletionTimestamp"), *when]
    return _document(name, {"selector": {"matchExpressions": selected}, "delay": delay, "next": following})


def _document(name: str, spec: Fields) -> Fields:
    reference = {"apiGroup": "v1", "kind": "Pod"}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {"resourceRef": reference, **spec},
    }


def _loop(behaviour: Behaviour, end: Fields) -> list[Fields]:
    """Runs, ends, waits for its back-off, runs again."""
    this = _is(_BEHAVIOUR, behaviour)
    back_off = Event(reason="BackOff", message="Back-off restarting failed container")
    runs = Look(phase="Running", ready=False, containers=RUNNING)
    falls = Look(phase="Running", ready=False, containers=BACK_OFF, last=end, restarts=ONE_MORE)
    again = Look(phase="Running", ready=False, containers=RUNNING, last=end, restarts=SAME)
    return [
        _stage(f"{behaviour}-runs", [this, _absent(_STATE)], runs),
        _stage(f"{behaviour}-falls", [this, _exists(f"{_STATE}.running")], falls, after_ms=300, event=back_off),
        _stage(f"{behaviour}-again", [this, _exists(f"{_STATE}.waiting")], again, after_ms=BACK_OFF_MS),
    ]


def _image_pull() -> list[Fields]:
    this = _is(_BEHAVIOUR, Behaviour.IMAGE_PULL)
    failed: Fields = {"waiting": {"reason": "ErrImagePull", "message": _PULL_ERROR}}
    waits: Fields = {
        "waiting": {
            "reason": "ImagePullBackOff",
            "message": f'Back-off pulling image "{{{{ $c.image }}}}": ErrImagePull: {_PULL_ERROR}',
        }
    }
    first = Look(phase="Pending", ready=False, containers=failed)
    then = Look(phase="Pending", ready=False, containers=waits)
    reason = f"{_STATE}.waiting.reason"
    return [
        _stage(
            "image-pull-fails",
            [this, _absent(_STATE)],
            first,
            event=Event(reason="Failed", message="Error: ErrImagePull"),
        ),
        _stage(
            "image-pull-waits",
            [this, _is(reason, "ErrImagePull")],
            then,
            after_ms=300,
            event=Event(reason="Failed", message="Error: ImagePullBackOff"),
        ),
    ]


def _storage_initializer_fails() -> list[Fields]:
    this = _is(_BEHAVIOUR, Behaviour.STORAGE_INITIALIZER_FAILS)
    end = terminated("Error", 1, "the model was not found at its storageUri")
    event = Event(reason="BackOff", message="Back-off restarting failed container storage-initializer")
    runs = Look(phase="Pending", ready=False, containers=INITIALIZING, init=RUNNING)
    falls = Look(
        phase="Pending",
        ready=False,
        containers=INITIALIZING,
        init=BACK_OFF,
        init_last=end,
        init_restarts=ONE_MORE,
    )
    again = Look(phase="Pending", ready=False, containers=INITIALIZING, init=RUNNING, init_last=end, init_restarts=SAME)
    name = Behaviour.STORAGE_INITIALIZER_FAILS
    return [
        _stage(f"{name}-runs", [this, _absent(_STATE)], runs),
        _stage(f"{name}-falls", [this, _exists(f"{_INIT_STATE}.running")], falls, after_ms=300, event=event),
        _stage(f"{name}-again", [this, _exists(f"{_INIT_STATE}.waiting")], again, after_ms=BACK_OFF_MS),
    ]


def _secret_missing() -> list[Fields]:
    this = _is(_BEHAVIOUR, Behaviour.SECRET_MISSING)
    waits: Fields = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "token" not found'}}
    look = Look(phase="Pending", ready=False, containers=waits)
    event = Event(reason="Failed", message='Error: secret "token" not found')
    return [_stage(Behaviour.SECRET_MISSING, [this, _absent(_STATE)], look, event=event)]


def stages() -> list[Fields]:
    """Every stage of pods, as kwok's `--config` takes them. No two match the same pod: kwok would draw lots."""
    ready = Look(phase="Running", ready=True, containers=RUNNING)
    unready = Look(phase="Running", ready=False, containers=RUNNING)
    done = Look(phase="Succeeded", ready=False, containers=DONE, complete=True)
    unbidden = _absent(_BEHAVIOUR)
    slow, never = _is(_BEHAVIOUR, Behaviour.SLOW), _is(_BEHAVIOUR, Behaviour.NEVER_READY)
    lives = _is_not(".status.phase", "Succeeded", "Failed")
    unknown = [_exists(_BEHAVIOUR), _is_not(_BEHAVIOUR, *Behaviour), _is_not(".status.phase", "Failed")]
    failed = Look(phase="Failed", ready=False, containers=terminated("UnknownBehaviour", 1, f"see {ANNOTATION}"))
    of_a_job = ".metadata.ownerReferences[].kind"
    deleted = {"selector": {"matchExpressions": [_exists(".metadata.deletionTimestamp")]}, "next": {"delete": True}}
    return [
        _stage("ready", [unbidden, lives, _is_not(_READY, "True")], ready),
        _stage("done", [unbidden, lives, _is(_READY, "True"), _is(of_a_job, "Job")], done),
        _stage("slow-runs", [slow, _absent(_STATE)], unready),
        _stage("slow-ready", [slow, _exists(_STATE), _is_not(_READY, "True")], ready, after_ms=3_000),
        _stage("never-ready", [never, _is_not(_READY, "False")], unready, event=_UNHEALTHY),
        _stage("unknown", unknown, failed),
        *_loop(Behaviour.CRASH_LOOP, terminated("Error", 1, _LAST_LINES)),
        *_loop(Behaviour.OOM, terminated("OOMKilled", 137)),
        *_image_pull(),
        *_secret_missing(),
        *_storage_initializer_fails(),
        _document("deleted", deleted),
    ]
