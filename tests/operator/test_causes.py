"""Why a revision does not serve: what pods and their controllers show, told in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.api.reasons import Reason
from pointsman_operator.causes.containers import PodSeen, cause_of_pod
from pointsman_operator.causes.revision import cause_of_deployment, cause_of_pods, cause_of_revision

IMAGE = "ghcr.io/pointsman/serving:0.1.0"


def container(**status: Any) -> dict[str, Any]:
    return {"name": "kserve-container", "image": IMAGE, "ready": False, "state": {}, "lastState": {}, **status}


def pod(*, main: dict[str, Any] | None = None, init: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    resources = {"requests": {"nvidia.com/gpu": "2", "cpu": "1"}, "limits": {"memory": "1Gi", "nvidia.com/gpu": "2"}}
    return {
        "spec": {"containers": [{"name": "kserve-container", "image": IMAGE, "resources": resources}]},
        "status": {
            "initContainerStatuses": [{**container(), "name": "storage-initializer", **init}] if init else [],
            "containerStatuses": [container(**main)] if main else [],
            **status,
        },
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def unscheduled(message: str) -> dict[str, Any]:
    return pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}])


READY = pod(main={"ready": True, "started": True, "state": {"running": {}}})
CRASHED = pod(main={**waiting("CrashLoopBackOff"), "lastState": ended(1, "Traceback\nValueError: bad opset\n")})
NO_GPU = unscheduled(
    "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient nvidia.com/gpu. preemption: none"
)

CASES = {
    "no node has as many GPUs free": (NO_GPU, (), Reason.Unschedulable, 'a pod asks for 2 of "nvidia.com/gpu"'),
    "two resources are short, and both are named": (
        unscheduled("0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient nvidia.com/gpu."),
        (),
        Reason.Unschedulable,
        'a pod asks for 1 of "cpu" and 2 of "nvidia.com/gpu"',
    ),
    "no node fits for another cause": (
        unscheduled(
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. "
            "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful"
        ),
        (),
        Reason.Unschedulable,
        "no node takes a pod: didn't match Pod's node affinity/selector",
    ),
    "the claim with the model does not exist": (
        unscheduled('0/1 nodes are available: persistentvolumeclaim "models" not found. preemption: 0/1 nodes'),
        (),
        Reason.ModelNotFound,
        'the PersistentVolumeClaim "models" does not exist: create it in this namespace, or correct its name',
    ),
    "the image with the model has nothing to copy": (
        pod(init={"name": "model-image", "state": ended(1, "cp: /models/.: No such file or directory\n")}),
        (),
        Reason.FetchFailed,
        "the model cannot be fetched: cp: /models/.: No such file or directory",
    ),
    "the image cannot be pulled": (
        pod(main=waiting("ErrImagePull", "no such host")),
        (),
        Reason.ImagePullFailed,
        f'the image "{IMAGE}" cannot be pulled: no such host',
    ),
    "the kubelet backs off, and its earlier warning says why": (
        pod(main=waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"')),
        (("Failed", 'Failed to pull image "x": 403 Forbidden'), ("BackOff", "Back-off pulling image")),
        Reason.ImagePullFailed,
        f'the image "{IMAGE}" cannot be pulled: Failed to pull image "x": 403 Forbidden',
    ),
    "a secret of the environment is missing": (
        pod(main=waiting("CreateContainerConfigError", 'secret "token" not found')),
        (),
        Reason.SecretNotFound,
        'the Secret "token" does not exist: create it in this namespace',
    ),
    "a key of a secret is missing": (
        pod(main=waiting("CreateContainerConfigError", "couldn't find key password in Secret test/token")),
        (),
        Reason.SecretNotFound,
        'the Secret "token" has no key "password": add it in this namespace',
    ),
    "a secret that is mounted is missing": (
        pod(main=waiting("ContainerCreating")),
        (("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "certificates" not found'),),
        Reason.SecretNotFound,
        'the Secret "certificates" does not exist: create it in this namespace',
    ),
    "our fetcher names the reason": (
        pod(init={"state": ended(1, "fetching\nDigestMismatch: the files are sha256:ab…, not sha256:cd…")}),
        (),
        Reason.DigestMismatch,
        "the model cannot be fetched: the files are sha256:ab…, not sha256:cd…",
    ),
    "another storage initialiser's last line is given as it is": (
        pod(init={**waiting("CrashLoopBackOff"), "lastState": ended(1, "Exception: Failed to fetch model.\n")}),
        (),
        Reason.FetchFailed,
        "the model cannot be fetched: Exception: Failed to fetch model.",
    ),
    "a container is killed for its memory": (
        pod(main={**waiting("CrashLoopBackOff"), "lastState": ended(137, reason="OOMKilled")}),
        (),
        Reason.OutOfMemory,
        '"kserve-container" used more memory than its limit of 1Gi: raise spec.resources.limits["memory"]',
    ),
    "a crash is told with the last line of its log": (
        CRASHED,
        (),
        Reason.Crashing,
        '"kserve-container" ends with exit code 1: ValueError: bad opset',
    ),
}


@pytest.mark.parametrize(("seen", "warnings", "reason", "says"), CASES.values(), ids=CASES)
def test_a_pod_that_does_not_serve_says_why(
    seen: dict[str, Any], warnings: tuple[tuple[str, str], ...], reason: Reason, says: str
) -> None:
    cause = cause_of_pod(PodSeen(pod=seen, warnings=warnings))
    assert cause is not None
    assert cause.reason == reason
    assert cause.message.startswith(says)
    assert not cause.passes


def test_a_pod_that_asks_for_more_than_any_node_has_says_how_much_is_missing() -> None:
    def says(largest: dict[str, str]) -> str:
        cause = cause_of_pod(PodSeen(pod=NO_GPU, largest=largest))
        assert cause is not None
        return cause.message

    assert '2 of "nvidia.com/gpu" (1 more than the largest node has), and no node' in says({"nvidia.com/gpu": "1"})
    assert '2 of "nvidia.com/gpu" (2 more than the largest node has), and no node' in says({"cpu": "1"})
    assert '2 of "nvidia.com/gpu" (the largest node has 8), and no node' in says({"nvidia.com/gpu": "8"})


AMOUNTS = {
    "gibibytes": ("12Gi", "10737418240", "2.0Gi"),
    "thousandths": ("1500m", "1", "500m"),
    "whole": ("3", "2", "1"),
}


@pytest.mark.parametrize(("asked", "has", "missing"), AMOUNTS.values(), ids=AMOUNTS)
def test_what_is_missing_is_written_as_people_write_it(asked: str, has: str, missing: str) -> None:
    short = unscheduled("0/2 nodes are available: 2 Insufficient memory.")
    short["spec"]["containers"][0]["resources"] = {"requests": {"memory": asked}}
    cause = cause_of_pod(PodSeen(pod=short, largest={"memory": has}))
    assert cause is not None
    assert f"({missing} more than the largest node has)" in cause.message


def of(pod: dict[str, Any], *warnings: tuple[str, str]) -> str:
    cause = cause_of_pod(PodSeen(pod=pod, warnings=warnings))
    assert cause is not None
    return cause.message


def crashing(line: str) -> str:
    return of(pod(main={**waiting("CrashLoopBackOff"), "lastState": ended(1, line)}))


def unready(address: str) -> str:
    running = pod(main={"started": False, "state": {"running": {}}}, podIP=address)
    refused = f'Readiness probe failed: Get "http://{address}:8080/v2/health/ready": connect: connection refused'
    return of(running, ("Unhealthy", refused))


def without_a_node(message: str) -> str:
    return of(unscheduled(f"{message} preemption: 0/2 nodes are available"))


TAINTED = "had untolerated taint {gpu: true}"
LASTING = {
    "a log line with its moment": (
        crashing("2026-11-03 12:00:00,123 ERROR no such file"),
        crashing("2026-11-03 12:05:07,900 ERROR no such file"),
    ),
    "a line of klog": (
        crashing("E1103 12:00:00.123456       1 main.go:3] no such file"),
        crashing("E1103 12:09:00.000000       9 main.go:3] no such file"),
    ),
    "a line of a structured log": (
        crashing('{"event": "cannot serve", "error": "no such file", "timestamp": "2026-11-03T12:00:00Z"}'),
        crashing('{"timestamp": "2026-11-03T13:00:00Z", "event": "cannot serve", "error": "no such file"}'),
    ),
    "a probe of another pod": (unready("10.0.0.4"), unready("10.0.0.5")),
    "nodes that come and go": (
        without_a_node(f"0/3 nodes are available: 1 node(s) {TAINTED}, 2 node(s) didn't match Pod's node selector."),
        without_a_node(f"0/9 nodes are available: 3 node(s) didn't match Pod's node selector, 6 node(s) {TAINTED}."),
    ),
}


@pytest.mark.parametrize(("now", "later"), LASTING.values(), ids=LASTING)
def test_the_same_cause_is_told_in_the_same_words_the_next_time(now: str, later: str) -> None:
    assert now == later


def test_a_structured_log_line_is_told_as_words() -> None:
    assert crashing('{"event": "cannot serve", "error": "no file"}').endswith("exit code 1: cannot serve: no file")
    assert crashing("[1, 2]").endswith("exit code 1: [1, 2]")


def test_a_pod_that_serves_has_no_cause_though_it_crashed_before() -> None:
    before = pod(main={"ready": True, "started": True, "state": {"running": {}}, "lastState": ended(1, "boom")})
    assert cause_of_pod(PodSeen(pod=READY)) is None
    assert cause_of_pod(PodSeen(pod=before)) is None


def test_a_pod_that_starts_has_no_cause_until_its_probe_fails_and_then_one_that_may_pass() -> None:
    starting = pod(main={"started": False, "state": {"running": {}}})
    assert cause_of_pod(PodSeen(pod=starting)) is None
    cause = cause_of_pod(PodSeen(pod=starting, warnings=(("Unhealthy", "Readiness probe failed: 503"),)))
    assert cause is not None
    assert (cause.reason, cause.passes) == (Reason.ProbeFailed, True)


def test_every_pod_is_looked_at_and_what_most_share_is_told() -> None:
    cause = cause_of_pods([PodSeen(pod=READY), PodSeen(pod=CRASHED), PodSeen(pod=NO_GPU), PodSeen(pod=CRASHED)])
    assert cause is not None
    assert cause.message == 'not all pods: "kserve-container" ends with exit code 1: ValueError: bad opset'


def test_the_order_in_which_pods_are_seen_changes_nothing() -> None:
    seen = [PodSeen(pod=CRASHED), PodSeen(pod=READY), PodSeen(pod=NO_GPU)]
    assert cause_of_pods(seen) == cause_of_pods(seen[::-1])


def test_pods_that_come_to_share_a_cause_change_no_word_until_it_is_all_of_them() -> None:
    one, all_of_them = PodSeen(pod=CRASHED), [PodSeen(pod=CRASHED)] * 4
    healthy = [PodSeen(pod=READY)] * 3
    assert cause_of_pods([one, *healthy]) == cause_of_pods([one, one, *healthy[1:]])
    assert cause_of_pods(all_of_them) == cause_of_pods([one])


REFUSALS = {
    "quota": (
        'pods "x-1" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=1, used: '
        "requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2",
        Reason.QuotaExceeded,
        'the quota "team" allows no more pods: asked requests.nvidia.com/gpu=1, limit',
    ),
    "pod security": (
        'pods "x-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (container "c" must set it)',
        Reason.PodRefused,
        'the namespace\'s Pod Security level "restricted:latest" refuses the pods: runAsNonRoot != true',
    ),
    "webhook": (
        'admission webhook "policy.example.com" denied the request: images must be signed',
        Reason.PodRefused,
        'the webhook "policy.example.com" refuses the pods: images must be signed',
    ),
}


@pytest.mark.parametrize(("said", "reason", "says"), REFUSALS.values(), ids=REFUSALS)
def test_pods_that_are_refused_are_told_with_who_refuses_them(said: str, reason: Reason, says: str) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}
    deployment = {"status": {"conditions": [failure]}}
    cause = cause_of_deployment(deployment)
    assert cause is not None
    assert cause.reason == reason
    assert cause.message.startswith(says)
    assert "x-1" not in cause.message
    assert cause_of_revision(deployment, []) == cause


def test_nothing_is_said_of_what_is_not_seen() -> None:
    assert cause_of_revision(None, []) is None
    assert cause_of_revision({"status": {}}, [PodSeen(pod=READY)]) is None
