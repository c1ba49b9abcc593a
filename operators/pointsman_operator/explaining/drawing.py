"""The lines of an explanation that every kind shares: things with their warnings, pods, and containers with their last words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pointsman.explained import Line, Mark
from pointsman_operator.explaining import words
from pointsman_operator.explaining.blame import Blame
from pointsman_operator.seen import POD, Kind, Objects, Raw

PODS = 5
"""So many pods are told of one by one: the one that is to blame, then those that are not ready"""
Logs = Mapping[tuple[str, str], str]
"""The end of a container's log, by pod and container"""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The lines of what is seen, down to the containers of pods."""

    seen: Objects
    blamed: Blame | None
    logs: Logs

    def line(self, kind: Kind, raw: Raw, state: str, below: Iterable[Line]) -> Line:
        """A thing, with the warnings about it before what it is made of."""
        name = str(raw["metadata"]["name"])
        events = self.seen.events.get(str(raw["metadata"].get("uid")), ())
        told = (Line(what=f"event {reason}", state=message) for reason, message in words.of_events(events))
        return Line(what=f"{kind.name}/{name}", state=state, mark=self._mark(kind, name), below=(*told, *below))

    def pods(self, of: Iterable[Raw]) -> Iterator[tuple[str, Line]]:
        """Pods that belong together, each with the name of what made it."""
        found = sorted(of, key=self._rank_of_pod)
        for pod in found[:PODS]:
            containers = () if words.is_ready(pod) else self._containers(pod)
            yield words.maker_of(pod), self.line(POD, pod, words.of_pod(pod), containers)
        rest = found[PODS:]
        if rest:
            yield "", Line(what=f"{len(rest)} more pods", state=f"{sum(map(words.is_ready, rest))} ready")

    def _rank_of_pod(self, pod: Raw) -> tuple[bool, bool, str]:
        name = str(pod["metadata"]["name"])
        is_blamed = self.blamed is not None and (self.blamed.kind, self.blamed.name) == (POD.name, name)
        return not is_blamed, words.is_ready(pod), name

    def _containers(self, pod: Raw) -> Iterator[Line]:
        """The containers in the order in which they start; one that is not ready with what it said last."""
        name = str(pod["metadata"]["name"])
        for what, status in words.statuses(pod):
            container = str(status["name"])
            said = "" if status.get("ready") else words.last_words(status, self.logs.get((name, container), ""))
            below = (Line(what="last log line", state=said),) if said else ()
            mark = self._mark(POD, name, container)
            yield Line(what=what, state=words.of_container(status), mark=mark, below=below)

    def _mark(self, kind: Kind, name: str, container: str = "") -> Mark:
        return "" if self.blamed is None else self.blamed.mark_of(kind.name, name, container)
