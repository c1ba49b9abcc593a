"""Why a revision does not serve: over every one of its pods, and over what should have made them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pointsman.api.reasons import Reason
from pointsman_operator.causes.cause import Cause, Raw, condition, shortened
from pointsman_operator.causes.containers import PodSeen, cause_of_pod

_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: ([^,]+(?:,[^,]+=[^,]+)*?), used: (.+?), limited: (.+)$")
_POD_SECURITY = re.compile(r'violates PodSecurity "([^"]+)": (.+)$')
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request: (.+)$')


def cause_of_pods(pods: Sequence[PodSeen]) -> Cause | None:
    """The cause that most pods share, and whether all do. Whatever the order of the pods, the same is said.

    How many is not said: it is another number with every pod that comes, and each would be a write.
    """
    causes = [cause for pod in pods if (cause := cause_of_pod(pod)) is not None]
    if not causes:
        return None
    counts = Counter(cause for cause in causes)
    worst = min(counts, key=lambda cause: (cause.passes, -counts[cause], cause.message))
    if counts[worst] == len(pods):
        return worst
    return replace(worst, message=f"not all pods: {worst.message}")


def cause_of_deployment(deployment: Raw | None) -> Cause | None:
    """Why there are no pods: the Deployment's controller says what it was refused, and by whom."""
    if deployment is None:
        return None
    failure = condition(deployment, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    said = str(failure.get("message", ""))
    if found := _QUOTA.search(said):
        quota, asked, _, limited = found.groups()
        message = f'the quota "{quota}" allows no more pods: asked {asked}, limit {limited}: free some, or raise it'
        return Cause(reason=Reason.QuotaExceeded, message=message)
    if found := _POD_SECURITY.search(said):
        message = f'the namespace\'s Pod Security level "{found[1]}" refuses the pods: {shortened(found[2])}'
        return Cause(reason=Reason.PodRefused, message=message)
    if found := _WEBHOOK.search(said):
        return Cause(
            reason=Reason.PodRefused, message=f'the webhook "{found[1]}" refuses the pods: {shortened(found[2])}'
        )
    return Cause(reason=Reason.PodRefused, message=f"the pods cannot be made: {shortened(said)}")


def cause_of_revision(deployment: Raw | None, pods: Sequence[PodSeen]) -> Cause | None:
    """Why a revision does not serve; None where nothing is known to be wrong."""
    return cause_of_deployment(deployment) or cause_of_pods(pods)
