"""The Helm chart: by default it is `manifests/`, and each of its values changes what it says and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import parts
from harness.cluster import Object
from harness.helm import CHART, Helm, HelmFailed, by_name
from harness.operator import MANIFESTS, NAMESPACE
from pointsman_images.cache import Say
from pointsman_operator import chart
from pointsman_operator.graphs.installation import platform
from pointsman_operator.resources.graphs.platform import Gateway, Redis
from pointsman_operator.seen import Installed
from pointsman_operator.settings import RELEASE, Settings, settings

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = dict(chart.leaves(SCHEMA))
ALL = {name: {"enabled": True} for name in ("mlflow", "monitoring", "dashboards", "gateway", "postgres")}
"""What is off by default"""


@pytest.fixture(scope="module")
def kubectl(helm: Helm, say: Say) -> Path:
    return parts.programs(parts.CONTROL_PLANE[-1:], say)["kubectl"]


@pytest.fixture(scope="module")
def everything(helm: Helm) -> dict[str, Object]:
    """The chart's objects with all on that is off by default."""
    return helm.rendered(ALL)


def kustomized(kubectl: Path, folder: Path) -> dict[str, Object]:
    return by_name(subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=True).stdout)


def test_helm_finds_nothing_to_say_against_it(helm: Helm) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm("lint", "--strict", CHART)


