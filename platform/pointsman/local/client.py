"""A client of the supervisor's control socket, for the command line and the demo."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx2

from pointsman.local.home import Home

POLL_SECONDS = 0.3


class NotRunning(Exception):
    """No supervisor answers in this home."""


class ControlError(Exception):
    """The supervisor refused: its message, what to do, and the HTTP status."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.hint = status, hint


class ControlClient:
    """Asks the supervisor of one home, by a connection for each question. The methods raise NotRunning or ControlError."""

    def __init__(self, home: Home) -> None:
        self._socket = str(home.control_socket)

    def is_running(self) -> bool:
        """Whether a supervisor listens. It alone raises nothing."""
        try:
            self._knock()
        except OSError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """`ready`, `waitingFor` (what is not, first), `components` (processes) and `objects`."""
        return self._ask("GET", "/v1/status")

    def apply(self, documents: Sequence[dict[str, Any]], *, dry_run: bool = False) -> list[dict[str, str]]:
        """Apply documents; kind, name and result of each."""
        answer = self._ask("POST", "/v1/apply", json={"documents": list(documents), "dryRun": dry_run})
        results: list[dict[str, str]] = answer["results"]
        return results

    def objects(self, kind: str | None = None) -> list[dict[str, Any]]:
        """All objects, or those of a kind."""
        items: list[dict[str, Any]] = self._ask("GET", "/v1/objects", params={"kind": kind} if kind else {})["items"]
        return items

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        return self._ask("GET", f"/v1/objects/{kind}/{name}")

    def delete(self, kind: str, name: str, *, force: bool = False) -> None:
        """Delete one object."""
        self._ask("DELETE", f"/v1/objects/{kind}/{name}", params={"force": str(force).lower()})

    def explain(self, kind: str, name: str) -> dict[str, Any]:
        """Why an object is as it is."""
        return self._ask("GET", f"/v1/explain/{kind}/{name}")

    def explain_decision(self, wanted: str) -> dict[str, Any]:
        """Everything behind a decision."""
        return self._ask("GET", f"/v1/explain/decisions/{wanted}")

    def logs(self) -> list[dict[str, str]]:
        """Name and path of each log there is."""
        found: list[dict[str, str]] = self._ask("GET", "/v1/logs")["logs"]
        return found

    def down(self) -> None:
        """Tell the supervisor to stop; it answers at once and then stops everything."""
        self._ask("POST", "/v1/down")

    def wait_ready(
        self,
        seconds: float,
        on_change: Callable[[str], None] = lambda text: None,
        *,
        lives: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Wait until everything is Ready; False when the time is over. Tells what it waits for, when that changes.

        While nobody answers it goes on waiting as long as `lives` says that somebody will; else it raises NotRunning.
        """
        deadline, told = time.monotonic() + seconds, None
        while True:
            try:
                state = self.status()
            except NotRunning:
                if not lives():
                    raise
                state = {"ready": False, "waitingFor": "the supervisor"}
            if state["ready"]:
                return True
            if state["waitingFor"] != told:
                told = state["waitingFor"]
                on_change(f"waiting for {told}")
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL_SECONDS, left))

    def _knock(self) -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(self._socket)

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            self._knock()
            transport = httpx2.HTTPTransport(uds=self._socket, verify=False, trust_env=False)
            with httpx2.Client(transport=transport, base_url="http://pointsman", timeout=60) as client:
                response = client.request(method, path, **arguments)
        except (OSError, httpx2.TransportError) as error:
            raise NotRunning(str(error)) from error
        try:
            body = response.json()
        except ValueError as error:
            message = f"no sense in the supervisor's answer: HTTP {response.status_code}"
            raise ControlError(response.status_code, message) from error
        if response.status_code < 400:
            answer: dict[str, Any] = body
            return answer
        if "errors" in body:
            first = body["errors"][0]
            more = f" (and {len(body['errors']) - 1} more)" if len(body["errors"]) > 1 else ""
            raise ControlError(response.status_code, first["message"] + more, first.get("hint", ""))
        raise ControlError(response.status_code, body.get("error", response.text), body.get("hint", ""))
