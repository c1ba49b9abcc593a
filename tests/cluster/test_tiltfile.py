"""The Tiltfile, executed: what it asks of Tilt, with Helm and the chart behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import starlark
import yaml

from harness.cluster import Object
from harness.helm import Helm, by_name
from pointsman_operator.settings import RELEASE, settings

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "manifests" / "examples" / "fraud"
WORKLOADS = ("Deployment", "StatefulSet")


@dataclass(kw_only=True)
class Tilt:
    """Tilt's functions as its Tiltfile API has them: what it is told is kept, and nothing is built or applied."""

    context: str
    helm_program: Helm
    allowed: Sequence[str] = ()
    images: dict[str, str] = field(default_factory=dict)
    """The stage of the Containerfile, by image"""
    in_variables: set[str] = field(default_factory=set)
    """The images that are found in variables of the environment too"""
    kinds: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Object] = field(default_factory=dict)
    forwarded: dict[str, Sequence[str]] = field(default_factory=dict)
    resources: dict[str, Sequence[str]] = field(default_factory=dict)
    """The objects of each resource that is no workload, as `name:Kind:namespace`"""
    waits: dict[str, Sequence[str]] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)

    def k8s_context(self) -> str:
        return self.context

    def allow_k8s_contexts(self, contexts: Sequence[str]) -> None:
        self.allowed = contexts

    def docker_build(
        self,
        ref: str,
        context: str,
        *,
        dockerfile: str = "Dockerfile",
        target: str = "",
        match_in_env_vars: bool = False,
    ) -> None:
        stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / context / dockerfile).read_text(), re.MULTILINE)
        assert target in stages
        self.images[ref] = target
        if match_in_env_vars:
            self.in_variables.add(ref)

    def k8s_kind(self, kind: str, *, image_json_path: str, pod_readiness: str = "wait") -> None:
        assert pod_readiness == "ignore", "these kinds have no pods, and Tilt would wait for them"
        self.kinds[kind] = image_json_path

    def helm(self, paths: str, *, name: str, namespace: str, set: Sequence[str] = ()) -> str:
        options = [option for each in set for option in ("--set", each)]
        return self.helm_program("template", name, ROOT / paths, "--namespace", namespace, *options)

    def k8s_yaml(self, yaml: str) -> None:
        found = by_name((ROOT / yaml).read_text() if yaml.endswith(".yaml") else yaml)
        assert not found.keys() & self.objects.keys(), "twice is a mistake"
        self.objects |= found

    def listdir(self, directory: str) -> list[str]:
        return [str(path) for path in sorted((ROOT / directory).iterdir()) if path.is_file()]

    def read_yaml_stream(self, path: str) -> list[Any]:
        return list(yaml.safe_load_all(Path(path).read_text()))

    def encode_yaml(self, value: Any) -> str:
        return yaml.safe_dump(value)

    def encode_yaml_stream(self, values: Sequence[Any]) -> str:
        return yaml.safe_dump_all(values)

    def local_resource(self, name: str, cmd: str, *, resource_deps: Sequence[str], labels: Sequence[str]) -> None:
        self.commands[name], self.waits[name] = cmd, resource_deps

    def k8s_resource(
        self,
        workload: str = "",
        new_name: str = "",
        *,
        port_forwards: Sequence[str] = (),
        objects: Sequence[str] = (),
        resource_deps: Sequence[str] = (),
        labels: Sequence[str],
    ) -> None:
        if port_forwards:
            self.forwarded[workload] = port_forwards
        if objects:
            self.resources[new_name] = objects
        self.waits[workload or new_name] = resource_deps

    def fail(self, msg: str) -> None:
        raise ValueError(msg)


FUNCTIONS = (
    "k8s_context",
    "allow_k8s_contexts",
    "docker_build",
    "k8s_kind",
    "helm",
    "k8s_yaml",
    "k8s_resource",
    "local_resource",
    "listdir",
    "read_yaml_stream",
    "encode_yaml",
    "encode_yaml_stream",
    "fail",
)


def executed(helm: Helm, context: str) -> Tilt:
    tilt, module = Tilt(context=context, helm_program=helm), starlark.Module()
    for name in FUNCTIONS:
        module.add_callable(name, getattr(tilt, name))
    program = starlark.parse("Tiltfile", (ROOT / "Tiltfile").read_text(), starlark.Dialect.extended())
    starlark.eval(module, program, starlark.Globals.standard())
    return tilt


@pytest.fixture(scope="module")
def tilt(helm: Helm) -> Tilt:
    return executed(helm, "kind-pointsman")


def test_it_goes_to_a_development_cluster_and_to_no_other(helm: Helm, tilt: Tilt) -> None:
    assert "kind-pointsman" in tilt.allowed
    with pytest.raises(starlark.StarlarkError, match='the context "production" is none of'):
        executed(helm, "production")


