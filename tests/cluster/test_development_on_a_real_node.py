"""`make cluster`: it comes up for a person, is used from another terminal, and on Ctrl-C nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import yours
from harness.leftovers import leftovers, links
from pointsman_images.build import IMAGES, PROJECT

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]
COMMAND = [sys.executable, "-m", "harness.development"]
PATHS = {"PYTHONPATH": f"{PROJECT / 'images'}:{PROJECT / 'tests' / 'cluster'}"}


@dataclass(frozen=True, kw_only=True)
class Up:
    """A cluster that is up: what it said meanwhile, and the folder that it was started in."""

    process: subprocess.Popen[str]
    said: str
    folder: Path

    def shell(self, command: str) -> str:
        """What a command prints in another terminal, with the cluster's settings."""
        lines = f"set -e; cd {self.folder}; . build/cluster/env; cd {PROJECT}; {command}"
        ran = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        return ran.stdout


@pytest.fixture(scope="module")
def up(real_node: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Started beside the suite's own node, so that what is missing is said once, and programs are built."""
    folder = tmp_path_factory.mktemp("development")
    process = subprocess.Popen(COMMAND, cwd=folder, env=os.environ | PATHS, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("Ctrl-C"):
                break
        yield Up(process=process, said=said, folder=folder)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_it_says_what_comes_up_and_what_to_do_next(up: Up) -> None:
    assert up.process.poll() is None, up.said
    assert [line.split("  ")[0] for line in up.said.splitlines() if line.startswith("up ")] == [
        "up what a node is made of",
        "up etcd, API server, controllers, scheduler, containerd",
        "up KServe, KubeRay",
        "up kubelet, kube-proxy, DNS",
        *(f"up image {name}" for name in IMAGES),
        "up image triton: of NVIDIA's wheel, in place of NVIDIA's image",
        "up MLflow, the gateway and the operator",
        "up PostgreSQL in the namespace fraud",
    ]
    assert "    . build/cluster/env\n" in up.said


def test_a_second_one_says_that_one_runs(up: Up) -> None:
    ran = subprocess.run(COMMAND, cwd=up.folder, env=os.environ | PATHS, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr.strip()) == (
        1,
        f"make cluster: one runs already, process {up.process.pid}: use it with `. build/cluster/env`",
    )


def test_a_model_is_registered_deployed_and_asked_by_the_commands_of_the_readme(up: Up) -> None:
    up.shell("python -m pointsman.demo.register")
    up.shell("kubectl apply -f manifests/examples/model/modeldeployment.yaml")
    up.shell("kubectl wait --for=condition=Ready modeldeployment/fraud-scorer --timeout=120s")

    address = up.shell("kubectl get service fraud-scorer -o jsonpath={.spec.clusterIP}")
    infer = f"http://{address}/v2/models/fraud-scorer/infer"
    answer = up.shell(f"curl -s --noproxy '*' -d @manifests/examples/model/request.json {infer}")

    outputs = {each["name"]: each["data"][0] for each in json.loads(answer)["outputs"]}
    assert outputs["label"] == 0
    assert 0 < outputs["probability"] < 0.1


def test_a_graph_decides_what_is_sent_to_it_by_the_commands_of_the_readme(up: Up) -> None:
    up.shell("kubectl create secret generic accounts-token -n fraud --from-literal=token=$(openssl rand -hex 16)")
    up.shell("kubectl apply -n fraud -f manifests/examples/fraud")
    up.shell("kubectl wait -n fraud --for=condition=Ready decisiongraph/card-fraud --timeout=300s")
    folder = up.folder
    history = (
        f"python -m pointsman.demo.events --days 30 --seed 41 --labels {folder}/labels.csv > {folder}/history.jsonl"
    )
    up.shell(history)
    up.shell(f"kubectl pointsman certificates keygen {folder}/risk.pem")
    assert "may sign" in up.shell(f"kubectl pointsman certificates trust {folder}/risk.pub.pem -n fraud")
    given = f"--events {folder}/history.jsonl --labels {folder}/labels.csv --key {folder}/risk.pem"
    said = up.shell(f"kubectl pointsman certify card-fraud {given} -n fraud || test $? -eq 1")
    assert "certificates issued" in said
    assert "live" in up.shell("kubectl pointsman certificates list card-fraud -n fraud")
    events = up.folder / "transactions.jsonl"
    up.shell(f"python -m pointsman.demo.events --days 1 --customers 500 > {events}")

    up.shell(f"kubectl pointsman events send {events} -n fraud || test $? -eq 1")  # a few are broken, on purpose

    listed = json.loads(up.shell("kubectl pointsman decisions list -o json -n fraud"))
    assert {"approve", "review"} & {each["outcome"] for each in listed}
    assert json.loads(up.shell("kubectl pointsman reviews claim -o json -n fraud"))
    assert "Ready" in up.shell("kubectl pointsman explain decisiongraph/card-fraud -n fraud")


def test_on_ctrl_c_it_ends_and_nothing_of_it_is_left(up: Up) -> None:
    run = Path(up.shell("echo $KUBECONFIG").strip()).parents[1]
    before = links()
    assert leftovers(run), "nothing is seen of a cluster that is up: this test would see no leftovers either"

    up.process.send_signal(signal.SIGINT)

    assert up.process.stderr is not None
    said = up.process.stderr.read()
    assert (up.process.wait(60), said.splitlines()[-1]) == (0, "stopped: nothing of it is left")
    assert leftovers(run) == []
    assert len(before - links()) == 1, "the link into the node's network"
    assert not (up.folder / "build" / "cluster" / "env").exists()
