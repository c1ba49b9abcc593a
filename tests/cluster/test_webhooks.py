"""A webhook that a test runs on this machine is asked by the cluster's API server, in either world."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import workloads, yours
from harness.cluster import Cluster, KubectlFailed
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="your cluster may not reach this machine"),
]


class Refuses(http.server.BaseHTTPRequestHandler):
    """Refuses whatever it is asked about."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refusal = {"uid": asked["request"]["uid"], "allowed": False, "status": {"message": "refused by the test"}}
        body = json.dumps({**asked, "response": refusal}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing: pytest's output is not its log."""


@contextmanager
def webhook(cluster: Cluster) -> Iterator[str]:
    """The URL of a webhook that refuses, at the address this cluster reaches."""
    assert cluster.host
    assert cluster.webhook
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cluster.webhook.certificate, cluster.webhook.key)
    with http.server.ThreadingHTTPServer((cluster.host, 0), Refuses) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://{cluster.host}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("world", ["simulated", "real_node"])
def test_a_webhook_on_this_machine_can_refuse_an_object(request: pytest.FixtureRequest, world: str) -> None:
    cluster: Cluster = request.getfixturevalue(world)
    namespace: str = request.getfixturevalue("namespace")
    assert cluster.webhook

    with webhook(cluster) as url:
        bundle = base64.b64encode(cluster.webhook.authority.read_bytes()).decode()
        cluster.apply(workloads.refusing(namespace, url, bundle))

        def refused() -> bool:
            try:
                cluster.kubectl("create", "configmap", "any", "-n", namespace, "--dry-run=server")
            except KubectlFailed as refusal:
                return "refused by the test" in str(refusal)
            return False

        wait_for("the webhook is asked", refused)
        cluster.kubectl("delete", "validatingwebhookconfiguration", namespace)
