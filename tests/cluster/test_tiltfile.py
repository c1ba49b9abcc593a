"""The Tiltfile, executed: what it asks of Tilt, with Helm and the chart behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import starlark

from harness.cluster import Object
from harness.helm import Helm, by_name

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


@dataclass(kw_only=True)
class Tilt:
    """Tilt's functions as its Tiltfile API has them: what it is told is kept, and nothing is built or applied."""

    context: str
    helm_program: Helm
    allowed: Sequence[str] = ()
    images: dict[str, str] = field(default_factory=dict)
    """The stage of the Containerfile, by image"""
    kinds: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Object] = field(default_factory=dict)
    forwarded: dict[str, Sequence[str]] = field(default_factory=dict)

    def k8s_context(self) -> str:
        return self.context

    def allow_k8s_contexts(self, contexts: Sequence[str]) -> None:
        self.allowed = contexts

    def docker_build(self, ref: str, context: str, *, dockerfile: str = "Dockerfile", target: str = "") -> None:
        stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / context / dockerfile).read_text(), re.MULTILINE)
        assert target in stages
        self.images[ref] = target

    def k8s_kind(self, kind: str, *, image_json_path: str, pod_readiness: str = "wait") -> None:
        assert pod_readiness == "ignore", "these kinds have no pods, and Tilt would wait for them"
        self.kinds[kind] = image_json_path

    def helm(self, paths: str, *, name: str, namespace: str, set: Sequence[str] = ()) -> str:
        options = [option for each in set for option in ("--set", each)]
        return self.helm_program("template", name, ROOT / paths, "--namespace", namespace, *options)

    def k8s_yaml(self, yaml: str) -> None:
        self.objects |= by_name((ROOT / yaml).read_text() if yaml.endswith(".yaml") else yaml)

    def k8s_resource(self, workload: str, *, port_forwards: Sequence[str], labels: Sequence[str]) -> None:
        self.forwarded[workload] = port_forwards

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


def test_each_image_that_it_builds_is_found_where_the_chart_names_it(tilt: Tilt) -> None:
    named = set(images(tilt.objects, tilt.kinds))

    assert set(tilt.images) == {f"ghcr.io/pointsman/{name}" for name in ("operator", "serving", "mlflow")}
    assert set(tilt.images) <= named
    assert all(image.endswith(f"/{stage}") for image, stage in tilt.images.items())


def test_all_of_it_is_in_one_namespace_which_it_makes(tilt: Tilt) -> None:
    namespaces = {each["metadata"]["namespace"] for each in tilt.objects.values() if "namespace" in each["metadata"]}

    assert [f"Namespace/{each}" for each in namespaces] == [name for name in tilt.objects if name.startswith("Namesp")]


def test_what_it_forwards_to_is_there_and_has_that_port(tilt: Tilt) -> None:
    assert set(tilt.forwarded) == {"pointsman-operator", "mlflow"}
    for workload, ports in tilt.forwarded.items():
        pod = tilt.objects[f"Deployment/{workload}"]["spec"]["template"]["spec"]
        open_ = {str(port["containerPort"]) for container in pod["containers"] for port in container["ports"]}
        assert set(ports) <= open_


def test_it_is_short() -> None:
    assert len((ROOT / "Tiltfile").read_text().splitlines()) <= 60


def images(objects: Mapping[str, Object], kinds: Mapping[str, str]) -> list[str]:
    """The images, without tags, where Tilt looks: in pods' templates, and at the paths that it is told of other kinds."""
    found = list[str]()
    for name, each in objects.items():
        kind = name.split("/")[0]
        path = "{.spec.template.spec.containers[*].image}" if kind == "Deployment" else kinds.get(kind)
        if path is not None:
            found += [image.rpartition(":")[0] for image in at(each, path)]
    return found


def at(value: Any, path: str) -> list[Any]:
    """What is at a JSON path of names and `[*]`."""
    reached = [value]
    for part in re.findall(r"\w+|\*", path):
        reached = [item for each in reached for item in (each if part == "*" else [each[part]])]
    return reached
