"""What the API server is told about refusing our kinds: policies in CEL, and the operator's webhook for what needs code.

The policies refuse by themselves, with no replica of the operator alive. The webhook is asked about what they let pass; while
no replica answers it is left out (`failurePolicy: Ignore`): whoever applies a document then must not wait for us, and nothing
gets by for good, as the reconcile refuses the same things in a condition. `refusals` says it all to both.

Neither looks at an object whose spec stays as it is: one that was there before can be labelled, and let go by its finalizers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pointsman_operator import names
from pointsman_operator.graphs.refusals import TAKEN
from pointsman_operator.refusals import POD_FIELDS, SCHEMES
from pointsman_operator.seen import (
    ACTION_TARGET,
    DECISION_GRAPH,
    EVENT_STREAM,
    FEATURE_VIEW,
    MODEL_DEPLOYMENT,
    Kind,
)

NAME, GRAPHS = "pointsman-modeldeployments", "pointsman-decisiongraphs"
"""The policies; the webhook, which is asked about every kind of ours, has the first one's name"""
WEBHOOK = "modeldeployments.pointsman.dev"
PATH = "/validate"
TIMEOUT_SECONDS = 5
"""For an answer, which takes a millisecond; a replica that hangs makes nobody wait for longer"""
ASKED = (MODEL_DEPLOYMENT, DECISION_GRAPH, EVENT_STREAM, FEATURE_VIEW, ACTION_TARGET)
CONDITIONS = [{"name": "the-spec-is-another", "expression": "oldObject == null || object.spec != oldObject.spec"}]
_UNSET = "!has(object.spec.{0}) || !has(object.spec.{0}.type)"


def documents() -> dict[str, dict[str, Any]]:
    """The policies with their bindings, and the webhook, by their names."""
    return {
        "policy": _policy(NAME, MODEL_DEPLOYMENT, _rules()),
        "binding": _binding(NAME),
        "graph-policy": _policy(GRAPHS, DECISION_GRAPH, _graph_rules()),
        "graph-binding": _binding(GRAPHS),
        "webhook": _webhook(),
    }


def _rule(*kinds: Kind) -> dict[str, Any]:
    group, version = kinds[0].api_version.split("/")
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["CREATE", "UPDATE"],
        "resources": [kind.plural for kind in kinds],
    }


def _policy(name: str, kind: Kind, rules: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [_rule(kind)]},
            "matchConditions": CONDITIONS,
            "validations": [
                {"expression": expression, "message": message, "reason": "Invalid"}
                for expression, message in rules.items()
            ],
        },
    }


def _binding(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }


def _webhook() -> dict[str, Any]:
    service = {"namespace": "pointsman-system", "name": "pointsman-operator-webhook", "path": PATH}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": WEBHOOK,
                "clientConfig": {"service": service},  # the caBundle is the operator's to write
                "rules": [{**_rule(*ASKED), "scope": "Namespaced"}],
                "matchPolicy": "Equivalent",
                "matchConditions": CONDITIONS,
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "timeoutSeconds": TIMEOUT_SECONDS,
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


def _rules() -> dict[str, str]:
    schemes = json.dumps(SCHEMES)
    starts = "object.spec.model.uri.startsWith(scheme)"
    return {
        f"size(object.metadata.name) <= {names.LONGEST}": (
            f"metadata.name: KServe's names leave room for {names.LONGEST} characters"
        ),
        "object.metadata.name.matches('^[a-z]')": "metadata.name: KServe's names begin with a letter",
        f"{schemes}.exists(scheme, {starts})": (
            f"spec.model.uri: not fetched in a cluster: register the model, or use {', '.join(SCHEMES)}"
        ),
        f"{_UNSET.format('rollout')} || !(object.spec.rollout.type in ['Canary', 'Shadow'])": (
            "spec.rollout.type: Canary and Shadow are not honoured yet: use RollingUpdate or Recreate"
        ),
        f"{_UNSET.format('autoscaling')} || object.spec.autoscaling.type != 'KEDA'": (
            "spec.autoscaling.type: KEDA is not honoured yet: use HPA, None or External"
        ),
        **_of_pod_template("object.spec", "spec"),
    }


def _graph_rules() -> dict[str, str]:
    taken = json.dumps(sorted(TAKEN))
    return {
        f"size(object.metadata.name) <= {names.LONGEST_GRAPH}": (
            f"metadata.name: KubeRay's names leave room for {names.LONGEST_GRAPH} characters"
        ),
        "object.metadata.name.matches('^[a-z]')": "metadata.name: names of Services begin with a letter",
        f"!(object.metadata.name in {taken})": (
            f"metadata.name: {' and '.join(sorted(TAKEN))} are names of what all graphs of a namespace share"
        ),
        **{
            f"!has(object.spec.runtime) || ({expression})": message
            for expression, message in _of_pod_template("object.spec.runtime", "spec.runtime").items()
        },
    }


def _of_pod_template(block: str, path: str) -> dict[str, str]:
    """What a pod template may set, wherever it stands."""
    fields, reserved = json.dumps(sorted(POD_FIELDS)), json.dumps(names.RESERVED.pattern)
    found = {
        f"!has({block}.podTemplate) || !has({block}.podTemplate.spec) || "
        f"{block}.podTemplate.spec.all(field, field in {fields})": (
            f"{path}.podTemplate.spec: a pod template cannot set all of these fields: containers are the runtime's"
        )
    }
    for side in ("labels", "annotations"):
        metadata = f"{block}.podTemplate.metadata"
        expression = (
            f"!has({block}.podTemplate) || !has({metadata}) || !has({metadata}.{side}) || "
            f"{metadata}.{side}.all(name, !name.matches({reserved}))"
        )
        message = "serving.kserve.io/, knative.dev/, ray.io/ and pointsman.dev/ are reserved"
        found[expression] = f"{path}.podTemplate.metadata.{side}: {message}"
    return found
