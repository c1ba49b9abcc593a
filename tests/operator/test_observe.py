"""What keeps everything as it is, said with the way out: what the cluster lacks, and what it has of another version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pointsman.api.conditions import Condition, find
from pointsman_operator.seen import Installed

Make = Callable[..., Any]


def said(world: Any, type_: str = "Ready") -> Condition:
    found = find(world.plan().told.conditions, type_)
    assert found is not None
    return found


LACKS = {
    "no KServe": ("KServeNotFound", "KServe is not installed", {"installed": Installed()}),
    "a KServe that is too old": (
        "KServeUnsupported",
        "KServe serves InferenceService as v1alpha1, v1alpha2, not as v1beta1",
        {"installed": Installed(kserve=("v1alpha1", "v1alpha2"))},
    ),
    "no serving runtime": ("RuntimeNotFound", '"pointsman-native" does not exist', {"runtimes": frozenset()}),
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_the_cluster_lacks_is_named_and_nothing_is_touched(world: Make, lack: str) -> None:
    reason, words, changes = LACKS[lack]
    new, serving = world(), world().serve()
    for name, value in changes.items():
        setattr(new, name, value)
        setattr(serving, name, value)

    assert (said(new).status, said(new).reason) == ("False", reason)
    assert words in said(new).message

    assert (said(serving).status, said(serving).reason) == ("False", reason)
    assert said(serving).message.endswith("version 1 goes on as it is")
    assert serving.plan().held
    assert serving.plan().serve == serving.pinned


def test_it_goes_on_by_itself_once_what_was_lacking_is_there(world: Make) -> None:
    lacking = world()
    lacking.installed = Installed()
    lacking.step()
    lacking.installed = Installed(kserve=("v1beta1",))
    assert said(lacking.serve()).status == "True"


def test_a_changed_spec_is_not_ready_until_what_it_asks_for_serves(world: Make) -> None:
    serving = world().serve()
    assert said(serving).status == "True"
    serving.change(resources={"limits": {"memory": "2Gi"}})
    waiting = said(serving)
    assert (waiting.observed_generation, waiting.status, waiting.reason) == (2, "Unknown", "NewRevisionProposed")
    assert (said(serving.serve()).observed_generation, said(serving).status) == (2, "True")


def test_an_alias_that_moves_takes_nothing_away_while_the_old_version_serves(world: Make) -> None:
    serving = world().serve()
    serving.version(2)
    assert (said(serving).status, said(serving, "Rollout").reason) == ("True", "NewRevisionProposed")
