"""What the test image runs: answers every GET with the pod's name and `VERSION`; `/die` ends it."""

from __future__ import annotations

import http.server
import os
import socket


class Answer(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Answer, or end the process as a crash would."""
        if self.path == "/die":
            os._exit(3)
        body = f"host={socket.gethostname()} version={os.environ.get('VERSION', '0')} path={self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Answer).serve_forever()
