"""What another release of the operator would restart: nothing where it makes the same pods, and otherwise which and why."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from pointsman_operator.resources import runtimes
from pointsman_operator.seen import INFERENCE_SERVICE, POD
from pointsman_operator.upgrade import changed_runtimes, restarts

Make = Callable[..., Any]
LABELLED = {"metadata": {"labels": {"team": "risk"}}}


def service(world: Any) -> dict[str, Any]:
    """The one InferenceService, to be changed by hand."""
    named = world.objects[INFERENCE_SERVICE.name]
    [name] = named
    named[name] = copy.deepcopy(named[name])
    return dict(named[name])


def test_a_fresh_install_restarts_nothing(world: Make) -> None:
    assert changed_runtimes(runtimes.documents()) == {}
    assert restarts(world(podTemplate=LABELLED).serve().seen(), {}) == []


def test_a_template_that_differs_names_its_pods_and_the_place(world: Make) -> None:
    found = world(podTemplate=LABELLED).serve()
    service(found)["spec"]["predictor"]["labels"]["team"] = "other"

    [restart] = restarts(found.seen(), {})

    assert restart.pods == tuple(found.objects[POD.name])
    assert (restart.namespace, restart.object, restart.revision) == (
        "risk",
        "ModelDeployment/fraud",
        found.pinned.revision,
    )
    assert restart.because == 'spec.predictor.labels.team: "other" becomes "risk"'


def test_what_others_have_added_restarts_nothing(world: Make) -> None:
    found = world().serve()
    changed = service(found)
    changed["metadata"]["labels"]["theirs"] = "x"
    changed["spec"]["predictor"]["maxReplicas"] = 5

    assert restarts(found.seen(), {}) == []


def test_a_release_that_makes_another_revision_of_the_same_spec_replaces_its_pods(world: Make) -> None:
    found = world().serve()
    found.raw = {**found.raw, "status": {**found.raw["status"], "shape": "0123456789abcdef"}}
    old = service(found)
    found.objects[INFERENCE_SERVICE.name] = {"fraud-old": old}
    old["metadata"]["name"] = "fraud-old"
    found.raw["status"]["revision"] = old["metadata"]["labels"]["pointsman.dev/revision"]

    [restart] = restarts(found.seen(), {})

    assert restart.because.startswith("this release makes another revision of the same spec: fraud-")


def test_a_spec_that_nobody_has_looked_at_yet_is_its_authors_doing(world: Make) -> None:
    found = world().serve()
    found.change(batching={"maxBatchSize": 8})

    assert restarts(found.seen(), {}) == []


def test_a_serving_runtime_of_another_release_restarts_what_runs_on_it(world: Make) -> None:
    there = copy.deepcopy(runtimes.documents())
    there["pointsman-native"]["spec"]["containers"][0]["image"] = "ghcr.io/pointsman/serving:0.0.9"
    changed = changed_runtimes(there)
    assert list(changed) == ["pointsman-native"]

    [restart] = restarts(world().serve().seen(), changed)

    assert restart.because.startswith(
        'ClusterServingRuntime/pointsman-native: spec.containers[0].image: "ghcr.io/pointsman/serving:0.0.9" becomes'
    )
    assert restarts(world(runtime={"type": "Triton"}).serve().seen(), changed) == []


def test_what_this_release_would_leave_alone_restarts_nothing(world: Make) -> None:
    found = world(podTemplate=LABELLED).serve()
    service(found)["spec"]["predictor"]["labels"]["team"] = "other"
    found.raw["spec"]["rollout"] = {"type": "Canary", "steps": [{"trafficPercent": 5}]}

    assert restarts(found.seen(), {}) == []


def test_a_runtime_of_the_namespace_comes_before_the_clusters(world: Make) -> None:
    found = world().serve()
    assert restarts(found.seen(), {"pointsman-native": "it changes"})

    found.runtimes = found.runtimes | {"pointsman-native"}

    assert restarts(found.seen(), {"pointsman-native": "it changes"}) == []
