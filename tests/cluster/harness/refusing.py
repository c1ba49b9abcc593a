"""A webhook of this machine that refuses whatever it is asked about."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from harness.cluster import Cluster


class Refuses(http.server.BaseHTTPRequestHandler):
    """Refuses whatever it is asked about."""

    def do_POST(self) -> None:
        """Say no."""
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
