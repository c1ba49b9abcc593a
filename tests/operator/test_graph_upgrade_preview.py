"""What another release of the operator would make anew for graphs: nothing where it makes the same, else which and why."""

from __future__ import annotations

from typing import Any

import pytest

from harness.town import GRAPH, NAMESPACE, Town
from pointsman_operator import names
from pointsman_operator.graphs.upgrade import made_anew, told
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.settings import RELEASE, Settings

NOW = Platform()
NEXT = Platform(image="ghcr.io/pointsman/graph:0.9.9", release="0.9.9")


@pytest.fixture
def deciding() -> Town:
    town = Town()
    town.settle()
    town.prepared()
    town.settle()
    [host] = town.made("RayService")
    town.decides(host)
    town.settle()
    labels = town.objects["RayService", host]["metadata"]["labels"]
    town.pods = [pod("host-0", labels), pod("api-0", names.part_labels("api")), pod("other-0", {})]
    return town


def pod(name: str, labels: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "labels": dict(labels)}, "status": {"phase": "Running"}}


def test_what_this_release_made_is_left_as_it_is(deciding: Town) -> None:
    assert made_anew(deciding.seen(), NOW) == []


def test_another_image_makes_everything_anew_and_says_what_becomes_of_each(deciding: Town) -> None:
    [job, api, dispatcher, graph] = made_anew(deciding.seen(), NEXT)

    assert job.object.startswith("Job/pointsman-migrate-0-9-9-")
    assert (job.pods, job.because) == ((), "it brings the store to this release")
    becomes = f'"ghcr.io/pointsman/graph:{RELEASE}" becomes "ghcr.io/pointsman/graph:0.9.9"'
    assert (api.object, api.pods) == ("Deployment/pointsman-api", ("api-0",))
    assert api.because == f"spec.template.spec.containers[0].image: {becomes}"
    assert dispatcher.object == "Deployment/pointsman-dispatcher"
    assert (graph.namespace, graph.object, graph.pods) == (NAMESPACE, f"DecisionGraph/{GRAPH}", ("host-0",))
    first, *others = graph.because.split("; ")
    assert first.startswith(f"a host of another shape takes over, {GRAPH}-")
    assert [each for each in others if becomes not in each] == []
    assert len(others) == 2, "the head, and its workers"


def test_a_template_that_differs_restarts_a_host_in_its_place(deciding: Town) -> None:
    [name] = deciding.made("RayService")
    group = deciding.objects["RayService", name]["spec"]["rayClusterConfig"]["headGroupSpec"]
    group["rayStartParams"]["no-monitor"] = "false"

    [graph] = made_anew(deciding.seen(), NOW)

    assert graph.because == 'spec.headGroupSpec.rayStartParams.no-monitor: "false" becomes "true"'


def test_a_graph_whose_spec_nobody_has_looked_at_or_whose_model_is_gone_is_not_the_releases_doing(
    deciding: Town,
) -> None:
    deciding.change(runtime={"type": "RayServe", "image": "registry.example.com/ours@sha256:" + "a" * 64})
    assert [each.object for each in made_anew(deciding.seen(), NOW)] == []

    deciding.change(runtime={"type": "RayServe"})
    deciding.settle()
    deciding.drop("ModelDeployment", "fraud-scorer")
    assert f"DecisionGraph/{GRAPH}" not in [each.object for each in made_anew(deciding.seen(), NEXT)]


def test_a_host_that_is_being_brought_up_already_is_not_told_of(deciding: Town) -> None:
    deciding.change(runtime={"type": "RayServe", "image": "registry.example.com/ours@sha256:" + "a" * 64})
    deciding.settle()
    assert len(deciding.made("RayService")) == 2

    assert made_anew(deciding.seen(), NOW) == []


def test_a_namespace_whose_last_graph_goes_has_nothing_to_be_made(deciding: Town) -> None:
    for kind, name in (("DecisionGraph", GRAPH), ("ActionTarget", "accounts")):
        deciding.objects[kind, name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert made_anew(deciding.seen(), NEXT) == []


def operator(tag: str, graphs: str | None, **settings: str) -> dict[str, Any]:
    variables = settings | ({"POINTSMAN_GRAPH_IMAGE": graphs} if graphs is not None else {})
    environment: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in variables.items()]
    environment.append({"name": "POINTSMAN_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}})
    container = {"image": f"registry.example:5000/operator:{tag}", "env": environment}
    return {"metadata": {"namespace": "ours"}, "spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.mark.parametrize(
    ("tag", "graphs", "image"),
    [
        ("0.0.9", "registry.example:5000/graph:0.0.9", f"registry.example:5000/graph:{RELEASE}"),
        ("0.0.9", "registry.example:5000/graph:1.2", "registry.example:5000/graph:1.2"),
        ("0.0.9", "registry.example:5000/graph@sha256:" + "a" * 64, "registry.example:5000/graph@sha256:" + "a" * 64),
        ("nightly", "registry.example:5000/graph:nightly", "registry.example:5000/graph:nightly"),
        ("0.0.9", None, Settings().graph_image),
    ],
)
def test_an_image_that_has_the_operators_release_is_upgraded_with_it(tag: str, graphs: str | None, image: str) -> None:
    assert told((operator(tag, graphs),)).graph_image == image


def test_other_settings_are_those_of_the_operator_that_is_there_or_the_defaults() -> None:
    assert told((operator("0.0.9", None, POINTSMAN_REGISTRY_URL="http://mlflow"),)) == Settings(
        namespace="ours", registry_url="http://mlflow"
    )
    assert told(()) == Settings()
