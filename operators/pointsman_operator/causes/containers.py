"""Why one pod does not serve: each check looks at its status and says one thing, or nothing. The first that speaks counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pointsman.api.meta import Quantity
from pointsman.api.reasons import Reason
from pointsman_operator.causes.cause import Cause, Raw, condition, items, last_line, shortened
from pointsman_operator.resources.source import IMAGE

STORAGE = "storage-initializer"
"""The init container that brings the model's files; KServe names it so."""
BRINGS = frozenset({STORAGE, IMAGE})
PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
FETCH = frozenset(
    {
        Reason.ModelNotFound,
        Reason.DigestMismatch,
        Reason.RegistryUnreachable,
        Reason.ArtifactRefused,
        Reason.NoRoom,
        Reason.FetchFailed,
    }
)
"""What the program that fetches a model may name as the reason, at the beginning of its last line."""

_INSUFFICIENT = re.compile(r"Insufficient (\S+?)[.,;]?(?=\s|$)")
_GIBIBYTE = 2**30
_AVAILABLE = re.compile(r"^\d+/\d+ nodes are available: ")
_COUNTED = re.compile(r"(?:^|, )\d+ (?:node\(s\) )?")
"""Before each of the scheduler's causes: how many nodes there are changes, and the causes stay"""
_MISSING = re.compile(r'(secret|configmap) "([^"]+)" not found', re.IGNORECASE)
_MISSING_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) \S+/(\S+)")
_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_BACK_OFF = re.compile(r"^Back-off pulling image \S+: (?:\w+: )?")


@dataclass(frozen=True, kw_only=True)
class PodSeen:
    """A pod, and the messages of the warnings about it, the newest last; `largest` is what one node has at most, by resource."""

    pod: Raw
    warnings: tuple[tuple[str, str], ...] = ()
    largest: Mapping[str, str] = field(default_factory=dict)


def cause_of_pod(seen: PodSeen) -> Cause | None:
    """Why this pod does not serve; None where it does, or where it only needs time."""
    return next((cause for check in CHECKS if (cause := check(seen)) is not None), None)


