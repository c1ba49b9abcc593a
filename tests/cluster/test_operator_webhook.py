"""The operator's webhook, asked by a real API server: what it refuses, how its certificates move on, and life without it.

The operator is a process of this machine under exactly its own role.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from harness import operator as harness
from harness import yours
from harness.cluster import Cluster, KubectlFailed
from harness.operator import NAMESPACE, Operator, model_deployment
from harness.runs import free_ports
from harness.waiting import wait_for
from pointsman_operator.cluster.client import Cluster as Client
from pointsman_operator.resources.admission import TIMEOUT_SECONDS
from pointsman_operator.webhook.renewal import SECRET_NAME, Renewal

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

MODEL = {"uri": "models:/fraud@champion"}
CONFIGURATION = ("validatingwebhookconfiguration", "pointsman-modeldeployments")
NOWHERE = "http://127.0.0.1:9"
SECONDS = 9
"""Of a serving certificate's life where it is to be renewed within the test"""

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a resource that no node has": (
        {"resources": {"limits": {"gpu": "1"}}},
        'spec.resources.limits.gpu: "gpu" is not a resource',
    ),
    "a field that no toleration has": (
        {"podTemplate": {"spec": {"tolerations": [{"key": "gpu", "efect": "NoSchedule"}]}}},
        'spec.podTemplate.spec.tolerations[0].efect: unknown field "efect"; did you mean "effect"?',
    ),
    "a request above its limit": (
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        'spec.resources.requests.memory: "memory": the request "2Gi" is above the limit "1Gi"',
    ),
}


@pytest.fixture(scope="module")
def port(simulated: Cluster) -> Iterator[int]:
    """Where the API server asks."""
    [port] = free_ports(1)
    harness.installed(simulated, port)
    yield port
    harness.installed(simulated)


@pytest.fixture
def operator(simulated: Cluster, port: int, tmp_path: Path) -> Iterator[Operator]:
    settings = {"POINTSMAN_WEBHOOK_PORT": str(port)}
    with harness.operator(simulated, tmp_path, registry=NOWHERE, probes=NOWHERE, environment=settings) as running:
        wait_for("the webhook is asked", lambda: refusal(simulated, "default") is not None)
        yield running


def refusal(cluster: Cluster, namespace: str, spec: dict[str, Any] | None = None) -> str | None:
    """What `kubectl apply` says to a document that the webhook alone refuses; None where it is taken."""
    wrong = {"resources": {"limits": {"gpu": "1"}}} if spec is None else spec
    document = model_deployment("fraud", namespace, model=MODEL, **wrong)
    try:
        cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(document))
    except KubectlFailed as error:
        return str(error)
    return None


def trusted(cluster: Cluster) -> bytes:
    """The bundle that the API server goes by."""
    [webhook] = cluster.get(*CONFIGURATION)["webhooks"]
    return base64.b64decode(webhook["clientConfig"].get("caBundle", ""))


def shown(port: int, bundle: bytes) -> x509.Certificate:
    """What a new connection is shown; raises SSLError where the bundle does not vouch for it."""
    context = ssl.create_default_context(cadata=bundle.decode())
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
    ):
        certificate = encrypted.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate)


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_code_is_refused_at_its_path(
    simulated: Cluster, operator: Operator, namespace: str, what: str
) -> None:
    spec, words = REFUSED[what]

    said = refusal(simulated, namespace, spec)

    assert said is not None
    assert words in said


def test_kubectl_shows_each_wrong_thing_on_its_line(simulated: Cluster, operator: Operator, namespace: str) -> None:
    said = refusal(simulated, namespace, {"resources": {"limits": {"gpu": "1", "tpu": "1"}}})

    assert said is not None
    lines = [line.strip() for line in said.splitlines()]
    assert sum(line.startswith("* spec.resources.limits.") for line in lines) == 2, said


def test_with_no_replica_alive_what_is_right_is_taken_and_the_policy_still_refuses(
    simulated: Cluster, port: int, namespace: str
) -> None:
    began = time.monotonic()
    simulated.apply(model_deployment("fraud", namespace, model=MODEL))
    assert time.monotonic() - began < TIMEOUT_SECONDS

    with pytest.raises(KubectlFailed, match="Canary and Shadow are not honoured yet"):
        simulated.apply(model_deployment("other", namespace, model=MODEL, rollout={"type": "Shadow"}))


