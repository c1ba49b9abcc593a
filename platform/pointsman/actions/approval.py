"""Actions that people have to approve: what exactly they approve, how many of them, and whether one may. Pure.

An approval is bound to a digest of all that is asked for and why. The dispatcher computes it again from what it is about to
send: what was changed since is not what was approved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from pointsman.api.action_target import Approval

Stands = Literal["waits", "approved", "denied"]


class Refused(ValueError):
    """Who asks cannot say that of this action; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """An action that waits for people. `evidence` is the digest of the decision's record; `proposer` asked for the action."""

    action_id: UUID
    decision_id: UUID
    target: str
    operation: str
    parameters: Mapping[str, Any]
    evidence: bytes
    proposer: str
    people: int
    """how many others must approve it"""
    expires_at: datetime | None = None

    @property
    def digest(self) -> bytes:
        """What an approval is bound to, 32 bytes."""
        what = {
            "action": str(self.action_id),
            "decision": str(self.decision_id),
            "target": self.target,
            "operation": self.operation,
            "parameters": dict(self.parameters),
            "evidence": self.evidence.hex(),
            "proposer": self.proposer,
            "people": self.people,
        }
        return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).digest()


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one person has said of an action: of the one with this digest."""

    who: str
    approves: bool
    digest: bytes


def people_needed(terms: Iterable[Approval | None], *, certified: bool = False) -> int:
    """How many others must approve what is asked for, by the strictest of these terms. `certified` where a band asks that has
    a live certificate; for what a person asks none speaks.
    """
    free = {"Never", "WhenUncertified"} if certified else {"Never"}
    asked = [each for each in terms if each is not None and each.type not in free]
    return max((2 if each.effective_policy == "FourEyes" else 1 for each in asked), default=0)


def weigh(proposal: Proposal, before: Sequence[Said], said: Said, now: datetime) -> Stands:
    """Where the action stands once this is said too. Raises Refused."""
    if proposal.expires_at is not None and proposal.expires_at <= now:
        raise Refused("the action has expired: nothing is to be approved any more")
    if said.who == proposal.proposer:
        raise Refused("somebody else is to approve it: you have asked for it")
    if any(each.who == said.who for each in before):
        raise Refused("you have said yours already: another person is to approve it too")
    if said.digest != proposal.digest:
        raise Refused("the action is not what you have looked at: look at it again")
    if not said.approves:
        return "denied"
    agreed = sum(each.approves and each.digest == proposal.digest for each in before) + 1
    return "approved" if agreed >= proposal.people else "waits"