def test_by_default_it_is_what_make_deploy_installs_into_a_namespace_that_is_there(helm: Helm, kubectl: Path) -> None:
    manifests, rendered = kustomized(kubectl, MANIFESTS), helm.rendered()
    del manifests[f"Namespace/{NAMESPACE}"]
    for name, each in rendered.items():
        if name.startswith("CustomResourceDefinition/"):
            assert each["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}

    assert differences(manifests, rendered) == {}


def test_what_is_off_by_default_is_that_of_the_manifests(
    helm: Helm, everything: dict[str, Object], kubectl: Path
) -> None:
    default = helm.rendered()
    more = {name: each for name, each in everything.items() if name not in default}

    folders = ("mlflow", "monitoring", "gateway", "postgres")
    manifests = {name: each for folder in folders for name, each in kustomized(kubectl, MANIFESTS / folder).items()}
    for name in POSTGRES:
        manifests[name]["metadata"]["namespace"] = NAMESPACE  # with kubectl, the user says which
    assert differences(manifests, more) == {}


def test_postgres_without_a_volume_is_that_of_the_manifests(
    helm: Helm, everything: dict[str, Object], kubectl: Path
) -> None:
    rendered = helm.rendered(told("postgres.storage", ""))
    manifests = kustomized(kubectl, MANIFESTS / "postgres" / "without-storage")
    for each in manifests.values():
        each["metadata"]["namespace"] = NAMESPACE

    assert differences(manifests, {name: rendered[name] for name in POSTGRES}) == {}


def test_another_namespace_is_named_wherever_the_first_one_was(helm: Helm) -> None:
    here, there = (json.dumps(helm.rendered(ALL, namespace=namespace)) for namespace in (NAMESPACE, "elsewhere"))

    assert NAMESPACE not in there
    assert there.replace("elsewhere", NAMESPACE) == here


POSTGRES = [f"{kind}/pointsman-postgres" for kind in ("StatefulSet", "Service", "NetworkPolicy")]
OPERATOR = "Deployment/pointsman-operator spec.template.spec"
CONTAINER, ENV = f"{OPERATOR}.containers[operator]", f"{OPERATOR}.containers[operator].env"
GRAPH_IMAGE, GRAPH_GATEWAY = (f"{ENV}[POINTSMAN_{name}].value" for name in ("GRAPH_IMAGE", "GRAPH_GATEWAY"))
FETCHES = [f"ClusterStorageContainer/pointsman-{name} spec.container" for name in ("registry", "storage", "volume")]
POD_SPECS = {
    OPERATOR: "containers[operator]",
    "Deployment/mlflow spec.template.spec": "containers[mlflow]",
    "Deployment/pointsman-gateway spec.template.spec": "containers[gateway]",
    "StatefulSet/pointsman-postgres spec.template.spec": "containers[postgres]",
    "ClusterServingRuntime/pointsman-native spec": "containers[kserve-container]",
    "ClusterServingRuntime/pointsman-kserve-python spec": "containers[kserve-container]",
    "ClusterServingRuntime/pointsman-bento spec": "containers[kserve-container]",
    "ClusterServingRuntime/pointsman-triton spec": "containers[kserve-container]",
}
CONTAINERS = [f"{spec}.{container}" for spec, container in POD_SPECS.items()] + FETCHES
TRITON = "ClusterServingRuntime/pointsman-triton spec.containers[kserve-container].image"
IMAGES = [
    "operator",
    "mlflow",
    "graph",
    "postgres",
    "serving",
    "kserve-python",
    "bentoml",
    None,
    "serving",
    "storage",
    "serving",
]
"""Of `CONTAINERS`; Triton's is not ours"""


def images(pattern: str) -> dict[str, str]:
    found = {f"{path}.image": pattern.format(name) for path, name in zip(CONTAINERS, IMAGES, strict=True) if name}
    return {**found, GRAPH_IMAGE: pattern.format("graph")}


def variable(name: str, value: str | None) -> dict[str, Any]:
    """A setting that the operator was not told of before, or with None is no longer told of."""
    variable = f"POINTSMAN_{name}"
    return {f"{ENV}[{variable}].name": variable if value is not None else None, f"{ENV}[{variable}].value": value}


def gone(kinds: str, switch: str) -> dict[str, str]:
    """The objects that a template makes, as `differences` has it when they are not made."""
    files = [file for pattern, by in chart.TEMPLATES.items() if by == switch for file in MANIFESTS.glob(pattern)]
    made = {name: "gone" for file in files for name in by_name(file.read_text())}
    assert {name.split("/")[0] for name in made} == set(kinds.split())
    return made


CASES: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "image.registry": ("registry.example/ours", images(f"registry.example/ours/{{}}:{RELEASE}")),
    "image.tag": ("nightly", images("ghcr.io/pointsman/{}:nightly")),
    "image.pullPolicy": (
        "Always",
        {f"{path}.imagePullPolicy": "Always" for path in CONTAINERS} | variable("GRAPH_PULL_POLICY", "Always"),
    ),
    "image.pullSecrets": (
        [{"name": "puller"}, {"name": "another"}],
        {f"{spec}.imagePullSecrets[{name}].name": name for spec in POD_SPECS for name in ("puller", "another")}
        | variable("GRAPH_PULL_SECRETS", "puller,another"),
    ),
    "operator.replicas": (3, {"Deployment/pointsman-operator spec.replicas": 3}),
    "operator.resources": ({"limits": {"memory": "2Gi"}}, {f"{CONTAINER}.resources.limits.memory": "2Gi"}),
    "operator.priorityClassName": (
        "system-cluster-critical",
        {f"{OPERATOR}.priorityClassName": "system-cluster-critical"},
    ),
    "operator.nodeSelector": ({"pool": "system"}, {f"{OPERATOR}.nodeSelector.pool": "system"}),
    "operator.tolerations": (
        [{"key": "system", "operator": "Exists"}],
        {f"{OPERATOR}.tolerations[0].key": "system", f"{OPERATOR}.tolerations[0].operator": "Exists"},
    ),
    "operator.affinity": (
        {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}},
        {
            f"{OPERATOR}.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey": "zone",
        },
    ),
    "settings.registryUrl": (
        "http://mlflow.example:5000",
        {
            f"{ENV}[POINTSMAN_REGISTRY_URL].value": "http://mlflow.example:5000",
            f"{FETCHES[0]}.env[POINTSMAN_REGISTRY_URL].value": "http://mlflow.example:5000",
        },
    ),
    "settings.graphImage": ("registry.example/graph:1", {GRAPH_IMAGE: "registry.example/graph:1"}),
    "settings.graphPullPolicy": ("Never", variable("GRAPH_PULL_POLICY", "Never")),
    "settings.graphGateway": ("public/decisions", {GRAPH_GATEWAY: "public/decisions"}),
    "settings.graphRedis": ("redis.example:6379", variable("GRAPH_REDIS", "redis.example:6379")),
    "settings.graphRedisSecret": ("redis/password", variable("GRAPH_REDIS_SECRET", "redis/password")),
    "settings.graphStorePorts": ("5432,6432", variable("GRAPH_STORE_PORTS", "5432,6432")),
    "crds.enabled": (False, gone("CustomResourceDefinition", "crds")),
    "runtimes.enabled": (False, gone("ClusterServingRuntime ClusterStorageContainer", "runtimes")),
    "runtimes.tritonImage": ("triton.example/mine:1", {TRITON: "triton.example/mine:1"}),
    "webhook.enabled": (
        False,
        {**gone("ValidatingWebhookConfiguration", "webhook"), "Service/pointsman-operator-webhook": "gone"},
    ),
    "monitoring.enabled": (False, gone("PrometheusRule PodMonitor", "monitoring")),
    "dashboards.enabled": (False, gone("ConfigMap", "dashboards")),
    "mlflow.enabled": (False, gone("Deployment Service", "mlflow")),
    "gateway.enabled": (
        False,
        gone("ServiceAccount ClusterRole ClusterRoleBinding Deployment Service GatewayClass Gateway", "gateway")
        | variable("GRAPH_GATEWAY", None),
    ),
    "postgres.enabled": (False, gone("StatefulSet Service NetworkPolicy", "postgres")),
    "postgres.namespace": ("fraud", {f"{name} metadata.namespace": "fraud" for name in POSTGRES}),
    "postgres.storage": (
        "50Gi",
        {
            "StatefulSet/pointsman-postgres spec.volumeClaimTemplates[0].spec.resources.requests.storage": "50Gi",
        },
    ),
    "global": ({"of": "another chart"}, {}),
}
SETTINGS = {path: path.removeprefix("settings.") for path in VALUES if path.startswith("settings.")}


