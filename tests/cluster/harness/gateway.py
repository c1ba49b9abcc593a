"""The development gateway as a process of this machine against a cluster of the tests, and the servers behind its routes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import yaml

from harness.cluster import Cluster, Object
from harness.operator import NAMESPACE
from harness.runs import free_ports
from harness.waiting import wait_for

MANIFESTS = Path(__file__).parents[3] / "manifests" / "gateway"
ACCOUNT = "pointsman-gateway"


def own_address() -> str | None:
    """An address of this machine that an EndpointSlice may name: none of loopback's."""
    addresses = (each for of_one in psutil.net_if_addrs().values() for each in of_one)
    found = (each.address for each in addresses if each.family is socket.AF_INET)
    return next((each for each in found if not each.startswith(("127.", "169.254."))), None)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A running gateway that takes requests at `port`."""

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path
    port: int
    metrics: int

    def get(self, path: str, host: str = "any.example.com") -> tuple[int, str]:
        """Status and body of a request over a connection of its own; 0 where it was not answered."""
        return asked(self.port, path, host)

    def haproxy(self) -> tuple[int, ...]:
        """HAProxy's processes: the master, and the worker that takes new requests; while it loads, it is waited for."""
        return wait_for("HAProxy's master answers", self._haproxy)

    def _haproxy(self) -> tuple[int, ...]:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as master:
            master.connect(str(self.folder / "master.sock"))
            master.sendall(b"show proc\n")
            master.shutdown(socket.SHUT_WR)
            told = b"".join(iter(lambda: master.recv(65536), b"")).decode()
            return tuple(int(line.split()[0]) for line in told.splitlines() if line[:1].isdigit())[:2]
        return ()


def asked(port: int, path: str, host: str = "any.example.com", at: str = "127.0.0.1") -> tuple[int, str]:
    """Status and body of a request over a connection of its own; 0 where it was not answered."""
    connection = http.client.HTTPConnection(at, port, timeout=10)
    try:
        connection.request("GET", path, headers={"host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError as error:
        return 0, repr(error)
    finally:
        connection.close()


def installed(cluster: Cluster) -> None:
    """All of `manifests/gateway` in the cluster; no replica of its Deployment, whose image is not there."""
    cluster.kubectl("apply", "--server-side", "-k", str(MANIFESTS))
    cluster.kubectl("scale", f"deployment/{ACCOUNT}", "-n", NAMESPACE, "--replicas=0")


@contextmanager
def gateway(cluster: Cluster, folder: Path, before: Gateway | None = None) -> Iterator[Gateway]:
    """The gateway under its own role, with HAProxy up, and ended with the block; in the place of the one `before` it."""
    token = cluster.kubectl("create", "token", ACCOUNT, "-n", NAMESPACE, "--duration=4h").strip()
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"] = [{"name": "gateway", "user": {"token": token}}]
    document["contexts"][0]["context"]["user"] = "gateway"
    kubeconfig = folder / "gateway.kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(document))
    port, metrics = (before.port, before.metrics) if before is not None else free_ports(2)
    log = folder / "gateway.log"
    command = [sys.executable, "-m", "pointsman_operator.gateway", "--kubeconfig", str(kubeconfig)]
    command += ["--bind", f"127.0.0.1:{port}", "--metrics", f"127.0.0.1:{metrics}", "--folder", str(folder)]
    command += ["--leave-seconds", "0", "--drain-seconds", "2"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=dict(os.environ), stdout=output, stderr=output)
    running = Gateway(process=process, log=log, folder=folder, port=port, metrics=metrics)
    try:
        wait_for(f"HAProxy is up; its log is {log}", lambda: asked(metrics, "/healthz")[0] == 200)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


@dataclass
class Host:
    """A real HTTP server behind a route. Once `taken_over` it answers 503, as a graph's host does."""

    name: str
    address: str
    taken_over: bool = False
    served: int = 0
    on_request: Callable[[], None] = lambda: None
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def host(name: str, address: str) -> Iterator[Host]:
    """A server on a free port, ended with the block."""
    told = Host(name=name, address=address)

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet

        def do_GET(self) -> None:
            told.on_request()
            with told.lock:
                told.served += not told.taken_over
            body = told.name.encode()
            self.send_response(503 if told.taken_over else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A health check opens a connection and says nothing."""

    server = Quiet((address, 0), Answers)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def service(name: str, namespace: str, *hosts: Host) -> list[Object]:
    """A Service at port 80 with these endpoints."""
    metadata = {"name": name, "namespace": namespace}
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{place}",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": each.port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [each.address], "conditions": {"ready": True}}],
        }
        for place, each in enumerate(hosts)
    ]
    return [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}}, *slices]


def route(name: str, namespace: str, *rules: Object, hostnames: tuple[str, ...] = ()) -> Object:
    """An HTTPRoute of the Gateway `pointsman`."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "parentRefs": [{"name": "pointsman", "namespace": NAMESPACE}],
            **({"hostnames": list(hostnames)} if hostnames else {}),
            "rules": list(rules),
        },
    }


def rule(path: str, *backends: tuple[str, int], exact: bool = False) -> Object:
    """Requests for a path go to Services by weight."""
    return {
        "matches": [{"path": {"type": "Exact" if exact else "PathPrefix", "value": path}}],
        "backendRefs": [{"name": name, "port": 80, "weight": weight} for name, weight in backends],
    }
