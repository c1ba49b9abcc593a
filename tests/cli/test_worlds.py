"""Which world a command asks, the local runtime or a cluster; no cluster is needed for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pointsman.cli.api import failure as refusal
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.main import app
from pointsman.cli.worlds import Door

Run = Callable[..., Any]


def started(program: str, *arguments: str, user: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """An installed program, run by a user who has nothing but this folder."""
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "POINTSMAN_HOME")}
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    given = {**kept, "HOME": str(user), **environment}
    return subprocess.run(command, capture_output=True, text=True, env=given, check=False)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user who has nothing but it, and whose commands run in this process."""
    for variable in ("KUBECONFIG", "POINTSMAN_HOME", "POINTSMAN_API", "POINTSMAN_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


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
    done = started("pointsman", "explain", "modeldeployment/fraud", user=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("error: nothing is running")


def nobody_answers(at: str) -> str:
    path = "/apis/pointsman.dev/v1alpha1/namespaces/default/modeldeployments/fraud"
    return f"error: GET {path}: nobody answers at {at}: "


@pytest.mark.parametrize("command", ["explain", "history"])
def test_where_nothing_runs_here_the_kubeconfigs_cluster_is_asked(
    run: Run, user: Path, nobody: str, command: str
) -> None:
    kubeconfig(user / ".kube" / "config", nobody)
    done = run(command, "modeldeployment/fraud")
    assert (done.returncode, done.stderr[: len(nobody_answers(nobody))]) == (1, nobody_answers(nobody))


def test_the_kubeconfig_is_the_one_of_the_environment_where_there_is_one(tmp_path: Path, nobody: str) -> None:
    file = str(kubeconfig(tmp_path / "mine.yaml", nobody))
    done = started("pointsman", "explain", "modeldeployment/fraud", user=tmp_path, KUBECONFIG=file)
    assert (done.returncode, done.stderr[: len(nobody_answers(nobody))]) == (1, nobody_answers(nobody))


def test_options_name_the_cluster_its_context_and_the_namespace(run: Run, user: Path, nobody: str) -> None:
    file = str(kubeconfig(user / "mine.yaml", nobody))
    by_context = run("explain", "pmd/fraud", "--kubeconfig", file, "--context", "there")
    assert "/namespaces/risk/" in by_context.stderr
    by_namespace = run("explain", "pmd/fraud", "--kubeconfig", file, "-n", "lending")
    assert "/namespaces/lending/" in by_namespace.stderr
    wrong = run("explain", "pmd/fraud", "--kubeconfig", file, "--context", "nowhere")
    assert (wrong.returncode, "nowhere" in wrong.stderr) == (1, True)


def test_as_a_plug_in_of_kubectl_a_cluster_is_meant_always(tmp_path: Path) -> None:
    done = started("kubectl-pointsman", "explain", "pmd/fraud", user=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no cluster is configured")
    usage = started("kubectl-pointsman", "--help", user=tmp_path).stdout
    assert "Usage: kubectl pointsman" in usage


def failure(*arguments: str, **environment: str) -> Failure:
    """How a command ends."""
    done = CliRunner().invoke(app, list(arguments), env=environment)
    assert isinstance(done.exception, Failure), done.output
    return done.exception


OF_THE_API = [
    ("decisions", "list", "-g", "fraud"),
    ("decisions", "show", "x"),
    ("reviews", "claim", "-g", "fraud"),
    ("reviews", "decide", "x", "fraud", "-r", "phoned"),
    ("deadletters", "show", "x"),
    ("lists", "add", "stolen", "x", "-g", "fraud"),
    ("keys", "revoke", "x"),
    ("explain", "till-7/2026/11"),
]


@pytest.mark.parametrize("command", OF_THE_API, ids=" ".join)
def test_a_clusters_api_is_asked_where_one_is_named_or_nothing_else_is_there(
    user: Path, nobody: str, command: tuple[str, ...]
) -> None:
    assert failure(*command).code is Exit.NOT_RUNNING, "nothing runs, and there is no kubeconfig"
    kubeconfig(user / ".kube" / "config", nobody)
    secret = "GET /api/v1/namespaces/{}/secrets/pointsman-keys: nobody answers at " + nobody
    assert str(failure(*command)).startswith(secret.format("default"))
    named = failure(*command, "-n", "risk", POINTSMAN_API="http://127.0.0.1:9")
    assert str(named).startswith(secret.format("risk"))


def test_an_address_that_is_given_is_asked_before_the_kubeconfigs_cluster(user: Path, nobody: str) -> None:
    kubeconfig(user / ".kube" / "config", nobody)
    given = failure("keys", "list", POINTSMAN_API="http://127.0.0.1:9/", POINTSMAN_API_KEY="pm_mine")
    assert str(given).startswith("the API does not answer at http://127.0.0.1:9: ")


def test_with_a_key_of_ones_own_no_secret_is_asked_for(user: Path, nobody: str) -> None:
    file = str(kubeconfig(user / "mine.yaml", nobody))
    found = failure("keys", "list", "--kubeconfig", file, "--key", "pm_mine")
    address = f"{nobody}/api/v1/namespaces/default/services/pointsman-api:80/proxy"
    assert str(found).startswith(f"the API does not answer at {address}: ")


@pytest.mark.parametrize(
    ("status", "body", "says", "code"),
    [
        (404, '{"kind": "Status", "message": "gone"}', 'the namespace "risk" has no Service "api"', Exit.NOT_FOUND),
        (403, '{"kind": "Status", "message": "you may not"}', "you may not", Exit.FAILED),
        (503, '{"kind": "Status", "message": "none"}', 'the Service "api" in "risk" does not answer: none', 3),
        (404, '{"error": "no such decision"}', "no such decision", Exit.NOT_FOUND),
        (500, "<html>", "HTTP 500 <html>", Exit.FAILED),
        (502, "[]", "HTTP 502 []", Exit.FAILED),
    ],
)
def test_what_the_api_server_says_and_what_the_api_says_are_told_apart(
    status: int, body: str, says: str, code: int
) -> None:
    found = refusal(status, body, Door(address="", headers={}, service="risk/api"))
    assert (str(found), found.code) == (says, code)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("explain", "pmd"), "which ModelDeployment?"),
        (("explain", "modeldeplyoment/fraud"), "did you mean ModelDeployment?"),
        (("history", "pdg/card-fraud"), '"pdg/card-fraud" has no history'),
        (("explain", "secret/mine", "-n", "risk"), "Secret is no kind of ours"),
        (("get", "deployments", "-n", "risk"), "Deployment is no kind of ours"),
    ],
)
def test_what_cannot_be_asked_is_wrong_usage(run: Run, user: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_certifying_on_a_cluster_needs_nothing_that_only_a_graph_s_pods_have(tmp_path: Path) -> None:
    lacking = ["psycopg", "onnxruntime", "onnx", "scipy", "polars", "ray", "alembic"]
    program = f"""
import sys
for name in {lacking}:
    sys.modules[name] = None
from pathlib import Path
from pointsman.cli import certificates, certify, certify_there
from pointsman.cli.errors import Failure
import pointsman.certificate_files, pointsman.certificates.costs, pointsman.cli.signing
from pointsman.labels.given import read_labels
Path("labels.csv").write_text("id,label\\nt1,true\\n")
assert read_labels(Path("labels.csv"))["t1"].label
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