def test_each_image_that_it_builds_is_found_where_something_names_it(tilt: Tilt) -> None:
    named = set(images(tilt.objects, tilt.kinds))

    ours = ("operator", "serving", "storage", "mlflow", "postgres", "graph")
    assert set(tilt.images) == {f"ghcr.io/pointsman/{name}" for name in ours}
    assert set(tilt.images) <= named
    assert all(image.endswith(f"/{stage}") for image, stage in tilt.images.items())


def test_the_operator_makes_graphs_of_the_image_that_is_built(tilt: Tilt) -> None:
    told = variables(tilt.objects["Deployment/pointsman-operator"])

    assert {text.rpartition(":")[0] for text in told.values()} & set(tilt.images) == tilt.in_variables
    assert settings(told).graph_image == f"ghcr.io/pointsman/graph:{RELEASE}"
    assert tilt.in_variables == {"ghcr.io/pointsman/graph"}


def test_each_object_is_in_a_namespace_that_it_makes(tilt: Tilt) -> None:
    namespaces = {each["metadata"]["namespace"] for each in tilt.objects.values() if "namespace" in each["metadata"]}

    assert {f"Namespace/{each}" for each in namespaces} == {name for name in tilt.objects if name.startswith("Namesp")}


def test_what_it_forwards_to_is_there_and_has_that_port(tilt: Tilt) -> None:
    assert set(tilt.forwarded) == {"pointsman-operator", "mlflow", "pointsman-gateway"}
    for workload, ports in tilt.forwarded.items():
        pod = tilt.objects[f"Deployment/{workload}"]["spec"]["template"]["spec"]
        open_ = {str(port["containerPort"]) for container in pod["containers"] for port in container["ports"]}
        assert set(ports) <= open_


def test_the_example_is_whole_and_waits_for_the_operator_that_its_webhook_asks_and_for_its_models(tilt: Tilt) -> None:
    example = {name for path in EXAMPLE.glob("*.yaml") for name in by_name(path.read_text())}
    [name] = tilt.resources
    found = {"/".join(reversed(each.split(":")[:2])) for each in tilt.resources[name]}

    assert found < example
    assert example - found == {"Deployment/accounts", "Service/accounts"}
    assert {each.split(":")[2] for each in tilt.resources[name]} == {"fraud"}
    assert found <= tilt.objects.keys()
    workloads = {each.split("/")[1] for each in tilt.objects if each.split("/")[0] in WORKLOADS}
    assert set(tilt.waits) - set(tilt.resources) - set(tilt.commands) <= workloads
    assert {each for deps in tilt.waits.values() for each in deps} <= workloads | set(tilt.commands)
    assert "pointsman-operator" in tilt.waits[name]


def test_the_secrets_have_every_key_that_is_asked_of_them(tilt: Tilt) -> None:
    given = {
        (each["metadata"]["name"], key)
        for name, each in tilt.objects.items()
        if name.startswith("Secret/")
        for key in each["stringData"]
    }
    users = (*WORKLOADS, "ActionTarget")
    asked = set(references([each for name, each in tilt.objects.items() if name.split("/")[0] in users]))

    assert ("pointsman-store", "url") in asked
    assert asked == given


def test_models_are_registered_by_a_module_of_ours_where_mlflow_is_forwarded_to(tilt: Tilt) -> None:
    [command] = tilt.commands.values()
    found = re.search(r"-m (\S+) --tracking-uri http://127\.0\.0\.1:(\d+)$", command)

    assert found is not None
    assert find_spec(found[1]) is not None
    assert tilt.forwarded["mlflow"] == [found[2]]


def test_it_is_short() -> None:
    assert len((ROOT / "Tiltfile").read_text().splitlines()) <= 60


def images(objects: Mapping[str, Object], kinds: Mapping[str, str]) -> list[str]:
    """The images, without tags, where Tilt looks: in pods' templates, and at the paths that it is told of other kinds."""
    found = list[str]()
    for name, each in objects.items():
        kind = name.split("/")[0]
        path = "{.spec.template.spec.containers[*].image}" if kind in WORKLOADS else kinds.get(kind)
        if path is not None:
            found += [image.rpartition(":")[0] for image in at(each, path)]
    return found


def variables(deployment: Object) -> dict[str, str]:
    """The environment of a Deployment's container, as far as it is written there."""
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Secret and key of each reference that may not be missing."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key == "secretKeyRef" and not each.get("optional"):
                yield each["name"], each["key"]
            else:
                yield from references(each)


def at(value: Any, path: str) -> list[Any]:
    """What is at a JSON path of names and `[*]`."""
    reached = [value]
    for part in re.findall(r"\w+|\*", path):
        reached = [item for each in reached for item in (each if part == "*" else [each[part]])]
    return reached
