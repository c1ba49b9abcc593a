"""An etcd that knows KServe's, KubeRay's and the Gateway API's definitions already, copied at every start.

Their eighteen schemas are large: an API server takes some fifteen CPU seconds to accept them, and a moment to read
them from etcd. So they are created once, and etcd's folder is kept in the cache, with the roles and namespaces that
every API server makes.
"""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from harness import control_plane, serving
from harness.cluster import Cluster, World
from harness.control_plane import Addresses
from harness.runs import free_ports, run
from pointsman_images.cache import Say, cache_folder, key, locked

LOOPBACK = "127.0.0.1"
_ITS_OWN = (  # what belongs to the control plane that made the seed: its addresses, its certificates, its history
    *("services", "servicecidrs", "ipaddresses", "ranges", "masterleases", "leases", "configmaps", "events"),
    *("endpointslices", "endpoints"),
)
_PROGRAMS = ("etcd", "kube-apiserver", "kubectl")


def seeded(programs: Mapping[str, Path], say: Say) -> Path:
    """The etcd's folder, from the cache or made now; copy it, never start on it."""
    made_by = (Path(__file__).read_bytes(), serving.made_by())
    folder = cache_folder() / f"seed-{key(*made_by, *(str(programs[name]) for name in _PROGRAMS))}"
    seed = folder / "etcd"
    with locked(folder):
        if not seed.exists():
            say("creating the definitions of KServe, KubeRay and the Gateway API: once, about 30 s")
            fresh = folder / "etcd.part"
            shutil.rmtree(fresh, ignore_errors=True)
            _make(fresh, programs)
            fresh.rename(seed)
    return seed


def _make(folder: Path, programs: Mapping[str, Path]) -> None:
    with run("seed") as made:
        api, etcd, peer = free_ports(3)
        addresses = loopback(api=api, etcd=etcd, etcd_peer=peer)
        keys = control_plane.issue(made.path("pki"), addresses)
        made.start("etcd", control_plane.etcd(programs["etcd"], addresses, made.path("state", "etcd")))
        made.start("kube-apiserver", control_plane.api_server(programs["kube-apiserver"], addresses, keys))
        ready = "the API server is ready"
        made.wait(ready, lambda: control_plane.is_ready(addresses, keys), of="kube-apiserver", seconds=120)
        cluster = Cluster(
            world=World.SIMULATED,
            kubeconfig=keys.admin,
            kubectl_program=programs["kubectl"],
            host=None,
            webhook=None,
            load_image=lambda tar: None,
            log_tails=made.tails,
            log_folder=None,
        )
        cluster.create(*serving.manifests()["definitions"])
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
        made.stop("kube-apiserver")
        for kind in _ITS_OWN:
            _forget(etcd, f"/registry/{kind}/")
        made.stop("etcd")
        shutil.copytree(made.path("state", "etcd"), folder)


def _forget(etcd: int, prefix: str) -> None:
    """Delete every key with this prefix."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)  # the first key after them all
    body = {"key": base64.b64encode(prefix.encode()).decode(), "range_end": base64.b64encode(end.encode()).decode()}
    asked = urllib.request.Request(f"http://{LOOPBACK}:{etcd}/v3/kv/deleterange", data=json.dumps(body).encode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=10) as answer:
        answer.read()


def loopback(*, api: int, etcd: int, etcd_peer: int, controllers: int = 0, scheduler: int = 0) -> Addresses:
    """Addresses of a control plane of plain processes on this machine's loopback."""
    return Addresses(
        host=LOOPBACK,
        bind=LOOPBACK,
        api=api,
        etcd=etcd,
        etcd_peer=etcd_peer,
        controllers=controllers,
        scheduler=scheduler,
        services="10.96.0.0/16",
        first_service="10.96.0.1",
        webhooks=LOOPBACK,
    )
