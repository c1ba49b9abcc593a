"""The real world: one node with a real kubelet, containerd and runc, Services and DNS, and KServe and KubeRay on it.

For the end-to-end tests: our images, real models that answer, rollouts with traffic, crashes that are none of ours.
Needs root and cgroup v1; everything is in namespaces of its own (`node.py`), and ends with the block.

    with real_node(say=print) as cluster:
        cluster.load_image(tar)

`make cluster` (`development.py`) starts the same one for a person.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from harness import certificates, control_plane, node, runtime, serving
from harness.cluster import Cluster, World
from harness.control_plane import Addresses, Keys
from harness.images import base_images
from harness.node import NAME, Network
from harness.parts import CNI, REAL, go_version, programs, runc
from harness.runs import NotUp, Run, run
from harness.seed import seeded
from pointsman_images import debian
from pointsman_images.cache import Missing, Say

_CTR = ("ctr", "--address", runtime.SOCKET, "--namespace", "k8s.io")
_ON_NODE = ("containerd", "containerd-shim-runc-v2", "ctr", "runc")
Part = Callable[[str], AbstractContextManager[None]]
"""Around each part that comes up, with its name"""


def require() -> None:
    """Raise `Missing` with what this machine lacks: to run a node, or to build one."""
    node.require()
    for compiler in ("gcc", "pkg-config"):
        if shutil.which(compiler) is None:
            raise Missing(f"runc is linked to a C library, and {compiler} is not on PATH: apt-get install {compiler}")
    go_version()


@contextmanager
def real_node(say: Say, part: Part = lambda name: nullcontext()) -> Iterator[Cluster]:
    """A cluster of one real node, ended with the block; `say` hears of what is built first, `part` of what comes up."""
    require()
    with part("what a node is made of"):
        tools, libseccomp = debian.unpacked(debian.NODE_TOOLS, say), debian.unpacked(debian.LIBSECCOMP, say)
        built = programs((*REAL, runc(libseccomp)), say)
        images = base_images(built, say)
        seed = seeded(built, say)
    with node.free_network() as network, run("real") as made:
        path = node.environment_of({name: built[name] for name in _ON_NODE}, tools, made.path("path"))
        inside = node.start(made, network, built["pause"], path)
        addresses = _addresses(network)
        keys = control_plane.issue(made.path("pki"), addresses)

        def launch(name: str, command: Sequence[str | Path]) -> None:
            made.start(name, inside.command(command))

        def load_image(tar: Path) -> None:
            loaded = inside.run([*_CTR, "images", "import", "--snapshotter", "overlayfs", tar])
            if loaded.returncode:
                raise NotUp(f"containerd did not take {tar}: {loaded.stderr.strip()}")

        settings = _settings(made, network, built, keys, addresses)

        def containers() -> None:
            launch("containerd", [built["containerd"], "--config", settings.containerd])
            up = [*_CTR, "version"]
            made.wait("containerd answers", lambda: inside.run(up).returncode == 0, of="containerd")
            for image in images.values():
                load_image(image)

        with part("etcd, API server, controllers, scheduler, containerd"):
            control_plane.start(made, built, addresses, keys, launch, seed=seed, node_grace="20s", meanwhile=containers)
            _start_node(built, settings, keys, network, launch, made)
        cluster = Cluster(
            world=World.REAL,
            kubeconfig=keys.admin,
            kubectl_program=built["kubectl"],
            host=network.host,
            webhook=keys.webhook,
            load_image=load_image,
            log_tails=made.tails,
            log_folder=made.path("log"),
            watch=made.watch,
        )
        cluster.create(*runtime.dns(network))
        ports = serving.Ports(
            webhooks=9443, kserve_metrics=18080, kserve_health=18081, kuberay_metrics=18090, kuberay_health=18091
        )
        with part("KServe, KubeRay"):
            serving.install(cluster, made, built, keys.authority, ports, launch)
        with part("kubelet, kube-proxy, DNS"):
            dns = ("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
            cluster.kubectl(*dns)
        yield cluster


def _addresses(network: Network) -> Addresses:
    return Addresses(
        host=network.node,
        bind="0.0.0.0",  # of the node's own network
        api=6443,
        etcd=2379,
        etcd_peer=2380,
        controllers=10257,
        scheduler=10259,
        services=network.services,
        first_service=network.service(1),
        webhooks=network.host,
    )


def _settings(
    made: Run, network: Network, built: Mapping[str, Path], keys: Keys, addresses: Addresses
) -> runtime.Settings:
    authority = keys.authority
    plugins = made.path("cni")
    plugins.mkdir()
    for plugin in CNI:
        (plugins / plugin.name).symlink_to(built[plugin.name])
    shown = authority.server("kubelet-server", [NAME, network.node], certificates.node_subject(NAME))
    proxy = certificates.kubeconfig(
        made.path("pki", "proxy.kubeconfig"), addresses.url, authority.client("proxy", "system:kube-proxy")
    )
    return runtime.write(made.path("etc"), network, made.path("path", "runc"), plugins, shown, proxy)


def _start_node(
    built: Mapping[str, Path],
    settings: runtime.Settings,
    keys: Keys,
    network: Network,
    launch: control_plane.Start,
    made: Run,
) -> None:
    client = keys.authority.client("kubelet", f"system:node:{NAME}", ["system:nodes"])
    kubeconfig = certificates.kubeconfig(made.path("pki", "kubelet.kubeconfig"), _addresses(network).url, client)
    launch(
        "kubelet",
        [
            built["kubelet"],
            f"--config={settings.kubelet}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NAME}",
            f"--node-ip={network.node}",
            "--v=2",
        ],
    )
    launch("kube-proxy", [built["kube-proxy"], f"--config={settings.proxy}"])
