"""The simulated world: a real control plane and a real KServe on loopback, with nodes and pods that kwok plays.

No root, no containers, nothing outside the run's folder: plain processes of the user on free ports. For reconcile
tests, scheduling of GPUs, all the ways a pod can fail, and many objects.

    with simulated(say=print) as cluster:
        print(cluster.kubectl("get", "nodes"))
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import control_plane, node_stages, pod_stages, serving
from harness.cluster import Cluster, World
from harness.parts import SIMULATED, programs
from harness.runs import free_ports, run
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
        api, etcd, peer, controllers, scheduler, kwok, *kserve = free_ports(9)
        addresses = loopback(
            api=api,
            etcd=etcd,
            etcd_peer=peer,
            controllers=controllers,
            scheduler=scheduler,
        )
        keys = control_plane.issue(made.path("pki"), addresses)

        def launch(name: str, command: Sequence[str | Path]) -> None:
            made.start(name, command)

        control_plane.start(made, built, addresses, keys, launch, seed=seed, node_grace="40s")
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
        stages = made.path("etc", "stages.yaml")
        stages.write_text("\n---\n".join(map(json.dumps, [*node_stages.stages(), *pod_stages.stages()])))
        launch(
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
        webhooks, metrics, health = kserve
        ports = serving.Ports(webhooks=webhooks, kserve_metrics=metrics, kserve_health=health)
        serving.install(cluster, made, built, keys.authority, ports, launch)
        cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
        yield cluster