def test_what_was_taken_while_nobody_was_asked_is_said_in_the_status_and_can_be_labelled_and_let_go(
    simulated: Cluster, port: int, namespace: str, request: pytest.FixtureRequest
) -> None:
    wrong = model_deployment("fraud", namespace, model=MODEL, resources={"limits": {"gpu": "1"}})
    simulated.apply({**wrong, "metadata": {**wrong["metadata"], "finalizers": ["example.com/held"]}})

    request.getfixturevalue("operator")

    def message() -> str:
        conditions = simulated.get("modeldeployment", "fraud", namespace).get("status", {}).get("conditions", ())
        return next((each["message"] for each in conditions if each["reason"] == "InvalidSpec"), "")

    assert 'spec.resources.limits.gpu: "gpu" is not a resource' in wait_for("the status says it", message)
    with pytest.raises(KubectlFailed, match="is not a resource"):
        simulated.apply(model_deployment("fraud", namespace, model=MODEL, resources={"limits": {"tpu": "1"}}))
    fraud = ("modeldeployment", "fraud", "-n", namespace)
    simulated.kubectl("label", *fraud, "team=risk")
    simulated.kubectl("delete", *fraud, "--wait=false")
    simulated.kubectl("patch", *fraud, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    gone = lambda: simulated.list("modeldeployment", namespace) == []  # noqa: E731
    wait_for("it is gone", gone)


def test_certificates_and_authorities_move_on_and_no_request_fails(
    simulated: Cluster, port: int, namespace: str, tmp_path: Path
) -> None:
    settings = {"POINTSMAN_WEBHOOK_PORT": str(port), "POINTSMAN_WEBHOOK_CERTIFICATE_SECONDS": str(SECONDS)}
    simulated.kubectl("delete", "secret", SECRET_NAME, "-n", NAMESPACE, "--ignore-not-found")
    with harness.operator(simulated, tmp_path, registry=NOWHERE, probes=NOWHERE, environment=settings) as operator:
        wait_for("the webhook is asked", lambda: refusal(simulated, namespace) is not None)
        issuers, certificates, bundles = dict[x509.Name, None](), set[int](), set[bytes]()

        def seen() -> bool:
            bundle = trusted(simulated)
            certificate = shown(port, bundle)
            assert refusal(simulated, namespace) is not None, f"the webhook was left out; its log is {operator.log}"
            issuers[certificate.issuer] = None
            certificates.add(certificate.serial_number)
            bundles.add(bundle)
            return len(issuers) > 1

        wait_for("another authority signs", seen, seconds=SECONDS * 6)
        assert len(certificates) > 2, "renewed by the first authority, too"
        assert len(bundles) > 1
        first, *_ = issuers
        assert first in [each.subject for each in x509.load_pem_x509_certificates(trusted(simulated))], (
            "the old one stays"
        )


def test_replicas_that_start_at_the_same_moment_agree(simulated: Cluster, port: int, tmp_path: Path) -> None:
    simulated.kubectl("delete", "secret", SECRET_NAME, "-n", NAMESPACE, "--ignore-not-found")
    kubeconfig = str(harness.as_the_operator(simulated, tmp_path))

    async def replicas() -> list[Renewal]:
        async with Client.configured(kubeconfig) as client:
            made = [
                Renewal(client, namespace=NAMESPACE, host="127.0.0.1", lifetime=timedelta(days=7)) for _ in range(3)
            ]
            await asyncio.gather(*(each.look() for each in made))
            before = versions()
            await asyncio.gather(*(each.look() for each in made))
            assert versions() == before, "nothing is due: nothing is written"
            return made

    def versions() -> list[str]:
        objects = (simulated.get("secret", SECRET_NAME, NAMESPACE), simulated.get(*CONFIGURATION))
        return [each["metadata"]["resourceVersion"] for each in objects]

    first, *others = asyncio.run(replicas())

    assert first.shown is not None
    assert all(each.shown == first.shown for each in others)
    assert trusted(simulated) == first.shown.bundle


def test_the_operator_reaches_no_secret_but_its_own(simulated: Cluster, port: int) -> None:
    account = f"system:serviceaccount:{NAMESPACE}:pointsman-operator"

    def may(*what: str) -> bool:
        asked = ("auth", "can-i", *what, "-n", NAMESPACE, f"--as={account}")
        try:
            return simulated.kubectl(*asked).strip() == "yes"
        except KubectlFailed:
            return False

    assert may("get", f"secret/{SECRET_NAME}")
    assert not [verb for verb in ("list", "watch", "create", "delete") if may(verb, "secrets")]
    assert not may("get", "secret/another")
    assert not may("patch", "validatingwebhookconfiguration/another")
