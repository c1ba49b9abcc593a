"""The Helm chart on a cluster of its own: installed, upgraded, uninstalled, installed again."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from harness import yours
from harness.cluster import Cluster, KubectlFailed, Object
from harness.graphs import documents
from harness.helm import CHART, Helm, HelmFailed
from harness.operator import MANIFESTS, NAMESPACE, NOBODY, model_deployment, operator
from harness.waiting import wait_for
from pointsman.cli.worlds import Place
from pointsman_operator.commands import Commands
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


def test_a_graph_gets_its_namespaces_parts_of_the_image_and_on_the_gateway_that_the_values_say(
    released: Released, untouched: Cluster, namespace: str, tmp_path: Path
) -> None:
    values = "webhook.enabled=false,gateway.enabled=true,image.registry=registry.example/ours,image.tag=nightly"
    notes = released("--set", values)
    assert 'the Secret "pointsman-store" of the graph\'s namespace: docs/store.md has the lines' in notes
    assert "kubectl apply -n <namespace> -f manifests/examples/fraud" in notes
    assert f"kubectl port-forward -n {namespace} service/pointsman-gateway 8080:80" in notes
    assert "KubeRay is not" not in notes
    untouched.kubectl("create", "namespace", "decisions")
    untouched.apply(*documents("decisions", "EventStream", "FeatureView", "ActionTarget", "DecisionGraph"))
    [container] = untouched.get("deployment", "pointsman-operator", namespace)["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith("POINTSMAN_GRAPH_")}
    nowhere = f"http://127.0.0.1:{NOBODY}"

    with operator(untouched, tmp_path, registry=nowhere, probes=nowhere, environment=told, namespace=namespace):
        for name in ("pointsman-api", "pointsman-dispatcher"):
            found = wait_for(f"there is {name}", partial(there, untouched, name), seconds=60)
            [container] = found["spec"]["template"]["spec"]["containers"]
            assert container["image"] == "registry.example/ours/graph:nightly"
        [parent] = untouched.get("httproute", "pointsman-api", "decisions")["spec"]["parentRefs"]
        assert (parent["namespace"], parent["name"]) == (namespace, "pointsman")

    preview = Commands(Place(kubeconfig=str(untouched.kubeconfig))).restarts
    assert preview() == [], "what this release made stays"
    untouched.kubectl(
        "set", "image", "deployment/pointsman-api", "api=registry.example/ours/graph:older", "-n", "decisions"
    )
    [restart] = preview()
    assert restart["object"] == "Deployment/pointsman-api"
    assert restart["because"].endswith('graph:older" becomes "registry.example/ours/graph:nightly"')
    untouched.kubectl("delete", "namespace", "decisions", "--wait=false")


def there(cluster: Cluster, deployment: str) -> Object | None:
    """A Deployment of the namespace with the graph, once it is there."""
    return next(
        (each for each in cluster.list("deployment", "decisions") if each["metadata"]["name"] == deployment), None
    )


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
