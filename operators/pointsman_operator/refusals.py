"""What a cluster cannot do, or would ignore without a word, of a ModelDeployment: refused by name, with the way out.

The webhook asks when a document is applied, and the reconcile again for what was there before. Each check looks at one thing;
all that speak are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from pointsman.api.findings import Problem, nearest, path_text
from pointsman.api.meta import PodTemplate
from pointsman.api.model_deployment import ModelDeployment
from pointsman_operator import names, pod_fields

POD_FIELDS = frozenset(
    {
        "activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy",
        "enableServiceLinks", "hostAliases", "hostname", "imagePullSecrets", "nodeName", "nodeSelector",
        "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates", "resourceClaims",
        "runtimeClassName", "schedulerName", "schedulingGates", "securityContext", "serviceAccountName",
        "setHostnameAsFQDN", "subdomain", "terminationGracePeriodSeconds", "tolerations",
        "topologySpreadConstraints", "volumes",
    }
)  # fmt: skip
"""The fields of a PodSpec that a pod template may set. Containers are the runtime's; sharing the node's namespaces is not for a
model server."""
SCHEMES = ("models:/", "s3://", "gs://", "hf://", "oci://", "pvc://", "https://")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A path of the document, and what to do about what stands there."""

    path: str
    message: str

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """What cannot be read, with the hint that may go with it."""
        message = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
        return cls(path=path_text(problem.path), message=message)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def refusals(deployment: ModelDeployment) -> tuple[Refusal, ...]:
    """Everything that is refused of a document, in the order of the checks."""
    return tuple(refusal for check in CHECKS for refusal in check(deployment))


def its_name_is_too_long(deployment: ModelDeployment) -> Iterator[Refusal]:
    if len(deployment.name) > names.LONGEST:
        message = f"{len(deployment.name)} characters: KServe's names leave room for {names.LONGEST}"
        yield Refusal(path="metadata.name", message=message)
    elif not deployment.name[0].isalpha():
        yield Refusal(path="metadata.name", message="KServe's names begin with a letter")


def nothing_fetches_its_model(deployment: ModelDeployment) -> Iterator[Refusal]:
    uri = deployment.spec.model.uri
    if not uri.startswith(SCHEMES):
        message = f'"{uri}" is not fetched in a cluster: register the model, or use {", ".join(SCHEMES)}'
        yield Refusal(path="spec.model.uri", message=message)


def its_rollout_is_not_honoured_yet(deployment: ModelDeployment) -> Iterator[Refusal]:
    type_ = deployment.spec.rollout.type
    if type_ in ("Canary", "Shadow"):
        message = f"{type_} is not honoured yet: use RollingUpdate or Recreate"
        yield Refusal(path="spec.rollout.type", message=message)


def its_autoscaler_is_not_honoured_yet(deployment: ModelDeployment) -> Iterator[Refusal]:
    if deployment.spec.autoscaling.type == "KEDA":
        yield Refusal(path="spec.autoscaling.type", message="KEDA is not honoured yet: use HPA, None or External")


def its_autoscaler_has_nothing_to_measure_by(deployment: ModelDeployment) -> Iterator[Refusal]:
    """A share of the CPU is a share of what is asked for: an explicit 0 leaves nothing to divide by."""
    for place, metric in enumerate(deployment.spec.autoscaling.metrics or ()):
        asked = deployment.spec.resources.requests.get(metric.type.lower())
        if metric.average_utilization is not None and asked is not None and asked.value == 0:
            message = f"a share of nothing: spec.resources.requests[{metric.type.lower()}] is 0"
            yield Refusal(path=f"spec.autoscaling.metrics[{place}].averageUtilization", message=message)


def its_pod_template_says_what_others_decide(deployment: ModelDeployment) -> Iterator[Refusal]:
    yield from of_pod_template(deployment.spec.pod_template, ("spec", "podTemplate"))


def of_pod_template(template: PodTemplate | None, path: tuple[str, ...]) -> Iterator[Refusal]:
    """What a pod template cannot set, or sets that there is not; `path` is where it stands."""
    if template is None:
        return
    for name in template.spec:
        if name not in POD_FIELDS:
            close = nearest(name, POD_FIELDS)
            hint = close if close is not None and close.startswith("did") else None
            message = "a pod template cannot set this"
            yield Refusal.of(Problem(path=(*path, "spec", name), message=message, hint=hint))
    for side in ("labels", "annotations"):
        for name in getattr(template.metadata, side):
            if names.RESERVED.match(name):
                message = "reserved: it would change what the operator, KServe or KubeRay does with the pods"
                yield Refusal(path=f'{path_text(path)}.metadata.{side}["{name}"]', message=message)
    known = {name: value for name, value in template.spec.items() if name in POD_FIELDS}
    yield from map(Refusal.of, pod_fields.problems(known, (*path, "spec")))


Check = Callable[[ModelDeployment], Iterator[Refusal]]

CHECKS: tuple[Check, ...] = (
    its_name_is_too_long,
    nothing_fetches_its_model,
    its_rollout_is_not_honoured_yet,
    its_autoscaler_is_not_honoured_yet,
    its_autoscaler_has_nothing_to_measure_by,
    its_pod_template_says_what_others_decide,
)
