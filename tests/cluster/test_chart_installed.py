"""The Helm chart on a cluster of its own: installed, upgraded, uninstalled, installed again."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import yours
from harness.cluster import Cluster, KubectlFailed
from harness.helm import CHART, Helm, HelmFailed
from harness.operator import MANIFESTS, NAMESPACE, model_deployment
from harness.waiting import wait_for
from pointsman_operator.resources import admission
from pointsman_operator.settings import RELEASE

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]
KINDS = ("actiontargets", "decisiongraphs", "eventstreams", "featureviews", "modeldeployments")
WEBHOOK = ("validatingwebhookconfiguration", admission.NAME)
MODEL = {"uri": "models:/fraud@champion"}
Released = Callable[..., str]


@pytest.fixture(scope="module")
def namespace(untouched: Cluster) -> str:
    """The release's, not the one that the manifests name, at the restricted level of Pod Security."""
    untouched.kubectl("create", "namespace", "models")
    untouched.kubectl("label", "namespace", "models", "pod-security.kubernetes.io/enforce=restricted")
    return "models"


@pytest.fixture
def released(helm: Helm, untouched: Cluster, namespace: str) -> Iterator[Released]:
    """Installs or upgrades the release and waits for its pods; at the end it is uninstalled, and its kinds stay."""

    def release(*arguments: str, chart: Path = CHART, into: str = namespace) -> str:
        waits = ("--wait", "--timeout", "90s")
        return helm("upgrade", "--install", "pointsman", chart, "-n", into, *waits, *arguments, cluster=untouched)

    yield release
    for each in (namespace, NAMESPACE):
        helm("uninstall", "pointsman", "-n", each, "--ignore-not-found", "--wait", cluster=untouched)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A chart of a release before this one: one of its kinds was called otherwise."""
    folder = tmp_path / "pointsman"
    shutil.copytree(CHART, folder)
    changed = {
        "Chart.yaml": (f"ersion: {RELEASE}", "ersion: 0.0.9"),
        "templates/crds/modeldeployments.pointsman.dev.yaml": ("- pmd", "- older"),
    }
    for name, (ours, theirs) in changed.items():
        text = (folder / name).read_text()
        assert ours in text
        (folder / name).write_text(text.replace(ours, theirs))
    return folder


def trusting(cluster: Cluster) -> str:
    """Writes whom the API server is to trust, where the operator writes it; what it wrote."""
    assert cluster.webhook is not None
    bundle = base64.b64encode(cluster.webhook.authority.read_bytes()).decode()
    patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle}]
    cluster.kubectl("patch", *WEBHOOK, "--type=json", "-p", json.dumps(patch))
    return bundle


def test_installed_at_the_restricted_level_its_pods_run_and_say_what_to_do_next(
    released: Released, untouched: Cluster, namespace: str
) -> None:
    notes = released("--set", "mlflow.enabled=true")

    assert f"kubectl rollout status deployment/pointsman-operator -n {namespace}" in notes
    assert f"It asks MLflow at http://mlflow.{namespace}.svc:5000." in notes
    assert untouched.get("deployment", "pointsman-operator", namespace)["status"]["availableReplicas"] == 2
    assert untouched.get("deployment", "mlflow", namespace)["status"]["availableReplicas"] == 1
    untouched.kubectl("get", "clusterservingruntime", "pointsman-native")


def test_what_the_chart_installs_refuses_what_cannot_be_honoured(
    released: Released, untouched: Cluster, namespace: str
) -> None:
    released("--set", "webhook.enabled=false")
    document = json.dumps(model_deployment("fraud", namespace, model=MODEL, rollout={"type": "Shadow"}))

    def refusal() -> str:
        try:
            return untouched.kubectl("create", "--dry-run=server", "-f", "-", stdin=document) and ""
        except KubectlFailed as failed:
            return str(failed)

    said = wait_for("the API server has taken the policy up", refusal)
    assert "Canary and Shadow are not honoured yet" in said


def test_an_upgrade_brings_the_kinds_of_the_release_and_leaves_the_webhooks_trust_alone(
    released: Released, untouched: Cluster, namespace: str, older: Path
) -> None:
    released(chart=older)
    assert untouched.get("crd", "modeldeployments.pointsman.dev")["spec"]["names"]["shortNames"] == ["older"]
    authority = trusting(untouched)

    released("--set", "operator.replicas=3,settings.drainSeconds=5")

    assert untouched.get("crd", "modeldeployments.pointsman.dev")["spec"]["names"]["shortNames"] == ["pmd"]
    assert untouched.get(*WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"] == authority
    deployment = untouched.get("deployment", "pointsman-operator", namespace)
    assert deployment["status"]["availableReplicas"] == 3
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "POINTSMAN_DRAIN_SECONDS", "value": "5"} in container["env"]


def test_uninstalled_it_leaves_the_kinds_and_their_objects_and_takes_them_back(
    released: Released, helm: Helm, untouched: Cluster, namespace: str
) -> None:
    released()
    untouched.apply(model_deployment("fraud", namespace, model=MODEL))

    helm("uninstall", "pointsman", "-n", namespace, "--wait", cluster=untouched)

    assert untouched.get("modeldeployment", "fraud", namespace)["spec"]["model"] == MODEL
    for kind in KINDS:
        untouched.kubectl("get", "crd", f"{kind}.pointsman.dev")
    for gone in ("deployment/pointsman-operator", "/".join(WEBHOOK), "clusterrole/pointsman-operator"):
        with pytest.raises(KubectlFailed, match="not found"):
            untouched.kubectl("get", gone, "-n", namespace)

    released()
    assert untouched.get("deployment", "pointsman-operator", namespace)["status"]["availableReplicas"] == 2


def test_it_takes_over_what_make_deploy_installed(released: Released, untouched: Cluster) -> None:
    untouched.kubectl("apply", "--server-side", "-k", str(MANIFESTS))

    with pytest.raises(HelmFailed, match="cannot be imported into the current release"):
        released(into=NAMESPACE)
    released("--take-ownership", "--set", "operator.replicas=1", into=NAMESPACE)

    deployment = untouched.get("deployment", "pointsman-operator", NAMESPACE)
    assert deployment["spec"]["replicas"] == deployment["status"]["availableReplicas"] == 1
