"""What a DecisionGraph and its namespace become on a cluster, and what of it another revision changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import fraud
from pointsman.actions.settings import read_settings
from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.event_stream import EventStream
from pointsman_operator.resources.graphs import hosts, namespace, traffic
from pointsman_operator.resources.graphs.namespace import Namespace
from pointsman_operator.resources.graphs.platform import RAY_VERSION, Gateway, Platform, Redis
from pointsman_operator.resources.graphs.pods import EMBEDDED, WORKER
from pointsman_operator.resources.graphs.ray_service import as_yaml
from pointsman_operator.seen import ACTION_TARGET, DECISION_GRAPH, Child, Installed
from pointsman_serving.graph.config import HostConfig

GOLDEN = Path(__file__).parent / "golden"
PLATFORM = Platform(
    image="registry.example.com/graph:1",
    release="1.2.3",
    gateway=Gateway(namespace="gateways", name="public"),
    hostname="{namespace}.decisions.example.com",
    installed=Installed(gateway=True, monitors=True),
)
TUNED = {
    "type": "RayServe",
    "image": "registry.example.com/ours@sha256:" + "a" * 64,
    "workers": {"minReplicas": 2, "maxReplicas": 4, "resources": {"limits": {"nvidia.com/gpu": "1"}}},
    "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "6Gi"}},
    "podTemplate": {
        "metadata": {"labels": {"team": "risk"}, "annotations": {"owner": "risk"}},
        "spec": {
            "nodeSelector": {"pool": "decisions"},
            "tolerations": [{"key": "decisions", "operator": "Exists"}],
            "volumes": [{"name": "models", "emptyDir": {}}, {"name": "theirs", "emptyDir": {}}],
        },
    },
}
RUNTIMES: dict[str, dict[str, Any]] = {
    "graph": fraud.written()["spec"]["runtime"],
    "graph-ray": TUNED,
    "graph-embedded": {"type": "Embedded"},
}
KAFKA = {
    "type": "Kafka",
    "kafka": {
        "bootstrapServers": ["kafka-0.example.com:9093", "kafka-1.example.com:9093"],
        "topic": "transactions",
        "tls": {"ca": {"secretKeyRef": {"name": "kafka", "key": "ca.crt"}}},
        "sasl": {"username": "risk", "password": {"secretKeyRef": {"name": "kafka", "key": "password"}}},
    },
}


def graph(runtime: dict[str, Any] | None = None) -> DecisionGraph:
    return fraud.graph("risk", runtime=runtime)


def hosted(
    of: DecisionGraph,
    platform: Platform = PLATFORM,
    *,
    standby: bool = False,
    order: int | None = None,
    **of_resolved: Any,
) -> dict[str, Child]:
    """What hosts it, by kind."""
    resolved = fraud.resolved(of, **of_resolved)
    found = hosts.host(of.document(), resolved, platform, standby=standby, order=order)
    return {child.kind.name: child for child in found}


def on_kafka() -> EventStream:
    [stream] = fraud.of_kind(EventStream, "risk")
    document = stream.document()
    return EventStream.model_validate({**document, "spec": {**document["spec"], "source": KAFKA}})


def pods(children: dict[str, Child]) -> dict[str, Any]:
    """The pod templates of a host, by the part that they play."""
    if "Deployment" in children:
        templates = [children["Deployment"].document["spec"]["template"]]
    else:
        cluster = children["RayService"].document["spec"]["rayClusterConfig"]
        templates = [cluster["headGroupSpec"]["template"], *(each["template"] for each in cluster["workerGroupSpecs"])]
    return {each["metadata"]["labels"]["pointsman.dev/part"]: each for each in templates}


def all_of(name: str) -> list[Child]:
    of = graph(RUNTIMES[name])
    owner = of.document()
    stream = on_kafka() if name == "graph-embedded" else None
    made = hosts.host(owner, fraud.resolved(of, stream=stream), PLATFORM, standby=False)
    return [*made, traffic.service(owner, "1a2b3c4d"), *traffic.routes(owner, PLATFORM)]


def everything_once() -> list[Child]:
    targets = fraud.of_kind(ActionTarget, "risk")
    owners = [(DECISION_GRAPH, graph().document()), *((ACTION_TARGET, each.document()) for each in targets)]
    return list(namespace.namespace_children(Namespace(name="risk", owners=owners, targets=targets), PLATFORM))


@pytest.mark.parametrize("name", [*RUNTIMES, "graph-namespace"])
def test_what_is_made_is_what_a_person_has_read(name: str) -> None:
    children = everything_once() if name == "graph-namespace" else all_of(name)
    if name != "graph":
        children = [handed_over_unread(child) for child in children]

    made = yaml.dump_all([child.document for child in children], Dumper=Readable, sort_keys=False)

    path = GOLDEN / f"{name}.yaml"
    assert path.read_text() == made, f"read the difference, then write it: {path}"


def handed_over_unread(child: Child) -> Child:
    """Without the text of a graph: it is read once."""
    document = dict(child.document)
    if child.kind.name == "RayService":
        document["spec"] = {**document["spec"], "serveConfigV2": "…"}
    elif "host.json" in document.get("data", {}):
        document["data"] = {"host.json": "…"}
    return replace(child, document=document)


class Readable(yaml.SafeDumper):
    """Texts of several lines as they are read, and no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Readable.add_representer(str, _text)


