"""Decides what an ActionTarget's status says: whether its secrets are there, whether it answers, and what is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pointsman.api.action_target import ActionTarget
from pointsman.api.conditions import Condition
from pointsman.api.reasons import Reason
from pointsman.planning import Told, judge, set_aside

Answer = Literal["Answering", "Silent", "Starting"]
"""Starting: nobody could say yet, or what should answer is being started."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One target as it is seen. `url` is its own, or where its Service leads; None where no such Service finds anything."""

    target: ActionTarget
    generation: int
    url: str | None
    missing_secrets: Sequence[str]
    answer: Answer
    approvals_here: bool


def decide(observed: Observed) -> Told:
    """What the status says. The same observation gives the same."""
    facts = (secrets_are_there, it_is_reachable, everything_is_held, everything_is_honoured)
    return Told(
        conditions=judge(facts, observed, generation=observed.generation),
        fields={
            "address": observed.url,
            "reachable": observed.answer == "Answering",
            "killSwitch": observed.target.spec.suspend,
        },
    )


def secrets_are_there(observed: Observed) -> Condition:
    if not observed.missing_secrets:
        return Condition(type="SecretsFound", status="True", reason=Reason.Accepted)
    message = f"no such secret: {', '.join(observed.missing_secrets)}: apply a Secret that has it"
    return Condition(type="SecretsFound", status="False", reason=Reason.SecretNotFound, message=message)


def it_is_reachable(observed: Observed) -> Condition:
    url, service = observed.url, observed.target.spec.service_ref
    if url is None:
        name, port = (service.name, service.port) if service is not None else ("", 0)
        message = f'no Service "{name}" leads its port {port} to a process: apply the Service and what it selects'
        return Condition(type="Reachable", status="False", reason=Reason.ServiceNotFound, message=message)
    if observed.answer == "Answering":
        return Condition(type="Reachable", status="True", reason=Reason.Reachable, message=f'"{url}" answers')
    if observed.answer == "Starting":
        message = f'nothing has answered at "{url}" yet'
        return Condition(type="Reachable", status="Unknown", reason=Reason.Progressing, message=message)
    message = f'nothing answers at "{url}": actions wait until it does'
    return Condition(type="Reachable", status="False", reason=Reason.TargetUnreachable, message=message)


def everything_is_held(observed: Observed) -> Condition | None:
    if not observed.target.spec.suspend:
        return None
    message = "spec.suspend: every action is held: take it out to let them go"
    return Condition(type="Held", status="True", reason=Reason.KillSwitchOn, message=message)


def everything_is_honoured(observed: Observed) -> Condition:
    approval = observed.target.spec.approval.type
    if approval == "Never" or observed.approvals_here:
        return set_aside({})
    meaning = f'"{approval}" needs approvals, which cannot be given here: such actions go to review'
    return set_aside({"spec.approval": meaning})
