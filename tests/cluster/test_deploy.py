"""`make deploy`: this release on a cluster of the user's own, and what it says where that cannot be."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import control_plane, parts, yours
from harness.cluster import Cluster
from harness.graphs import documents
from harness.operator import MANIFESTS, NAMESPACE
from harness.pod_stages import ANNOTATION, Behaviour
from harness.runs import free_ports, run
from harness.seed import loopback
from pointsman_images.cache import Say

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]
DEPLOYMENT = ("deployment/pointsman-operator", "-n", NAMESPACE)


def deployed(
    cluster: Cluster, kubeconfig: Path | None = None, timeout: str = "60s", programs: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What `make deploy` does, with this cluster's kubectl on PATH, or that of another folder."""
    path = f"{programs or cluster.kubectl_program.parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "KUBECONFIG": str(kubeconfig or cluster.kubeconfig), "TIMEOUT": timeout}
    return subprocess.run([MANIFESTS / "deploy.sh"], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def cluster(simulated: Cluster) -> Iterator[Cluster]:
    """Without the operator's Deployment, before and after, and after without admission: nobody would answer there."""
    simulated.kubectl("delete", *DEPLOYMENT, "--ignore-not-found")
    yield simulated
    simulated.kubectl("delete", *DEPLOYMENT, "--ignore-not-found")
    simulated.kubectl("delete", "-k", str(MANIFESTS / "admission"), "--ignore-not-found")


def test_it_installs_and_waits_until_the_operator_is_available(cluster: Cluster) -> None:
    ran = deployed(cluster)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "the operator is available" in ran.stdout
    assert "KubeRay" not in ran.stdout
    assert ran.stdout.splitlines()[-1].startswith("  kubectl pointsman explain decisiongraph/card-fraud -n fraud")
    assert cluster.get("deployment", "pointsman-operator", NAMESPACE)["status"]["availableReplicas"] == 2
    assert deployed(cluster).returncode == 0, "a second time it changes nothing, and says so"


def test_what_graphs_lack_is_said_and_models_are_installed_all_the_same(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    assert deployed(cluster).returncode == 0
    cluster.apply(*documents(namespace, "ActionTarget"))
    missing = f'the namespace "{namespace}" has no Secret "pointsman-store"'

    ran = deployed(cluster, programs=without_kuberay(cluster, tmp_path))

    assert (ran.returncode, ran.stderr) == (0, "")
    assert 'the cluster has no "rayservices.ray.io": graphs of type RayServe need KubeRay' in ran.stdout
    assert missing in ran.stdout
    cluster.kubectl("create", "secret", "generic", "pointsman-store", "-n", namespace)
    assert missing not in deployed(cluster).stdout


def without_kuberay(cluster: Cluster, folder: Path) -> Path:
    """A folder with a kubectl that is the cluster's own, but finds no RayService: others of this cluster need theirs."""
    program = folder / "kubectl"
    found = f'exec {shlex.quote(str(cluster.kubectl_program))} "$@"'
    program.write_text(f'#!/bin/sh\ncase "$*" in *rayservices.ray.io*) exit 1 ;; *) {found} ;; esac\n')
    program.chmod(0o755)
    return folder


def test_images_that_cannot_be_pulled_are_named_with_the_way_out(cluster: Cluster) -> None:
    document = cluster.kubectl("kustomize", str(MANIFESTS / "operator"))
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=document)
    annotated = (
        f'{{"spec":{{"template":{{"metadata":{{"annotations":{{"{ANNOTATION}":"{Behaviour.IMAGE_PULL}"}}}}}}}}}}'
    )
    cluster.kubectl("patch", *DEPLOYMENT, "--type=merge", "-p", annotated)

    ran = deployed(cluster, timeout="3s")

    assert ran.returncode == 1
    assert "ImagePullBackOff" in ran.stderr
    assert "make images && kind load image-archive" in ran.stderr


@pytest.fixture
def without_kserve(cluster: Cluster, say: Say) -> Iterator[Path]:
    """The kubeconfig of an API server that knows nothing but Kubernetes."""
    programs = parts.programs(parts.CONTROL_PLANE, say)
    with run("bare") as made:
        api, etcd, peer = free_ports(3)
        addresses = loopback(api=api, etcd=etcd, etcd_peer=peer)
        keys = control_plane.issue(made.path("pki"), addresses)
        made.start("etcd", control_plane.etcd(programs["etcd"], addresses, made.path("state", "etcd")))
        made.start("kube-apiserver", control_plane.api_server(programs["kube-apiserver"], addresses, keys))
        made.wait("it is ready", lambda: control_plane.is_ready(addresses, keys), of="kube-apiserver", seconds=60)
        yield keys.admin


def test_without_kserve_it_touches_nothing_and_says_what_to_install(cluster: Cluster, without_kserve: Path) -> None:
    ran = deployed(cluster, without_kserve)

    assert ran.returncode == 1
    assert 'has no "inferenceservices.serving.kserve.io": install KServe first' in ran.stderr
    assert ran.stdout == ""


def test_a_cluster_that_does_not_answer_is_named_by_its_context(cluster: Cluster, tmp_path: Path) -> None:
    [port] = free_ports(1)
    kubeconfig = tmp_path / "kubeconfig"
    text = cluster.kubeconfig.read_text()
    server = next(line.split()[-1] for line in text.splitlines() if "server:" in line)
    kubeconfig.write_text(text.replace(server, f"https://127.0.0.1:{port}"))

    ran = deployed(cluster, kubeconfig)

    assert ran.returncode == 1
    assert 'the cluster of context "test" does not answer: ' in ran.stderr


def test_without_a_context_it_says_how_to_choose_one(cluster: Cluster, tmp_path: Path) -> None:
    ran = deployed(cluster, tmp_path / "none")

    assert (ran.returncode, ran.stderr.strip()) == (
        1,
        "make deploy: kubectl has no current context: set KUBECONFIG, or `kubectl config use-context`",
    )