@pytest.mark.parametrize("type_", ["RayServe", "Embedded"])
def test_another_revision_and_the_end_of_a_standby_change_what_is_handed_over_and_nothing_else(type_: str) -> None:
    of = graph({"type": type_})
    before = hosted(of, standby=True)

    for after in (hosted(of, standby=True, version=2), hosted(of, standby=False), hosted(of, standby=True, order=2)):
        changed = [kind for kind in before if before[kind].document != after[kind].document]
        assert changed == ["RayService" if type_ == "RayServe" else "ConfigMap"]
        if type_ == "RayServe":
            one, other = (dict(each["RayService"].document["spec"]) for each in (before, after))
            assert one.pop("serveConfigV2") != other.pop("serveConfigV2")
            assert one == other


@pytest.mark.parametrize("type_", ["RayServe", "Embedded"])
def test_what_is_handed_over_is_the_resolved_graph(type_: str) -> None:
    of = graph({"type": type_})
    children, resolved = hosted(of, standby=True), fraud.resolved(of)

    if type_ == "RayServe":
        [application] = yaml.safe_load(children["RayService"].document["spec"]["serveConfigV2"])["applications"]
        handed = application["deployments"][0]["user_config"]
    else:
        handed = json.loads(children["ConfigMap"].document["data"]["host.json"])

    assert type(resolved).model_validate(handed["resolved"]) == resolved
    assert handed["standby"] is True


