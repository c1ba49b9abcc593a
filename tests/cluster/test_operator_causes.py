"""Every cause for which a ModelDeployment does not serve is named in its status, within seconds, and never as Ready.

What a fault shows is real where the control plane shows it, and played by simulated pods where a kubelet would.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from harness import workloads, yours
from harness.cluster import Cluster
from harness.model_deployments import behaving, condition, ready, says, seen
from harness.operator import Operator, model_deployment
from harness.pod_stages import Behaviour
from harness.refusing import webhook
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

Register = Callable[..., str]
Note = Callable[[str, str, float], object]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is asked for that cannot be had, and what is said of it. `{}` in the model's uri is this test's own model."""

    reason: str
    words: str
    behaviour: Behaviour | None = None
    name: str = "fraud"
    uri: str = "models:/{}@champion"
    digest: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)


FAULTS = {
    "an image that cannot be pulled": Fault(
        reason="ImagePullFailed", words="cannot be pulled", behaviour=Behaviour.IMAGE_PULL
    ),
    "a process that ends again and again, with its last words": Fault(
        reason="Crashing",
        words="ends with exit code 1: ValueError: the opset 99 is not known",
        behaviour=Behaviour.CRASH_LOOP,
    ),
    "too much memory": Fault(
        reason="OutOfMemory", words='raise spec.resources.limits["memory"]', behaviour=Behaviour.OOM
    ),
    "a model that cannot be fetched": Fault(
        reason="FetchFailed",
        words="the model cannot be fetched: the model was not found at its storageUri",
        behaviour=Behaviour.STORAGE_INITIALIZER_FAILS,
    ),
    "a secret that is missing": Fault(
        reason="SecretNotFound", words='the Secret "token" does not exist', behaviour=Behaviour.SECRET_MISSING
    ),
    "a model that answers nothing usable": Fault(
        reason="ProbeFailed", words="its probe inference is not answered: ", name="unknown-to-its-server"
    ),
    "more GPUs than any node has": Fault(
        reason="Unschedulable",
        words='9 of "nvidia.com/gpu" (1 more than the largest node has)',
        spec={"resources": {"limits": {"nvidia.com/gpu": "9"}}},
    ),
    "a node selector that no node fits": Fault(
        reason="Unschedulable",
        words="no node takes a pod: didn't match Pod's node affinity/selector",
        spec={"podTemplate": {"spec": {"nodeSelector": {"disk": "none"}}}},
    ),
    "a model that is not registered": Fault(
        reason="ModelNotFound", words='has no model "no-such-model"', uri="models:/no-such-model@champion"
    ),
    "a version that is not registered": Fault(reason="ModelNotFound", words="has no version 99", uri="models:/{}/99"),
    "an alias that is not set": Fault(
        reason="AliasNotFound", words='did you mean "champion"?', uri="models:/{}@champoin"
    ),
    "a digest that is another": Fault(
        reason="DigestMismatch", words="correct one of them", digest="sha256:" + "0" * 64
    ),
    "a serving runtime that is not there": Fault(
        reason="RuntimeNotFound",
        words='the serving runtime "none" does not exist',
        spec={"runtime": {"type": "ServingRuntime", "servingRuntimeRef": {"name": "none"}}},
    ),
}


@pytest.fixture(scope="module")
def note() -> Iterator[Note]:
    """Takes down how long after a fault Ready was False, which is known to the second; printed at the end."""
    noted = list[str]()
    yield lambda fault, message, seconds: noted.append(f"{seconds:5.1f} s  {fault}: {message}")
    print("\nReady was False after", *noted, sep="\n")  # noqa: T201


def age(said: dict[str, Any], since: float) -> float:
    """From a moment to a condition's last change, which is given to the second."""
    changed = datetime.fromisoformat(said["lastTransitionTime"]).replace(tzinfo=UTC).timestamp()
    return max(0.0, changed - since)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_status_names_the_cause(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register, fault: str, note: Note
) -> None:
    wanted = FAULTS[fault]
    registered()
    model = {"uri": wanted.uri.format(namespace)} | ({"digest": wanted.digest} if wanted.digest else {})
    spec = wanted.spec | ({"podTemplate": behaving(wanted.behaviour)} if wanted.behaviour else {})

    began = time.time()
    simulated.apply(model_deployment(wanted.name, namespace, model=model, **spec))

    said = says(simulated, namespace, wanted.reason, name=wanted.name)
    note(fault, said["message"], age(said, began))
    assert wanted.words in said["message"]
    assert age(said, began) < 30


