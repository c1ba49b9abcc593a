"""Which world a command asks, the local runtime or a cluster, as a process; no cluster is needed for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


def run(
    *arguments: str, user: Path, program: str = "pointsman", **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command of a user who has nothing but this folder."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "POINTSMAN_HOME")}
    return subprocess.run(
        command, capture_output=True, text=True, env={**kept, "HOME": str(user), **environment}, check=False
    )


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def kubeconfig(path: Path, server: str) -> Path:
    """One cluster, known by two contexts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contexts = [
        {"name": "here", "context": {"cluster": "c", "user": "u"}},
        {"name": "there", "context": {"cluster": "c", "user": "u", "namespace": "risk"}},
    ]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": contexts,
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_without_a_local_runtime_and_a_kubeconfig_nothing_is_running(tmp_path: Path) -> None:
    done = run("explain", "modeldeployment/fraud", user=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("error: nothing is running")


@pytest.mark.parametrize("command", ["explain", "history"])
@pytest.mark.parametrize("variable", [True, False], ids=["KUBECONFIG", "the home folder"])
def test_where_nothing_runs_here_the_kubeconfigs_cluster_is_asked(
    tmp_path: Path, nobody: str, command: str, variable: bool
) -> None:
    file = kubeconfig(tmp_path / ("mine.yaml" if variable else ".kube/config"), nobody)
    environment = {"KUBECONFIG": str(file)} if variable else {}
    done = run(command, "modeldeployment/fraud", user=tmp_path, **environment)
    assert done.returncode == 1
    path = "/apis/pointsman.dev/v1alpha1/namespaces/default/modeldeployments/fraud"
    assert done.stderr.startswith(f"error: GET {path}: nobody answers at {nobody}: ")


def test_options_name_the_cluster_its_context_and_the_namespace(tmp_path: Path, nobody: str) -> None:
    file = str(kubeconfig(tmp_path / "mine.yaml", nobody))
    by_context = run("explain", "pmd/fraud", "--kubeconfig", file, "--context", "there", user=tmp_path)
    assert "/namespaces/risk/" in by_context.stderr
    by_namespace = run("explain", "pmd/fraud", "--kubeconfig", file, "-n", "lending", user=tmp_path)
    assert "/namespaces/lending/" in by_namespace.stderr
    wrong = run("explain", "pmd/fraud", "--kubeconfig", file, "--context", "nowhere", user=tmp_path)
    assert (wrong.returncode, "nowhere" in wrong.stderr) == (1, True)


def test_as_a_plug_in_of_kubectl_a_cluster_is_meant_always(tmp_path: Path) -> None:
    done = run("explain", "pmd/fraud", user=tmp_path, program="kubectl-pointsman")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no cluster is configured")
    usage = run("--help", user=tmp_path, program="kubectl-pointsman").stdout
    assert "Usage: kubectl pointsman" in usage


def test_a_decision_is_never_asked_of_a_cluster(tmp_path: Path, nobody: str) -> None:
    file = str(kubeconfig(tmp_path / ".kube" / "config", nobody))
    assert run("explain", "0123abcd", user=tmp_path).returncode == 3
    assert run("explain", "till-7/2026/11", user=tmp_path).returncode == 3, "an event's id"
    told = run("explain", "0123abcd", "--kubeconfig", file, user=tmp_path)
    assert (told.returncode, 'no kind is called "0123abcd"' in told.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("explain", "pmd"), "which ModelDeployment?"),
        (("explain", "modeldeplyoment/fraud"), "did you mean ModelDeployment?"),
        (("history", "pdg/card-fraud"), '"pdg/card-fraud" has no history'),
        (("explain", "pdg/card-fraud", "-n", "risk"), "a cluster has no DecisionGraph"),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments, user=tmp_path)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