def it_finds_no_node(seen: PodSeen) -> Cause | None:
    """The scheduler's words, with what the pod asks for of each resource that is short, and what a node has of it."""
    scheduled = condition(seen.pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    said = str(scheduled.get("message", ""))
    if found := _CLAIM.search(said):
        message = (
            f'the PersistentVolumeClaim "{found[1]}" does not exist: create it in this namespace, or correct its name'
        )
        return Cause(reason=Reason.ModelNotFound, message=message)
    short = sorted(set(_INSUFFICIENT.findall(said)))
    if not short:
        why = _COUNTED.split(_AVAILABLE.sub("", said.split(". ")[0]).rstrip("."))
        message = f"no node takes a pod: {shortened('; '.join(sorted({each for each in why if each})))}"
        return Cause(reason=Reason.Unschedulable, message=message)
    asked = " and ".join(_asked(seen, name) for name in short)
    message = f"a pod asks for {asked}, and no node has as much free: free some, add a node, or ask for less"
    return Cause(reason=Reason.Unschedulable, message=message)


def its_image_cannot_be_pulled(seen: PodSeen) -> Cause | None:
    for status in _statuses(seen.pod):
        waiting = status.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in PULL:
            continue
        why = _BACK_OFF.sub("", shortened(_pull_error(seen) or str(waiting.get("message", ""))))
        message = f'the image "{status["image"]}" cannot be pulled: {why or waiting["reason"]}'
        return Cause(reason=Reason.ImagePullFailed, message=message, container=status["name"])
    return None


def a_secret_is_missing(seen: PodSeen) -> Cause | None:
    """A container's environment names it, or a volume."""
    said = [
        str(waiting.get("message", ""))
        for status in _statuses(seen.pod)
        if (waiting := status.get("state", {}).get("waiting", {})).get("reason") == "CreateContainerConfigError"
    ]
    if not _statuses(seen.pod) or not any(status.get("started") for status in _statuses(seen.pod)):
        said += [message for reason, message in seen.warnings if reason == "FailedMount"]
    for each in said:
        if found := _MISSING_KEY.search(each):
            key, kind, name = found.groups()
            message = f'the {kind} "{name}" has no key "{key}": add it in this namespace'
            return Cause(reason=Reason.SecretNotFound, message=message)
        if found := _MISSING.search(each):
            kind = {"secret": "Secret", "configmap": "ConfigMap"}[found[1].lower()]
            message = f'the {kind} "{found[2]}" does not exist: create it in this namespace'
            return Cause(reason=Reason.SecretNotFound, message=message)
    if said:
        return Cause(reason=Reason.SecretNotFound, message=f"a container cannot be made: {shortened(said[-1])}")
    return None


def its_model_cannot_be_fetched(seen: PodSeen) -> Cause | None:
    """Our fetcher's last line begins with a reason; others' lines are given as they are."""
    for status in items(seen.pod, "status", "initContainerStatuses"):
        ended = _failed_end(status)
        if ended is None:
            continue
        if ended.get("reason") == "OOMKilled":
            message = f'"{status["name"]}" used more memory than its limit'
            return Cause(reason=Reason.OutOfMemory, message=message, container=status["name"])
        line = last_line(str(ended.get("message", "")))
        named, _, sentence = line.partition(": ")
        if named in FETCH and sentence:
            message = f"the model cannot be fetched: {sentence}"
            return Cause(reason=Reason(named), message=message, container=status["name"])
        what = (
            "the model cannot be fetched"
            if status["name"] in BRINGS
            else f'the init container "{status["name"]}" fails'
        )
        message = f"{what}: {line}" if line else f"{what}: exit code {ended.get('exitCode')}, its log says more"
        return Cause(reason=Reason.FetchFailed, message=message, container=status["name"])
    return None


def it_ran_out_of_memory(seen: PodSeen) -> Cause | None:
    for status in items(seen.pod, "status", "containerStatuses"):
        ended = _failed_end(status)
        if ended is not None and ended.get("reason") == "OOMKilled" and not status.get("ready"):
            limit = _limit(seen.pod, status["name"], "memory")
            least = f' of {limit}: raise spec.resources.limits["memory"]' if limit else ""
            message = f'"{status["name"]}" used more memory than its limit{least}'
            return Cause(reason=Reason.OutOfMemory, message=message, container=status["name"])
    return None


def it_ends_again_and_again(seen: PodSeen) -> Cause | None:
    for status in items(seen.pod, "status", "containerStatuses"):
        ended = _failed_end(status)
        if ended is None or status.get("ready"):
            continue
        line = last_line(str(ended.get("message", "")))
        said = f": {line}" if line else ", and its log's end is not known: kubectl logs --previous"
        message = f'"{status["name"]}" ends with exit code {ended.get("exitCode")}{said}'
        return Cause(reason=Reason.Crashing, message=message, container=status["name"])
    return None


def its_probe_fails(seen: PodSeen) -> Cause | None:
    """It runs, and the kubelet says that it does not answer. A model that loads slowly is no fault yet."""
    running = [
        status for status in items(seen.pod, "status", "containerStatuses") if "running" in status.get("state", {})
    ]
    if not running or all(status.get("ready") for status in running):
        return None
    said = [message for reason, message in seen.warnings if reason == "Unhealthy"]
    if not said:
        return None
    unready = next(status["name"] for status in running if not status.get("ready"))
    why = said[-1].replace(str(seen.pod["status"].get("podIP") or "its address"), "its address")
    message = f"a pod runs and does not answer: {shortened(why)}"
    return Cause(reason=Reason.ProbeFailed, message=message, passes=True, container=unready)


CHECKS: tuple[Callable[[PodSeen], Cause | None], ...] = (
    it_finds_no_node,
    its_image_cannot_be_pulled,
    a_secret_is_missing,
    its_model_cannot_be_fetched,
    it_ran_out_of_memory,
    it_ends_again_and_again,
    its_probe_fails,
)
"""In the order of a pod's life: what comes later cannot be wrong before what comes first is right."""


def _statuses(pod: Raw) -> list[Raw]:
    return [*items(pod, "status", "initContainerStatuses"), *items(pod, "status", "containerStatuses")]


def _pull_error(seen: PodSeen) -> str:
    """The kubelet says the cause once, and afterwards only that it backs off."""
    return next(
        (said for reason, said in reversed(seen.warnings) if reason == "Failed" and "ailed to pull" in said), ""
    )


def _failed_end(status: Raw) -> Raw | None:
    """How the container ended last, where it ended badly and has not run well since."""
    state = status.get("state", {})
    ended = state.get("terminated") or (status.get("lastState", {}).get("terminated"))
    if not ended or not ended.get("exitCode"):
        return None
    return dict(ended)


def _containers(pod: Raw) -> Iterator[Raw]:
    yield from items(pod, "spec", "containers")


def _asked(seen: PodSeen, resource: str) -> str:
    """How much the containers ask for together, and how that compares with the largest node."""
    amounts = [
        str(amount)
        for container in _containers(seen.pod)
        if (amount := container.get("resources", {}).get("requests", {}).get(resource)) is not None
    ]
    asked = f'{" + ".join(amounts) or "some"} of "{resource}"'
    largest = seen.largest.get(resource, "0")
    try:
        missing = sum((Quantity.of(each).value for each in amounts), -Quantity.of(largest).value)
    except ValueError:  # 1e3: nobody writes amounts so, but the API server would take it
        return asked
    if not seen.largest:
        return asked
    if missing <= 0:
        return f"{asked} (the largest node has {largest})"
    return f"{asked} ({_amount(missing)} more than the largest node has)"


def _amount(value: Decimal) -> str:
    """As people write it: 1, 500m, 1.5Gi."""
    if value >= _GIBIBYTE:
        return f"{value / _GIBIBYTE:.1f}Gi"
    return f"{value:f}" if value == value.to_integral() else f"{value * 1000:.0f}m"


def _limit(pod: Raw, container: str, resource: str) -> str:
    found = next((each for each in _containers(pod) if each["name"] == container), {})
    return str(found.get("resources", {}).get("limits", {}).get(resource, ""))
