"""What is told as Events: each change of a status once, and nothing where nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pointsman.api.conditions import Condition
from pointsman.api.reasons import Reason
from pointsman_operator.happened import Happened, happened
from pointsman_operator.seen import POD, Probe, Raw

Make = Callable[..., Any]
CRASH = {"waiting": {"reason": "CrashLoopBackOff"}}


class Telling:
    """A world whose steps are told."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def step(self) -> list[tuple[str, str]]:
        """Reason and message of what the step tells; looking again tells nothing."""
        before: Raw = self.world.raw.get("status", {})
        self.world.step()
        after = self.world.raw["status"]
        assert happened(after, after) == ()
        self.world.now += timedelta(minutes=1)
        self.world.step()
        assert happened(after, self.world.raw["status"]) == (), "the same is told again a minute later"
        found: tuple[Happened, ...] = happened(before, after)
        return [(each.reason.value, each.message) for each in found]

    def serve(self) -> Telling:
        self.step()
        self.world.answer()
        self.step()
        return self

    def crash(self) -> None:
        """The pods of the newest revision end again and again."""
        revision = self.world.pinned.revision
        for name in [each for each in self.world.objects["InferenceService"] if each.endswith(revision)]:
            labels = self.world.objects["InferenceService"][name]["metadata"]["labels"]
            ended = {"terminated": {"exitCode": 1, "message": "no such opset"}}
            status = {"name": "kserve-container", "image": "i", "ready": False, "state": CRASH, "lastState": ended}
            self.world.objects.setdefault(POD.name, {})[name] = {
                "metadata": {"name": name, "uid": name, "labels": labels},
                "spec": {"containers": []},
                "status": {"containerStatuses": [status]},
            }


def test_the_first_version_is_told_when_it_serves(world: Make) -> None:
    telling = Telling(world())
    assert telling.step() == []
    telling.world.answer()
    revision = telling.world.pinned.revision
    assert telling.step() == [("ModelServing", f"version 1 serves, as revision {revision}")]


def test_an_alias_that_moves_is_told_and_then_that_the_new_version_serves(world: Make) -> None:
    telling = Telling(world()).serve()
    telling.world.version(2)
    moved = '"models:/fraud@champion" has moved from version 1 to version 2'
    assert telling.step() == [("NewRevisionProposed", moved)]
    telling.world.answer()
    revision = telling.world.pinned.revision
    assert telling.step() == [("ModelServing", f"version 2 serves, as revision {revision}")]


def test_a_revision_that_fails_is_told_once_with_its_cause(world: Make) -> None:
    telling = Telling(world()).serve()
    [serving] = telling.world.probes
    telling.world.version(2)
    telling.step()
    telling.crash()
    cause = '"kserve-container" ends with exit code 1: no such opset'
    assert telling.step() == [("Crashing", f"version 1 goes on serving, version 2 fails: {cause}")]
    assert telling.step() == []
    telling.world.probes[serving] = Probe(answered=False, cause="it answers 500")
    assert [reason for reason, _ in telling.step()] == ["ProbeFailed"], "and not what is known"


def test_the_next_version_that_fails_for_the_same_reason_is_told_too(world: Make) -> None:
    telling = Telling(world()).serve()
    for version in (2, 3):
        telling.world.version(version)
        telling.step()
        telling.crash()
        assert [reason for reason, _ in telling.step()] == ["Crashing"], f"version {version}"


def test_what_serves_and_fails_and_answers_again_is_told_as_ready_changes(world: Make) -> None:
    telling = Telling(world()).serve()
    [name] = telling.world.probes
    telling.world.probes[name] = Probe(answered=False, cause="it answers 500")
    [(reason, message)] = telling.step()
    assert reason == "ProbeFailed"
    assert "it answers 500" in message
    telling.world.answer()
    assert telling.step() == [("Ready", "it serves")]


def test_another_shape_of_the_same_version_is_no_moved_alias(world: Make) -> None:
    telling = Telling(world()).serve()
    telling.world.change(resources={"limits": {"memory": "2Gi"}})
    assert telling.step() == []


def test_a_failure_is_a_warning_and_all_else_is_not(world: Make) -> None:
    telling = Telling(world()).serve()
    before = telling.world.raw["status"]
    telling.world.version(2)
    telling.world.step()
    telling.crash()
    telling.world.step()
    found = happened(before, telling.world.raw["status"])
    assert [(each.reason, each.warning) for each in found] == [
        (Reason.NewRevisionProposed, False),
        (Reason.Crashing, True),
    ]


def test_a_revision_that_waits_for_certificates_is_a_warning_told_once() -> None:
    def status(state: str, reason: Reason, message: str = "") -> Raw:
        moment = "2026-11-27T12:00:00Z"
        ready = Condition(type="Ready", status=state, reason=reason, message=message)  # type: ignore[arg-type]
        return {"conditions": [ready.to_dict() | {"lastTransitionTime": moment}]}

    serves, waits = status("True", Reason.Ready), status("Unknown", Reason.AwaitingCertificate, "certify it")
    assert happened(serves, waits) == (Happened(reason=Reason.AwaitingCertificate, message="certify it", warning=True),)
    assert happened(waits, status("Unknown", Reason.AwaitingCertificate, "certify the next")) == ()
    assert happened(serves, status("Unknown", Reason.SwitchingRevision)) == ()
