"""Why an object is as it is, as every world tells it: a tree from the object to the line that is to blame, and what to do.

Worlds fill it from what they see; the command line prints it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pointsman.api.conditions import INFORMATIVE, READY
from pointsman.api.reasons import Reason

Mark = Literal["", "cause", "waits"]
"""A line that is to blame, or one that something good is waited for at"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that was looked at, the state that it is in, and what it is made of."""

    what: str
    state: str
    mark: Mark = ""
    below: tuple[Line, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "state": self.state,
            "mark": self.mark,
            "below": [each.to_dict() for each in self.below],
        }


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What it comes to: the reason, and the command that shows the rest, where there is one."""

    reason: Reason
    more: str = ""


def explained(tree: Line, verdict: Verdict) -> dict[str, Any]:
    """What `explain` answers: the tree, and the reason with its meaning and the next step."""
    return {
        "tree": tree.to_dict(),
        "reason": verdict.reason.value,
        "meaning": verdict.reason.description,
        "next": verdict.reason.next_step,
        "more": verdict.more,
    }


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How an object stands by its conditions: the Ready one of the newest spec, and the type of the one that decides it."""

    status: str
    reason: Reason
    message: str
    decided_by: str = ""

    @property
    def mark(self) -> Mark:
        """How to mark the line that the standing comes from."""
        if self.status == "True":
            return ""
        return "cause" if self.status == "False" else "waits"


def standing(status: Mapping[str, Any], *, generation: int) -> Standing:
    """How an object stands. A status of another generation, or of other reasons than ours, says nothing."""
    conditions = status.get("conditions", ())
    found = next((each for each in conditions if each["type"] == READY), None)
    if found is None or status.get("observedGeneration") != generation or found["reason"] not in Reason.__members__:
        message = "the newest spec has not been looked at yet"
        return Standing(status="Unknown", reason=Reason.Progressing, message=message)
    said = (found["status"], found["reason"], found.get("message", ""))
    decides = next(
        (
            each["type"]
            for each in conditions
            if each["type"] != READY and (each["status"], each["reason"], each.get("message", "")) == said
        ),
        "",
    )
    return Standing(status=said[0], reason=Reason(said[1]), message=said[2], decided_by=decides)


def conditions_of(status: Mapping[str, Any]) -> Iterator[Line]:
    """A line for each condition but Ready, which is the object's own."""
    for each in status.get("conditions", ()):
        if each["type"] != READY:
            note = " (keeps nothing from serving)" if each["type"] in INFORMATIVE and each["status"] != "True" else ""
            yield Line(what=f"condition {each['type']}", state=_with(f"{each['status']} {each['reason']}{note}", each))


def headed(what: str, stands: Standing, below: Sequence[Line]) -> Line:
    """The tree of an object. Where nothing below is marked, the condition that decides is, else the object itself."""
    state = f"Ready {stands.status}: {stands.reason}"
    head = Line(what=what, state=state, below=tuple(below))
    if not stands.mark or is_marked(head):
        return head
    decides = f"condition {stands.decided_by}"
    if any(each.what == decides for each in below):
        marked = (replace(each, mark=stands.mark) if each.what == decides else each for each in below)
        return replace(head, below=tuple(marked))
    return replace(head, state=f"{state}: {stands.message}", mark=stands.mark)


def is_marked(line: Line) -> bool:
    """Whether the line or one below it is marked."""
    return bool(line.mark) or any(is_marked(each) for each in line.below)


def _with(text: str, condition: Mapping[str, Any]) -> str:
    return f"{text}: {condition['message']}" if condition.get("message") else text