def test_a_probe_that_fails_while_the_pod_starts_is_told_and_may_still_pass(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register
) -> None:
    template = behaving(Behaviour.NEVER_READY)
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}, podTemplate=template))

    wait_for(
        "it says what the probe got",
        lambda: "statuscode: 503" in condition(seen(simulated, namespace)).get("message", ""),
        seconds=60,
    )
    assert condition(seen(simulated, namespace))["status"] == "Unknown"


@pytest.mark.parametrize("behaviour", [Behaviour.OOM, Behaviour.CRASH_LOOP, Behaviour.NEVER_READY])
def test_what_serves_and_falls_is_not_ready_within_seconds(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register, behaviour: Behaviour, note: Note
) -> None:
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
    ready(simulated, namespace)
    [pod] = simulated.list("pod", namespace)

    began = time.time()
    annotation = f"{next(iter(behaving(behaviour)['metadata']['annotations']))}={behaviour}"
    simulated.kubectl("annotate", "pod", pod["metadata"]["name"], "-n", namespace, annotation)

    reason = {Behaviour.OOM: "OutOfMemory", Behaviour.CRASH_LOOP: "Crashing"}.get(behaviour, "ProbeFailed")
    said = says(simulated, namespace, reason)
    note(f"while it served: {behaviour}", said["message"], age(said, began))
    assert age(said, began) < 30


def test_a_quota_is_named(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register, note: Note
) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": namespace}}
    simulated.apply({**quota, "spec": {"hard": {"pods": "0"}}})

    began = time.time()
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))

    said = says(simulated, namespace, "QuotaExceeded")
    note("a quota", said["message"], age(said, began))
    assert 'the quota "small"' in said["message"]


def test_a_field_that_this_kserve_does_not_know_is_named(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register
) -> None:
    newer = {"spec": {"volumes": [{"name": "scratch", "emptyDir": {"mode": 448}}]}}
    simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}, podTemplate=newer))

    said = says(simulated, namespace, "WriteRefused")
    assert ".spec.predictor.volumes[0].emptyDir.mode: field not declared in schema" in said["message"]
    assert simulated.list("inferenceservice", namespace) == []


@pytest.mark.parametrize(("resource", "reason"), [("pods", "PodRefused"), ("inferenceservices", "WriteRefused")])
def test_a_webhook_that_refuses_is_named_with_its_words(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register, resource: str, reason: str, note: Note
) -> None:
    assert simulated.webhook
    groups = {"inferenceservices": ("serving.kserve.io", "v1beta1")}
    with webhook(simulated) as url:
        bundle = base64.b64encode(simulated.webhook.authority.read_bytes()).decode()
        configuration = workloads.refusing(namespace, url, bundle, resource, *groups.get(resource, ()))
        simulated.apply(configuration)
        try:
            began = time.time()
            simulated.apply(model_deployment("fraud", namespace, model={"uri": registered()}))
            said = says(simulated, namespace, reason)
        finally:
            simulated.kubectl("delete", "validatingwebhookconfiguration", namespace)
    note(f"a webhook for {resource}", said["message"], age(said, began))
    assert "test.pointsman.dev" in said["message"]
    assert "refused by the test" in said["message"]
    ready(simulated, namespace)


def test_ready_is_never_true_for_a_spec_that_does_not_serve_yet(
    simulated: Cluster, operator: Operator, namespace: str, registered: Register
) -> None:
    model = {"uri": registered()}
    command = ["get", "modeldeployment", "fraud", "-n", namespace, "--watch", "-o", "json"]
    simulated.apply(model_deployment("fraud", namespace, model=model))
    ready(simulated, namespace)
    watching = subprocess.Popen(
        [str(simulated.kubectl_program), "--kubeconfig", str(simulated.kubeconfig), *command],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        template = behaving(Behaviour.CRASH_LOOP)
        simulated.apply(model_deployment("fraud", namespace, model=model, podTemplate=template))
        says(simulated, namespace, "Crashing")
        template = behaving(Behaviour.SLOW)
        simulated.apply(model_deployment("fraud", namespace, model=model, podTemplate=template))
        newest = ready(simulated, namespace)
    finally:
        watching.terminate()
    text, _ = watching.communicate(timeout=20)
    states = _documents(text)
    assert newest["metadata"]["generation"] == 3
    assert {state["metadata"]["generation"] for state in states} == {1, 2, 3}
    early = [
        state["status"]["revision"]
        for state in states
        if (said := condition(state)).get("status") == "True"
        and said["observedGeneration"] == state["metadata"]["generation"] > 1
    ]
    assert set(early) <= {newest["status"]["revision"]}


def _documents(text: str) -> list[dict[str, Any]]:
    decoder, found, position = json.JSONDecoder(), [], 0
    while (position := len(text) - len(text[position:].lstrip())) < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
        except ValueError:  # the last one was cut off
            break
        found.append(document)
    return found
