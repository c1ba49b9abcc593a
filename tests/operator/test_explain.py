"""Why a ModelDeployment is as it is: the tree from the object to the line that is to blame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pointsman_operator.explaining.tree import explain
from pointsman_operator.seen import DEPLOYMENT, INFERENCE_SERVICE, POD, REPLICA_SET, Seen

Make = Callable[..., Any]
STORED = {"name": "storage-initializer", "image": "i", "ready": True, "restartCount": 0}
SERVED = {"name": "kserve-container", "image": "i", "ready": False, "restartCount": 0}
DONE = {**STORED, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}


def lines(line: dict[str, Any], depth: int = 0) -> Iterator[tuple[int, str, str, str]]:
    """Depth, name, state and mark of each line, from above."""
    yield depth, line["what"], line["state"], line["mark"]
    for each in line["below"]:
        yield from lines(each, depth + 1)


def marked(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(what, mark) for _, what, _, mark in lines(told["tree"]) if mark]


def path(told: dict[str, Any]) -> list[str]:
    """What stands above the marked line, and it."""
    above: list[str] = []
    for depth, what, _, mark in lines(told["tree"]):
        above = [*above[:depth], what]
        if mark:
            return above
    return []


def with_pod(world: Any, *, deployed: dict[str, Any] | None = None, **status: Any) -> Seen:
    """One pod of the newest revision in this state, with what made it."""
    world.step()
    name, service = list(world.objects[INFERENCE_SERVICE.name].items())[-1]
    labels = service["metadata"]["labels"]

    def made(what: str, **more: Any) -> dict[str, Any]:
        return {"metadata": {"name": what, "uid": what, "labels": labels}, "spec": {"replicas": 1}, **more}

    deployment = f"{name}-predictor"
    refused = {"status": deployed or {}}
    world.objects.setdefault(DEPLOYMENT.name, {})[deployment] = made(deployment, **refused)
    if deployed is None:
        spec = {"containers": [{"name": "kserve-container", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]}
        pod = {**made("pod"), "spec": spec, "status": status}
        pod["metadata"]["ownerReferences"] = [{"kind": REPLICA_SET.name, "name": "set", "controller": True}]
        world.objects.setdefault(POD.name, {})["pod"] = pod
    world.step()
    world.objects[REPLICA_SET.name] = {"set": made("set", **refused)}
    return world.seen()


def test_a_crash_is_found_in_its_container_with_the_last_line_of_its_log(world: Make) -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback\nValueError: bad opset"}}
    crashed = {**SERVED, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    seen = with_pod(world(), phase="Running", initContainerStatuses=[DONE], containerStatuses=[crashed])

    told = explain(seen, {})

    revision = seen.objects[INFERENCE_SERVICE.name][0]["metadata"]["labels"]["pointsman.dev/revision"]
    assert path(told) == [
        "ModelDeployment/fraud",
        f"revision {revision}",
        f"InferenceService/fraud-{revision}",
        f"Deployment/fraud-{revision}-predictor",
        "ReplicaSet/set",
        "Pod/pod",
        "container kserve-container",
    ]
    found = {what: state for _, what, state, _ in lines(told["tree"])}
    assert found["container kserve-container"] == (
        "CrashLoopBackOff, ended before by exit code 1 (Error), started again 3 times"
    )
    assert found["init container storage-initializer"] == "done"
    assert found["last log line"] == "ValueError: bad opset"
    assert (told["reason"], told["meaning"]) == ("Crashing", "The process ends again and again.")
    assert told["more"] == "kubectl logs pod -c kserve-container --previous -n risk"
    assert marked(told) == [("container kserve-container", "cause")]


def test_a_model_that_is_not_fetched_is_found_in_the_init_container(world: Make) -> None:
    ended = {"terminated": {"exitCode": 1, "message": "DigestMismatch: the files are others"}}
    failed = {**STORED, "ready": False, "restartCount": 1, "state": {"waiting": {"reason": "x"}}, "lastState": ended}
    waits = {**SERVED, "state": {"waiting": {"reason": "PodInitializing"}}}
    seen = with_pod(world(), phase="Pending", initContainerStatuses=[failed], containerStatuses=[waits])

    told = explain(seen, {})

    assert marked(told) == [("init container storage-initializer", "cause")]
    assert told["reason"] == "DigestMismatch"


def test_a_pod_without_a_node_is_marked_itself(world: Make) -> None:
    said = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: none"
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}

    told = explain(with_pod(world(), phase="Pending", conditions=[unscheduled]), {})

    assert marked(told) == [("Pod/pod", "cause")]
    assert "Pod/pod" in path(told)
    assert told["more"] == "kubectl describe pod pod -n risk"


def test_pods_that_are_refused_are_found_at_the_replica_set(world: Make) -> None:
    said = "exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2"
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}

    told = explain(with_pod(world(), deployed={"conditions": [failure]}), {})

    assert marked(told) == [("ReplicaSet/set", "cause")]
    assert told["reason"] == "QuotaExceeded"


def test_what_the_log_says_is_told_where_the_status_holds_no_word(world: Make) -> None:
    running = {**SERVED, "state": {"running": {}}}
    seen = with_pod(world(), phase="Running", containerStatuses=[running])
    warning = {"reason": "Unhealthy", "message": "Readiness probe failed: 503", "count": 7}
    seen = Seen(deployment=seen.deployment, objects=seen.objects, events={"pod": [warning]}, now=seen.now)

    told = explain(seen, {("pod", "kserve-container"): "loading\nstill loading\n\n"})

    found = {what: state for _, what, state, _ in lines(told["tree"])}
    assert found["last log line"] == "still loading"
    assert found["event Unhealthy"] == "Readiness probe failed: 503 (7 times)"
    assert marked(told) == [("container kserve-container", "waits")]


def test_a_condition_that_lies_in_no_revision_is_marked_itself(world: Make) -> None:
    found = world(rollout={"type": "Canary", "steps": [{"trafficPercent": 5}]})
    found.step()

    told = explain(found.seen(), {})

    assert marked(told) == [("condition Accepted", "cause")]
    assert told["reason"] == "NotHonouredHere"
    assert told["next"]


def test_where_all_is_well_nothing_is_marked(world: Make) -> None:
    told = explain(world().serve().seen(), {})

    assert marked(told) == []
    assert (told["reason"], told["more"]) == ("Ready", "")
    assert told["tree"]["state"] == "Ready True: Ready"


def test_in_a_rollout_the_new_revision_is_to_blame_and_the_old_one_serves(world: Make) -> None:
    found = world().serve()
    serving = found.pinned.revision
    found.version(2)
    found.step()
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}}
    crashed = {**SERVED, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended, "restartCount": 1}

    told = explain(with_pod(found, phase="Running", containerStatuses=[crashed]), {})

    revisions = {what: state for _, what, state, _ in lines(told["tree"]) if what.startswith("revision")}
    assert revisions[f"revision {serving}"] == "version 1, serves"
    assert revisions[f"revision {found.pinned.revision}"].endswith("does not serve")
    assert f"revision {found.pinned.revision}" in path(told)
    assert told["reason"] == "Crashing"


def test_a_status_of_an_older_spec_is_not_believed(world: Make) -> None:
    found = world().serve()
    found.change(batching={"maxBatchSize": 8})

    told = explain(found.seen(), {})

    assert (told["reason"], told["tree"]["mark"]) == ("Progressing", "waits")
    assert "has not been looked at" in told["tree"]["state"]


@pytest.mark.parametrize("count", [3, 40])
def test_of_many_pods_those_that_are_not_ready_come_first_and_the_rest_are_counted(world: Make, count: int) -> None:
    found = world().serve()
    [(name, ready)] = found.objects[POD.name].items()
    for place in range(count - 2):
        found.objects[POD.name][f"a-{place}"] = {**ready, "metadata": {**ready["metadata"], "name": f"a-{place}"}}
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "boom"}}
    crashed = {**SERVED, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    metadata = {**ready["metadata"], "name": "z"}
    found.objects[POD.name]["z"] = {"metadata": metadata, "status": {"containerStatuses": [crashed]}}
    found.step()

    told = explain(found.seen(), {})

    pods = [what for _, what, _, _ in lines(told["tree"]) if "od" in what and ("Pod/" in what or "more pods" in what)]
    assert pods[0] == "Pod/z"
    assert pods[-1] == (f"Pod/{name}" if count == 3 else "35 more pods")
    assert told["reason"] == "Crashing", "it serves, and one of its pods does not"
