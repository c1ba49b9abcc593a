"""The connection from a command to the API, with its failures in the words of the command line.

The address is `POINTSMAN_API`, or that of the home's gateway; the key is `POINTSMAN_API_KEY`, or the home's own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from pointsman.cli.connection import open_home
from pointsman.cli.errors import Exit, Failure

SECONDS = 30.0
WATCH_SECONDS = 2.0

CODES = {401: Exit.FAILED, 403: Exit.FAILED, 404: Exit.NOT_FOUND, 503: Exit.NOT_RUNNING}


class Api:
    """Asks the API; every method raises Failure."""

    def __init__(self) -> None:
        self.address, self.key = _address(), _key()

    def get(self, path: str, **query: object) -> Any:
        """GET; a query's None is left out."""
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """POST a JSON body."""
        return self._ask("POST", path, json=dict(body or {}))

    def delete(self, path: str, **query: object) -> Any:
        """DELETE."""
        return self._ask("DELETE", path, params={name: value for name, value in query.items() if value is not None})

    def graph(self, given: str | None) -> str:
        """The graph that a command is about: the one that is given, or the only one there is."""
        if given is not None:
            return given
        from pointsman.cli.connection import supervisor

        with supervisor() as client:
            names = [each["metadata"]["name"] for each in client.objects("DecisionGraph")]
        if len(names) != 1:
            known = ", ".join(names) or "none is applied"
            raise Failure("which graph?", hint=f"give --graph; there are: {known}", code=Exit.USAGE)
        return str(names[0])

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        import httpx2

        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            answer = httpx2.request(
                method, f"{self.address}{path}", headers=headers, timeout=SECONDS, trust_env=False, **more
            )
        except httpx2.HTTPError as error:
            raise Failure(
                f"the API does not answer at {self.address}: {error}",
                hint="`pointsman status` shows what runs; elsewhere set POINTSMAN_API",
                code=Exit.NOT_RUNNING,
            ) from error
        if answer.status_code >= 400:
            raise Failure(
                _said(answer), hint=_hint(answer.status_code), code=CODES.get(answer.status_code, Exit.FAILED)
            )
        return answer.json()


def watch(show: Callable[[], None], *, forever: bool) -> None:
    """Show once, or again and again until Ctrl-C."""
    from pointsman.cli.output import out

    show()
    while forever:
        time.sleep(WATCH_SECONDS)
        if out().is_terminal:
            out().clear()
        show()


def _said(answer: Any) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code} {answer.text[:200]}"


def _hint(status: int) -> str:
    if status in (401, 403):
        return "set POINTSMAN_API_KEY, or ask an admin: `pointsman keys create NAME --role ROLE`"
    return "try again in a moment" if status == 503 else ""


def _address() -> str:
    given = os.environ.get("POINTSMAN_API")
    if given:
        return given.rstrip("/")
    from pointsman.cli.connection import supervisor

    with supervisor() as client:
        for each in client.status()["components"]:
            if each["name"] == "pointsman-gateway" and each["address"]:
                return str(each["address"])
    raise Failure("the gateway is not up", hint="`pointsman status` says what is", code=Exit.NOT_RUNNING)


def _key() -> str | None:
    given = os.environ.get("POINTSMAN_API_KEY")
    if given:
        return given
    from pointsman.local.secrets import FIRST_KEY, SecretStore

    return SecretStore(open_home().secrets).get(*FIRST_KEY)
