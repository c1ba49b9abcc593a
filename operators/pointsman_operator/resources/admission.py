"""What the API server is told about refusing ModelDeployments: a policy in CEL, and the operator's webhook for what needs code.

The policy refuses by itself, with no replica of the operator alive. The webhook is asked about what the policy lets pass; while
no replica answers it is left out (`failurePolicy: Ignore`): whoever applies a document then must not wait for us, and nothing
gets by for good, as the reconcile refuses the same things in a condition. `refusals` says it all to both.

Neither looks at an object whose spec stays as it is: one that was there before can be labelled, and let go by its finalizers.
"""

from __future__ import annotations

import json
from typing import Any

from pointsman_operator import names
from pointsman_operator.refusals import POD_FIELDS, SCHEMES
from pointsman_operator.seen import MODEL_DEPLOYMENT

NAME = "pointsman-modeldeployments"
WEBHOOK = "modeldeployments.pointsman.dev"
PATH = "/validate"
TIMEOUT_SECONDS = 5
"""For an answer, which takes a millisecond; a replica that hangs makes nobody wait for longer"""
_UNSET = "!has(object.spec.{0}) || !has(object.spec.{0}.type)"


def documents() -> dict[str, dict[str, Any]]:
    """The policy, its binding and the webhook, by their names."""
    rule = {
        "apiGroups": [MODEL_DEPLOYMENT.api_version.split("/")[0]],
        "apiVersions": [MODEL_DEPLOYMENT.api_version.split("/")[1]],
        "operations": ["CREATE", "UPDATE"],
        "resources": [MODEL_DEPLOYMENT.plural],
    }
    conditions = [{"name": "the-spec-is-another", "expression": "oldObject == null || object.spec != oldObject.spec"}]
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": conditions,
            "validations": [
                {"expression": expression, "message": message, "reason": "Invalid"}
                for expression, message in _rules().items()
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
    service = {"namespace": "pointsman-system", "name": "pointsman-operator-webhook", "path": PATH}
    webhook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": WEBHOOK,
                "clientConfig": {"service": service},  # the caBundle is the operator's to write
                "rules": [{**rule, "scope": "Namespaced"}],
                "matchPolicy": "Equivalent",
                "matchConditions": conditions,
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "timeoutSeconds": TIMEOUT_SECONDS,
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
    return {"policy": policy, "binding": binding, "webhook": webhook}


def _rules() -> dict[str, str]:
    schemes, fields = json.dumps(SCHEMES), json.dumps(sorted(POD_FIELDS))
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
        "!has(object.spec.podTemplate) || !has(object.spec.podTemplate.spec) || "
        f"object.spec.podTemplate.spec.all(field, field in {fields})": (
            "spec.podTemplate.spec: a pod template cannot set all of these fields: containers are the runtime's"
        ),
        **{
            f"!has(object.spec.podTemplate) || !has(object.spec.podTemplate.metadata) || "
            f"!has(object.spec.podTemplate.metadata.{side}) || "
            f"object.spec.podTemplate.metadata.{side}.all(name, !name.matches({json.dumps(names.RESERVED.pattern)}))": (
                f"spec.podTemplate.metadata.{side}: serving.kserve.io/, knative.dev/ and pointsman.dev/ are reserved"
            )
            for side in ("labels", "annotations")
        },
    }
