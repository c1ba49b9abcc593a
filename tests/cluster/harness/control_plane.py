"""etcd, API server, controller-manager and scheduler, as both worlds start them: which addresses, which flags.

Where they run differs (plain processes of the user, or inside the node's namespaces), so starting is passed in.
"""

from __future__ import annotations

import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import audit, certificates
from harness.certificates import Authority, Certificate
from harness.runs import Run

Start = Callable[[str, Sequence[str | Path]], None]


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the control plane listens; ports are free ones on a shared loopback, or fixed in a namespace."""

    host: str  # where clients on this machine reach the API server
    bind: str
    api: int
    etcd: int
    etcd_peer: int
    controllers: int
    scheduler: int
    services: str  # the CIDR of cluster IPs
    first_service: str  # the cluster IP of the service `kubernetes`
    webhooks: str  # where this machine's webhooks are, as the API server sees it

    @property
    def url(self) -> str:
        """The API server's URL."""
        return f"https://{self.host}:{self.api}"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What the control plane's parts show each other, and what a webhook on this machine shows."""

    authority: Authority
    api_server: Certificate
    front_proxy: Certificate
    kubelet_client: Certificate
    service_accounts: Path
    webhook: Certificate
    admin: Path  # a kubeconfig, like the next two
    controllers: Path
    scheduler: Path


def issue(folder: Path, addresses: Addresses) -> Keys:
    """Make the authority and all that a control plane needs from it."""
    authority = Authority(folder)
    service = "kubernetes.default.svc"
    names = ["localhost", "kubernetes", "kubernetes.default", service, f"{service}.cluster.local"]
    admin = authority.client("admin", "admin", ["system:masters"])

    def config(name: str, client: Certificate) -> Path:
        return certificates.kubeconfig(folder / f"{name}.kubeconfig", addresses.url, client)

    return Keys(
        authority=authority,
        api_server=authority.server("api-server", [*names, *{"127.0.0.1", addresses.host, addresses.first_service}]),
        front_proxy=Authority(folder, "front").client("front-proxy", "front-proxy"),
        kubelet_client=admin,
        service_accounts=certificates.service_account_key(folder),
        webhook=authority.server("webhook", ["localhost", *{"127.0.0.1", addresses.webhooks}]),
        admin=config("admin", admin),
        controllers=config("controllers", authority.client("controllers", "system:kube-controller-manager")),
        scheduler=config("scheduler", authority.client("scheduler", "system:kube-scheduler")),
    )


def etcd(program: Path, addresses: Addresses, data: Path) -> list[str | Path]:
    """etcd's command: one member on loopback that does not wait for the disk, as its state is thrown away."""
    client, peer = (f"http://127.0.0.1:{port}" for port in (addresses.etcd, addresses.etcd_peer))
    return [
        program,
        "--name=test",
        f"--data-dir={data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=test={peer}",
    ]


def api_server(program: Path, addresses: Addresses, keys: Keys) -> list[str | Path]:
    """The API server's command."""
    on_loopback = addresses.bind == "127.0.0.1"
    return [
        "env",
        "GOGC=200",  # reading large definitions, it would spend a third of its time collecting garbage
        program,
        f"--etcd-servers=http://127.0.0.1:{addresses.etcd}",
        f"--bind-address={addresses.bind}",
        f"--advertise-address={addresses.host}",
        f"--secure-port={addresses.api}",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--endpoint-reconciler-type={'none' if on_loopback else 'lease'}",  # loopback is no valid endpoint
        f"--client-ca-file={keys.authority.files.certificate}",
        f"--tls-cert-file={keys.api_server.certificate}",
        f"--tls-private-key-file={keys.api_server.key}",
        f"--service-account-key-file={keys.service_accounts}",
        f"--service-account-signing-key-file={keys.service_accounts}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--kubelet-client-certificate={keys.kubelet_client.certificate}",
        f"--kubelet-client-key={keys.kubelet_client.key}",
        f"--kubelet-certificate-authority={keys.authority.files.certificate}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={keys.front_proxy.authority}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={keys.front_proxy.certificate}",
        f"--proxy-client-key-file={keys.front_proxy.key}",
    ]


UNATTENDED = ("garbage-collector-controller", "namespace-controller", "serviceaccount-controller")
"""The controllers that are left where there are no nodes: what ends takes along what it owns"""


def controller_manager(
    program: Path, addresses: Addresses, keys: Keys, node_grace: str, controllers: Sequence[str] = ("*",)
) -> list[str | Path]:
    """The controller-manager's command; `node_grace` is how long a silent node counts as ready."""
    return [
        program,
        *_as_client(keys.controllers, addresses.controllers),
        f"--service-account-private-key-file={keys.service_accounts}",
        f"--root-ca-file={keys.authority.files.certificate}",
        f"--cluster-signing-cert-file={keys.authority.files.certificate}",
        f"--cluster-signing-key-file={keys.authority.files.key}",
        "--use-service-account-credentials",
        f"--controllers={','.join(controllers)}",
        "--allocate-node-cidrs=false",
        "--kube-api-qps=500",  # with the default a namespace's ServiceAccount comes ten seconds late
        "--kube-api-burst=1000",
        f"--node-monitor-grace-period={node_grace}",
        "--node-monitor-period=2s",
    ]


def scheduler(program: Path, addresses: Addresses, keys: Keys) -> list[str | Path]:
    """The scheduler's command."""
    fast = ("--kube-api-qps=500", "--kube-api-burst=1000")
    return [program, *_as_client(keys.scheduler, addresses.scheduler), *fast]


def _as_client(kubeconfig: Path, port: int) -> list[str]:
    files = [f"--{use}kubeconfig={kubeconfig}" for use in ("", "authentication-", "authorization-")]
    return [*files, "--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={port}"]


def start(
    run: Run,
    programs: Mapping[str, Path],
    addresses: Addresses,
    keys: Keys,
    launch: Start,
    *,
    seed: Path,
    node_grace: str,
    nodes: bool = True,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Start all four on a copy of the seed, and return when the API server is ready; `meanwhile` runs before that.

    Without `nodes` there is no scheduler, and only the controllers that need none.
    """
    data = run.path("state", "etcd")
    shutil.copytree(seed, data)
    launch("etcd", etcd(programs["etcd"], addresses, data))
    server = api_server(programs["kube-apiserver"], addresses, keys)
    launch("kube-apiserver", [*server, *audit.flags(run)])  # it waits for etcd
    meanwhile()
    run.wait("the API server is ready", lambda: is_ready(addresses, keys), of="kube-apiserver", seconds=60)
    controllers = ("*",) if nodes else UNATTENDED
    manager = controller_manager(programs["kube-controller-manager"], addresses, keys, node_grace, controllers)
    launch("kube-controller-manager", manager)
    if nodes:
        launch("kube-scheduler", scheduler(programs["kube-scheduler"], addresses, keys))


def is_ready(addresses: Addresses, keys: Keys) -> bool:
    """Whether the API server says so of itself."""
    trust = ssl.create_default_context(cafile=keys.authority.files.certificate)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(f"{addresses.url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
