"""The simulated world: a real control plane, KServe and KubeRay on loopback, with nodes and pods that kwok plays.

No root, no containers, nothing outside the run's folder: plain processes of the user on free ports. For reconcile
tests, scheduling of GPUs, and all the ways a pod can fail. `unattended` is the same for many objects.

    with simulated(say=print) as cluster:
        print(cluster.kubectl("get", "nodes"))
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import control_plane, node_stages, pod_stages, serving
from harness.cluster import Cluster, World
from harness.control_plane import Keys, Start
from harness.parts import CONTROL_PLANE, SIMULATED, programs
from harness.runs import Run, free_ports, run
from harness.seed import LOOPBACK, loopback, seeded
from pointsman_images.cache import Say

NODES = (
    node_stages.node("cpu-1"),
    node_stages.node("cpu-2"),
    node_stages.node("gpu-1", gpus=8),
    node_stages.node("gpu-2", gpus=8),
)


@contextmanager
def simulated(say: Say) -> Iterator[Cluster]:
    """A cluster with simulated nodes, ended with the block; `say` hears of programs that are built first."""
    built = programs(SIMULATED, say)
    seed = seeded(built, say)
    with run("simulated") as made:
        kwok, webhooks, kserve, kserve_health, kuberay, kuberay_health, *others = free_ports(11)
        cluster, keys = _control_plane(made, built, seed, others, nodes=True)
        stages = made.path("etc", "stages.yaml")
        stages.write_text("\n---\n".join(map(json.dumps, [*node_stages.stages(), *pod_stages.stages()])))
        made.start(
            "kwok",
            [
                built["kwok"],
                f"--kubeconfig={keys.admin}",
                f"--config={stages}",
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
                "--node-ip=10.0.0.1",
                "--cidr=10.128.0.1/12",
                "--node-lease-duration-seconds=40",
                f"--server-address=127.0.0.1:{kwok}",
            ],
        )
        cluster.create(*NODES)
        ports = serving.Ports(
            webhooks=webhooks,
            kserve_metrics=kserve,
            kserve_health=kserve_health,
            kuberay_metrics=kuberay,
            kuberay_health=kuberay_health,
        )
        serving.install(cluster, made, built, keys.authority, ports, _launch(made))
        cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
        yield cluster


@contextmanager
def unattended(say: Say) -> Iterator[Cluster]:
    """A control plane with KServe's definitions, and nobody who acts on them: no controller of KServe's, no nodes.

    KServe takes a quarter of a second for each InferenceService. `harness.played` writes what it would.
    """
    built = programs(CONTROL_PLANE, say)
    seed = seeded(built, say)
    with run("unattended") as made:
        cluster, _ = _control_plane(made, built, seed, free_ports(5), nodes=False)
        yield cluster


def _control_plane(
    made: Run, built: Mapping[str, Path], seed: Path, ports: Sequence[int], *, nodes: bool
) -> tuple[Cluster, Keys]:
    api, etcd, peer, controllers, scheduler = ports
    addresses = loopback(api=api, etcd=etcd, etcd_peer=peer, controllers=controllers, scheduler=scheduler)
    keys = control_plane.issue(made.path("pki"), addresses)
    control_plane.start(made, built, addresses, keys, _launch(made), seed=seed, node_grace="40s", nodes=nodes)
    cluster = Cluster(
        world=World.SIMULATED,
        kubeconfig=keys.admin,
        kubectl_program=built["kubectl"],
        host=LOOPBACK,
        webhook=keys.webhook,
        load_image=lambda tar: None,
        log_tails=made.tails,
        log_folder=made.path("log"),
    )
    return cluster, keys


def _launch(made: Run) -> Start:
    def launch(name: str, command: Sequence[str | Path]) -> None:
        made.start(name, command)

    return launch
