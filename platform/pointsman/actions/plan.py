"""Decides what an ActionTarget's status says: whether its secrets are there, whether it answers, and what is held."""

from __future__ import annotations

from dataclasses import dataclass

from pointsman.actions.report import TargetReport
from pointsman.api.action_target import ActionTarget
from pointsman.api.conditions import Condition
from pointsman.api.reasons import Reason
from pointsman.planning import Told, judge, set_aside, shown


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One target as it is seen. `url` is its own, or where its Service leads; None where no such Service finds anything."""

    target: ActionTarget
    generation: int
    url: str | None
    report: TargetReport | None
    """What the dispatcher tells of it; None before it has"""
    starting: bool
    """Whether what should answer is being started"""
    dispatched: Condition | None = None
    """Whether the dispatcher is there, where a world tells of that"""


def decide(observed: Observed) -> Told:
    """What the status says. The same observation gives the same."""
    facts = (it_is_dispatched_to, secrets_are_there, it_is_reachable, everything_is_held, lambda _: set_aside({}))
    report = observed.report
    return Told(
        conditions=judge(facts, observed, generation=observed.generation),
        fields={
            "address": observed.url,
            "reachable": observed.url is not None and report is not None and report.answers is True,
            "budgetLeft": None if report is None or report.budget_left is None else shown(report.budget_left),
            "killSwitch": observed.target.spec.suspend,
        },
    )


def it_is_dispatched_to(observed: Observed) -> Condition | None:
    return observed.dispatched


def secrets_are_there(observed: Observed) -> Condition | None:
    if observed.report is None:
        return None  # that nothing was seen yet, it_is_reachable says
    missing = observed.report.missing_secrets
    if not missing:
        return Condition(type="SecretsFound", status="True", reason=Reason.Accepted)
    message = f"no usable secret: {', '.join(missing)}: apply a Secret that has it"
    return Condition(type="SecretsFound", status="False", reason=Reason.SecretNotFound, message=message)


def it_is_reachable(observed: Observed) -> Condition:
    url, service, report = observed.url, observed.target.spec.service_ref, observed.report
    if url is None:
        name, port = (service.name, service.port) if service is not None else ("", 0)
        message = f'no Service "{name}" leads its port {port} to a process: apply the Service and what it selects'
        return Condition(type="Reachable", status="False", reason=Reason.ServiceNotFound, message=message)
    if report is not None and report.answers:
        return Condition(type="Reachable", status="True", reason=Reason.Reachable, message=f'"{url}" answers')
    if report is None or report.answers is None or observed.starting:
        message = f'nothing has answered at "{url}" yet'
        return Condition(type="Reachable", status="Unknown", reason=Reason.Progressing, message=message)
    if service is not None and report.name_is_unknown:
        message = f'spec.serviceRef: there is no Service "{service.name}": actions wait until it is applied'
        return Condition(type="Reachable", status="False", reason=Reason.ServiceNotFound, message=message)
    message = f'nothing answers at "{url}": {report.cause}: actions wait until it does'
    return Condition(type="Reachable", status="False", reason=Reason.TargetUnreachable, message=message)


def everything_is_held(observed: Observed) -> Condition | None:
    if observed.target.spec.suspend:
        message = "spec.suspend: every action is held: take it out to let them go"
        return Condition(type="Held", status="True", reason=Reason.KillSwitchOn, message=message)
    budget, report = observed.target.spec.budget, observed.report
    if budget is not None and report is not None and report.held == Reason.BudgetExhausted:
        message = f"spec.budget: {budget.limit} in {budget.window} are spent: actions wait for the window to move on"
        return Condition(type="Held", status="True", reason=Reason.BudgetExhausted, message=message)
    return None
