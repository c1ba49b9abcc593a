"""The warnings about pods, which several memories of pods ask for: followed once, and remembered by the pod's uid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pointsman_operator.cluster.client import Cluster
from pointsman_operator.cluster.follow import Follower
from pointsman_operator.cluster.memory import Key
from pointsman_operator.seen import EVENT, Kind, Raw

ABOUT_PODS: Mapping[str, str] = MappingProxyType({"fieldSelector": "type=Warning,involvedObject.kind=Pod"})


class Warnings:
    """Those of one cluster. Who subscribes is told of each pod about which something was said."""

    def __init__(self, cluster: Cluster) -> None:
        self._by_uid = defaultdict[str, dict[str, Raw]](dict)
        self._subscribers = list[Callable[[Key], None]]()
        self.follower = Follower(cluster, EVENT, heard=self._heard, appeared=lambda _: None, selectors=ABOUT_PODS)

    def subscribe(self, heard: Callable[[Key], None]) -> None:
        """Tell of every pod about which something is said from now on."""
        self._subscribers.append(heard)

    def of(self, pods: Sequence[Raw]) -> dict[str, list[Raw]]:
        """What is said about these, by uid, the oldest first. Those about which nothing is said are left out."""
        uids = (str(pod["metadata"]["uid"]) for pod in pods)
        return {uid: sorted(self._by_uid[uid].values(), key=last_said) for uid in uids if uid in self._by_uid}

    def forget(self, pod: Raw) -> None:
        """A pod has ended."""
        self._by_uid.pop(str(pod["metadata"]["uid"]), None)

    def _heard(self, _: Kind, event: Raw, is_living: bool) -> None:
        about = event["involvedObject"]
        uid, name = str(about.get("uid")), str(event["metadata"]["name"])
        if is_living:
            self._by_uid[uid][name] = event
        elif uid in self._by_uid:
            self._by_uid[uid].pop(name, None)
            if not self._by_uid[uid]:
                del self._by_uid[uid]
        for heard in self._subscribers:
            heard((str(about.get("namespace", "")), str(about.get("name"))))


def last_said(event: Raw) -> str:
    """When an event was last seen to happen: for sorting."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")