def test_each_value_has_its_case() -> None:
    assert set(CASES) | set(SETTINGS) == set(VALUES)


@pytest.mark.parametrize("path", CASES)
def test_a_value_changes_what_it_says_and_nothing_else(helm: Helm, everything: dict[str, Object], path: str) -> None:
    value, expected = CASES[path]

    assert differences(everything, helm.rendered(told(path, value))) == expected


@pytest.mark.parametrize("path", sorted(SETTINGS.keys() - CASES.keys()))
def test_a_setting_reaches_the_operator_and_nothing_else(helm: Helm, everything: dict[str, Object], path: str) -> None:
    value = another(VALUES[path]["default"])
    name = SETTINGS[path]

    changed = differences(everything, helm.rendered(told(path, value)))

    [variable] = {each for key, each in changed.items() if key.endswith(".name")}
    assert set(changed) == {f"{ENV}[{variable}].name", f"{ENV}[{variable}].value"}
    field = variable.removeprefix("POINTSMAN_").lower()
    assert field.replace("_", "") == name.lower()
    assert settings({variable: changed[f"{ENV}[{variable}].value"]}) == replace(Settings(), **{field: value})


def test_what_the_readme_shows_is_taken(helm: Helm) -> None:
    [shown] = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)

    made = platform(settings(told_to_the_operator(helm.rendered(yaml.safe_load(shown)))), Installed())

    assert made.gateway == Gateway(namespace="gateways", name="public")
    assert made.hostname == "{namespace}.decisions.example.com"
    assert made.redis == Redis(address="redis.example.com:6379", secret="redis", key="password")


def told_to_the_operator(objects: Mapping[str, Object]) -> dict[str, str]:
    """The operator's environment, as far as it is written in its Deployment."""
    [container] = objects["Deployment/pointsman-operator"]["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def test_what_the_chart_takes_for_graphs_is_a_setting_that_the_operator_takes(helm: Helm) -> None:
    values = {**ALL, "image": {"pullSecrets": [{"name": "a"}, {"name": "b"}]}, "settings": {"graphImage": ""}}

    made = platform(settings(told_to_the_operator(helm.rendered(values))), Installed())

    assert (made.image, made.pull_secrets) == (f"ghcr.io/pointsman/graph:{RELEASE}", ("a", "b"))
    assert made.gateway == Gateway(namespace=NAMESPACE, name="pointsman")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"operater": {"replicas": 1}}, "additional properties 'operater' not allowed"),
        ({"operator": {"replica": 1}}, "additional properties 'replica' not allowed"),
        ({"settings": {"namespace": "elsewhere"}}, "additional properties 'namespace' not allowed"),
        ({"settings": {"drainSeconds": -1}}, "at '/settings/drainSeconds'"),
        ({"operator": {"replicas": "two"}}, "at '/operator/replicas'"),
        ({"settings": {"graphGateway": "public"}}, "at '/settings/graphGateway'"),
        ({"settings": {"graphRedis": "redis.example"}}, "at '/settings/graphRedis'"),
        ({"settings": {"graphRedisSecret": "redis"}}, "at '/settings/graphRedisSecret'"),
        ({"settings": {"graphStorePorts": "postgres"}}, "at '/settings/graphStorePorts'"),
        ({"settings": {"graphPullPolicy": "Sometimes"}}, "at '/settings/graphPullPolicy'"),
    ],
)
def test_what_is_no_value_is_refused_by_name(helm: Helm, values: Mapping[str, Any], said: str) -> None:
    with pytest.raises(HelmFailed) as failed:
        helm.rendered(values)

    assert said in str(failed.value)


def test_the_defaults_satisfy_the_schema_and_have_all_that_is_no_setting() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    given = {f"{group}.{name}" for group, of_group in values.items() for name in of_group}

    assert given == set(VALUES) - set(SETTINGS) - {"global"}
    assert all(each["description"] for each in VALUES.values())


def another(value: Any) -> Any:
    """A value of the same type that is not the default."""
    return value * 2 if isinstance(value, float) else f"another-{value}"


def told(path: str, value: Any) -> dict[str, Any]:
    """The values with this one in them, all that is off by default on."""
    group, _, name = path.partition(".")
    return {**ALL, group: {**ALL.get(group, {}), name: value} if name else value}


def differences(before: Mapping[str, Object], after: Mapping[str, Object]) -> dict[str, Any]:
    """What is another, by object and field: its new value; None where the field is gone, "gone" or "new" for a whole object."""
    found: dict[str, Any] = dict.fromkeys(before.keys() - after.keys(), "gone")
    found |= dict.fromkeys(after.keys() - before.keys(), "new")
    for name in before.keys() & after.keys():
        old, new = dict(fields(before[name])), dict(fields(after[name]))
        changed = {path for path in old | new if old.get(path) != new.get(path)}
        found |= {f"{name} {path}": new.get(path) for path in changed}
    return found


def fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar by its path; the items of a list by their names where they have some."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from fields(each, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            key = each.get("name", number) if isinstance(each, dict) else number
            yield from fields(each, f"{path}[{key}]")
    else:
        yield path, value
