"""The table of supported versions: what it says of a version, and that the tests run with the versions that it names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pointsman.api.conditions import READY, find
from pointsman_operator.cluster.versions import _tag
from pointsman_operator.supported import GATEWAY, KSERVE, KUBERAY, KUBERNETES, MLFLOW, PAGE, SUPPORTED, judge, page

ROOT = Path(__file__).parents[2]
GOMODS = ROOT / "tests" / "cluster" / "harness" / "gomods"
PINS = {
    KUBERNETES: (GOMODS / "k8s" / "go.mod", r"k8s\.io/kubernetes v(\S+)"),
    KSERVE: (GOMODS / "kserve" / "go.mod", r"github\.com/kserve/kserve v(\S+)"),
    KUBERAY: (GOMODS / "kuberay" / "go.mod", r"github\.com/ray-project/kuberay/ray-operator v(\S+)"),
    GATEWAY: (GOMODS / "kserve" / "go.mod", r"sigs\.k8s\.io/gateway-api v(\S+)"),
    MLFLOW: (ROOT / "requirements" / "local.txt", r"(?m)^mlflow==(\S+)"),
}


@pytest.mark.parametrize("part", SUPPORTED)
def test_the_tests_run_with_the_version_that_the_table_names(part: str) -> None:
    file, pattern = PINS[part]
    found = re.search(pattern, file.read_text())

    assert found is not None
    assert found[1] == SUPPORTED[part].tested
    assert judge(part, found[1]) is None


@pytest.mark.parametrize("version", ["v1.34.4", "1.30.0", "v1.33.2-gke.1200", "1.34"])
def test_a_version_within_the_table_is_supported(version: str) -> None:
    assert judge(KUBERNETES, version) is None


@pytest.mark.parametrize(
    ("version", "words", "is_too_old"),
    [
        ("v1.29.9", "Kubernetes v1.29.9 is older than 1.30", True),
        ("v1.35.0", "Kubernetes v1.35.0 is newer than 1.34", False),
        ("v2.0.0", "Kubernetes v2.0.0 is newer than 1.34", False),
        ("latest", 'Kubernetes calls itself "latest", which is no version', False),
    ],
)
def test_a_version_outside_the_table_is_named_with_the_way_out(version: str, words: str, is_too_old: bool) -> None:
    unsupported = judge(KUBERNETES, version)

    assert unsupported is not None
    assert unsupported.message.startswith(words)
    assert unsupported.is_too_old == is_too_old


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("kserve/kserve-controller:v0.20.0", "v0.20.0"),
        ("registry.example.com:5000/kserve/kserve-controller:v0.20.0@sha256:ab", "v0.20.0"),
        ("registry.example.com:5000/kserve/kserve-controller", ""),
        ("kserve/kserve-controller@sha256:ab", ""),
        ("kserve/kserve-controller:latest", ""),
    ],
)
def test_a_release_is_read_from_an_image(image: str, tag: str) -> None:
    assert _tag(image) == tag


def test_with_a_kserve_that_is_too_old_nothing_is_touched_and_the_status_says_so(world: Callable[..., Any]) -> None:
    here = world()
    here.installed = replace(here.installed, kserve_release="v0.14.1")

    plan = here.plan()

    ready = find(plan.told.conditions, READY)
    assert plan.held
    assert (ready.status, ready.reason) == ("False", "KServeUnsupported")
    assert "KServe v0.14.1 is older than 0.16" in ready.message


def test_the_page_is_what_the_table_makes() -> None:
    assert (ROOT / PAGE).read_text() == page()
