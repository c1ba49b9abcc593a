"""Decides what an ActionTarget's status says."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.api.action_target import ActionTarget
from pointsman.api.conditions import Condition
from pointsman.api.reasons import Reason
from pointsman.ingest.plan import finish


def conditions(
    target: ActionTarget,
    *,
    generation: int,
    url: str | None,
    missing_secrets: Sequence[str],
    answers: bool,
) -> tuple[Condition, ...]:
    """`url` is the address that serviceRef stands for, None where no such service is known."""
    spec, found = target.spec, list[Condition]()
    if missing_secrets:
        message = f"no such secret: {', '.join(missing_secrets)}: apply a Secret that has it"
        found.append(Condition(type="SecretsFound", status="False", reason=Reason.SecretNotFound, message=message))
    else:
        found.append(Condition(type="SecretsFound", status="True", reason=Reason.Accepted))
    if url is None and spec.service_ref is not None:
        message = f'no Service "{spec.service_ref.name}" with port {spec.service_ref.port} finds a process: apply one'
        found.append(Condition(type="Reachable", status="False", reason=Reason.ServiceNotFound, message=message))
    elif answers:
        found.append(Condition(type="Reachable", status="True", reason=Reason.Reachable, message=f'"{url}" answers'))
    else:
        message = f'nothing answers at "{url}" yet'
        found.append(Condition(type="Reachable", status="Unknown", reason=Reason.TargetUnreachable, message=message))
    return finish(found, generation)