@pytest.mark.parametrize("name", ["graph", "graph-embedded"])
def test_a_host_reads_what_it_is_handed_and_its_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    children, template = hosted(graph(RUNTIMES[name]), order=3), pods(hosted(graph(RUNTIMES[name])))["host"]
    for variable in template["spec"]["containers"][0]["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "s" * 32))

    if "RayService" in children:
        [application] = yaml.safe_load(children["RayService"].document["spec"]["serveConfigV2"])["applications"]
        config = HostConfig.of(application["deployments"][0]["user_config"])
    else:
        config = HostConfig.of(json.loads(children["ConfigMap"].document["data"]["host.json"]))

    assert (config.database_url, config.control_token) == ("s" * 32, "s" * 32)
    assert config.host_name == next(iter(children.values())).name
    assert (config.standby, config.order) == (False, 3)


def test_a_dispatcher_reads_what_it_is_handed(tmp_path: Path) -> None:
    [config] = [each for each in everything_once() if each.kind.name == "ConfigMap"]
    (tmp_path / "dispatcher.json").write_text(config.document["data"]["dispatcher.json"])

    settings = read_settings(tmp_path / "dispatcher.json", {"POINTSMAN_STORE_URL": "postgresql://app@store/pointsman"})

    assert settings.refused == {}
    assert {name: each.url for name, each in settings.targets.items()} == {"accounts": "http://accounts.risk.svc:80"}


def test_what_is_not_asked_for_is_what_the_kind_says() -> None:
    kind = (Path(__file__).parents[2] / "manifests" / "crds" / "decisiongraphs.pointsman.dev.yaml").read_text()

    said = " ".join(kind.split())
    assert f"default on a cluster: {EMBEDDED['cpu']} CPU and {EMBEDDED['memory']}, on Ray {WORKER['memory']}" in said


@given(text=st.text(max_size=40) | st.sampled_from(["1e5", "0x1f", "0o7", "1_000", "yes", "~", "12:30", ".inf"]))
def test_every_text_is_read_by_yaml_as_it_was_written(text: str) -> None:
    assert yaml.safe_load(as_yaml({"a": [text], "b": {"c": text, "d": 1}})) == {"a": [text], "b": {"c": text, "d": 1}}


def test_only_those_that_need_a_secret_can_read_it() -> None:
    on_ray = pods(hosted(graph(), stream=on_kafka()))
    [dispatcher] = [
        each for each in everything_once() if (each.kind.name, each.name) == ("Deployment", "pointsman-dispatcher")
    ]
    dispatches = dispatcher.document["spec"]["template"]
    [api] = [each for each in everything_once() if (each.kind.name, each.name) == ("Deployment", "pointsman-api")]

    assert secrets_of(on_ray["head"]) == set()
    assert secrets_of(on_ray["host"]) == {
        "pointsman-store/url",
        "pointsman-keys/controlToken",
        "kafka/ca.crt",
        "kafka/password",
    }
    assert secrets_of(dispatches) == {"pointsman-store/url", "accounts-token/token"}
    assert secrets_of(api.document["spec"]["template"]) == {"pointsman-store/url"}


def secrets_of(template: dict[str, Any]) -> set[str]:
    found = set[str]()
    for container in template["spec"]["containers"]:
        references = (each.get("valueFrom", {}).get("secretKeyRef") for each in container["env"])
        found |= {f"{each['name']}/{each['key']}" for each in references if each is not None}
    for volume in template["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", ()):
            assert source["secret"]["optional"] is True
            found |= {f"{source['secret']['name']}/{item['key']}" for item in source["secret"]["items"]}
    return found


def test_a_pod_template_adds_volumes_and_never_replaces_ours_nor_our_labels() -> None:
    theirs = {
        "metadata": {"labels": {"pointsman.dev/graph": "another"}},
        "spec": {"volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "theirs", "emptyDir": {}}]},
    }

    for template in pods(hosted(graph({"type": "RayServe", "podTemplate": theirs}))).values():
        assert template["metadata"]["labels"]["pointsman.dev/graph"] == "card-fraud"
        volumes = {each["name"]: each for each in template["spec"]["volumes"]}
        assert volumes["scratch"]["emptyDir"] == {"sizeLimit": "4Gi"}
        assert "theirs" in volumes


def test_workers_ask_for_what_they_are_told_to_and_before_that_for_what_the_host_is() -> None:
    asked = {
        "type": "RayServe",
        "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "6Gi"}},
        "workers": {"minReplicas": 3, "resources": {"limits": {"memory": "8Gi"}}},
    }

    children = hosted(graph(asked))

    [workers] = children["RayService"].document["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (3, 3, 3)
    [container] = workers["template"]["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}


def test_redis_makes_the_head_remember() -> None:
    platform = Platform(redis=Redis(address="redis.example.com:6379", secret="redis", key="token"))

    cluster = hosted(graph(), platform)["RayService"].document["spec"]["rayClusterConfig"]

    assert (
        "gcsFaultToleranceOptions" not in hosted(graph(), Platform())["RayService"].document["spec"]["rayClusterConfig"]
    )
    assert cluster["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis.example.com:6379",
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "token"}}},
    }


def test_before_any_shape_serves_the_service_selects_nothing() -> None:
    owner = graph().document()

    assert traffic.service(owner, None).document["spec"]["selector"]["pointsman.dev/shape"] == "none"
    assert traffic.service(owner, "1a2b3c4d").document["spec"]["selector"]["pointsman.dev/shape"] == "1a2b3c4d"


@pytest.mark.parametrize(
    "platform", [Platform(), Platform(gateway=PLATFORM.gateway), Platform(installed=Installed(gateway=True))]
)
def test_nothing_is_routed_without_a_gateway_and_its_definitions(platform: Platform) -> None:
    assert traffic.routes(graph().document(), platform) == ()


def test_another_template_of_the_job_is_another_job() -> None:
    def job(platform: Platform) -> str:
        of = Namespace(name="risk", owners=[])
        return next(each.name for each in namespace.migration(of, platform) if each.kind.name == "Job")

    assert job(Platform(release="1.0")) == job(Platform(release="1.0"))
    assert job(Platform(release="1.0")) != job(Platform(release="1.0", pull_secrets=("theirs",)))
    assert job(Platform(release="1.0.0rc1")).startswith("pointsman-migrate-1-0-0rc1-")


def test_the_ray_of_the_image_is_the_one_that_kuberay_is_told_of() -> None:
    lock = (Path(__file__).parents[2] / "requirements" / "graph.txt").read_text()

    assert f"\nray=={RAY_VERSION} " in lock
