"""What is remembered of the cluster, and the queue of what changed: news from two sides, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pointsman_operator.cluster.memory import Memory
from pointsman_operator.cluster.queue import WorkQueue


def pod(name: str, version: int, owner: str = "fraud", **metadata: Any) -> dict[str, Any]:
    labels = {"pointsman.dev/modeldeployment": owner}
    return {
        "metadata": {
            "name": name,
            "namespace": "risk",
            "resourceVersion": str(version),
            "labels": labels,
            "managedFields": [1],
            **metadata,
        }
    }


def names(memory: Memory, owner: str = "fraud") -> list[str]:
    return [raw["metadata"]["name"] for raw in memory.of(("risk", owner))]


def test_an_older_state_never_takes_the_place_of_a_newer_one() -> None:
    memory = Memory()

    assert memory.put(pod("a", 5))
    assert not memory.put(pod("a", 4)), "a watch that lags behind our own write"
    assert not memory.put(pod("a", 5))

    assert memory.get(("risk", "a"))["metadata"]["resourceVersion"] == "5"


def test_what_has_ended_does_not_come_back_by_an_answer_that_was_under_way() -> None:
    memory = Memory()
    memory.put(pod("a", 5))

    assert memory.drop(pod("a", 7))
    assert not memory.put(pod("a", 6))
    assert memory.put(pod("a", 8)), "another object of that name"


def test_a_list_takes_away_what_is_gone_and_not_what_was_written_since() -> None:
    memory = Memory()
    memory.put(pod("gone", 3))
    memory.put(pod("fresh", 12))

    news = memory.replace([pod("new", 9)], "10")

    assert [(raw["metadata"]["name"], lives) for raw, lives in news] == [("gone", False), ("new", True)]
    assert names(memory) == ["fresh", "new"]


def test_an_object_that_changes_its_label_changes_its_owner() -> None:
    memory = Memory()
    memory.put(pod("a", 1))

    memory.put(pod("a", 2, owner="other"))

    assert (names(memory), names(memory, "other")) == ([], ["a"])


def test_an_object_belongs_to_what_controls_it_whatever_its_label_says() -> None:
    memory = Memory()
    owner = {"apiVersion": "pointsman.dev/v1alpha1", "kind": "ModelDeployment", "name": "fraud", "controller": True}

    memory.put(pod("a", 1, owner="other", ownerReferences=[owner]))

    assert (names(memory), names(memory, "other")) == (["a"], [])


def test_of_an_object_only_what_is_read_is_remembered() -> None:
    memory = Memory()
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "{...}", "theirs": "1"}
    container = {"name": "main", "image": "model", "env": [], "resources": {"limits": {"memory": "1Gi"}}}
    spec = {"nodeName": "cpu-1", "volumes": [], "containers": [container]}

    memory.put({**pod("a", 1, annotations=applied), "kind": "Pod", "spec": spec, "status": {"phase": "Running"}})

    kept = memory.get(("risk", "a"))
    assert kept is not None
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {"theirs": "1"}
    assert kept["spec"] == {"containers": [{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]}
    assert kept["status"] == {"phase": "Running"}


def run(work: Callable[[WorkQueue[str]], Awaitable[None]]) -> None:
    async def begin() -> None:
        await work(WorkQueue[str]())

    asyncio.run(begin())


def test_a_key_waits_once_however_often_it_is_added() -> None:
    async def work(queue: WorkQueue[str]) -> None:
        for key in ("a", "b", "a"):
            queue.add(key)

        assert [await queue.take(), await queue.take()] == ["a", "b"]
        assert len(queue) == 0

    run(work)


def test_a_key_that_changes_while_it_is_worked_on_comes_again_and_never_twice_at_a_time() -> None:
    async def work(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await queue.take()
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0

        queue.done("a")

        assert await queue.take() == "a"
        queue.done("a")
        assert queue.is_idle

    run(work)


def test_a_key_that_fails_comes_again_later_and_later() -> None:
    async def work(queue: WorkQueue[str]) -> None:
        waits = []
        for _ in range(12):
            queue.add("a")
            await queue.take()
            waits.append(queue.failed("a"))
        assert waits[:4] == [0.05, 0.1, 0.2, 0.4]
        assert waits[-1] == 30.0
        queue.add("a")
        await queue.take()
        queue.done("a")
        queue.add("a")
        await queue.take()
        assert queue.failed("a") == 0.05, "a success starts anew"

    run(work)


def test_of_two_wishes_for_later_the_sooner_counts() -> None:
    async def work(queue: WorkQueue[str]) -> None:
        queue.add_after("a", 60)
        queue.add_after("a", 0.01)
        queue.add_after("a", 60)

        assert await asyncio.wait_for(queue.take(), 10) == "a"

    run(work)
