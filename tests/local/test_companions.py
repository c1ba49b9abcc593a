"""What of a plain Deployment the local world stands in for, what it sets aside and says so, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pointsman.local.companions import CompanionRefused, read_process
from pointsman_images.build import REGISTRY, release

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"


@pytest.fixture
def accounts() -> dict[str, Any]:
    """The example's Deployment, as it is applied to a cluster."""
    documents = yaml.safe_load_all((EXAMPLES / "fraud" / "accounts.yaml").read_text())
    return next(each for each in documents if each["kind"] == "Deployment")


def test_a_process_listens_on_loopback_where_a_container_would_listen_on_its_pods_address(accounts):
    assert read_process(accounts).environment["HOST"] == "127.0.0.1"


def test_what_only_containers_have_is_set_aside_with_what_it_means_here(accounts):
    place = "spec.template.spec"
    assert read_process(accounts).sets_aside == {
        f"{place}.automountServiceAccountToken": "there are no ServiceAccounts",
        f"{place}.securityContext": "it runs as you",
        f"{place}.volumes": "it writes in a folder of its own, which stays",
        f"{place}.containers[0].readinessProbe": "it is ready when it listens",
        f"{place}.containers[0].securityContext": "it runs as you",
        f"{place}.containers[0].volumeMounts": "it writes in a folder of its own, which stays",
    }


def test_what_would_change_what_a_process_does_is_refused_by_name(accounts):
    accounts["spec"]["template"]["spec"]["initContainers"] = []
    with pytest.raises(CompanionRefused, match=r"spec\.template\.spec\.initContainers: it is not honoured here"):
        read_process(accounts)


def test_a_variable_without_a_value_that_is_known_here_is_refused(accounts):
    variable = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    accounts["spec"]["template"]["spec"]["containers"][0]["env"].append(variable)
    with pytest.raises(CompanionRefused, match=r"containers\[0\]\.env\[3\]: neither value nor secretKeyRef"):
        read_process(accounts)


def test_the_examples_name_images_of_this_release():
    text = "".join(path.read_text() for path in EXAMPLES.rglob("*.yaml"))
    named = [line.split("image:")[1].strip() for line in text.splitlines() if "image:" in line]
    assert named
    assert {each.rpartition("/")[0] for each in named} == {REGISTRY}
    assert {each.rpartition(":")[2] for each in named} == {release()}
