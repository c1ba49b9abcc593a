"""The connection from a command to the API, with its failures in the words of the command line.

Which API, in this order: that of the cluster that options or `kubectl pointsman` name; the address in `POINTSMAN_API`; that of
the running home's gateway; that of the kubeconfig's cluster. A cluster's is reached through its API server, by whoever may
reach the Service there (`services/proxy`), so that nothing of it needs an address outside. The key is `--key`,
`POINTSMAN_API_KEY`, or the world's own for who may read that.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any

import typer

from pointsman.cli.connection import open_home, supervisor
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.worlds import Context, Door, Kubeconfig, Namespace, Place, cluster, is_named, is_on_a_cluster, world

SECONDS = 30.0
WATCH_SECONDS = 2.0

CODES = {401: Exit.FAILED, 403: Exit.FAILED, 404: Exit.NOT_FOUND, 503: Exit.NOT_RUNNING}
SERVICE = "pointsman-api"
"""The API's, in a namespace of a cluster"""

Key = Annotated[
    str | None,
    typer.Option(
        help="The API key.  [default: $POINTSMAN_API_KEY, or the home's or the namespace's own]", metavar="KEY"
    ),
]


class Api:
    """Asks the API; every method raises Failure."""

    def __init__(self, place: Place, key: str | None) -> None:
        self._place, self._key = place, key or os.environ.get("POINTSMAN_API_KEY")

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
        with world(self._place) as asked:
            names = [each["metadata"]["name"] for each in asked.objects("DecisionGraph")]
        if len(names) != 1:
            known = ", ".join(names) or "none is applied"
            raise Failure("which graph?", hint=f"give --graph; there are: {known}", code=Exit.USAGE)
        return str(names[0])

    def door(self, service: str) -> Door:
        """The way to a Service of a cluster; elsewhere there is one address for all."""
        given = os.environ.get("POINTSMAN_API")
        if is_named(self._place) or (not given and is_on_a_cluster(self._place)):
            return cluster(self._place).door(service, self._key)
        key = self._key or _own_key()
        return Door(
            address=given.rstrip("/") if given else _gateway(),
            headers={"authorization": f"Bearer {key}"} if key else {},
        )

    @cached_property
    def _door(self) -> Door:
        return self.door(SERVICE)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        import httpx2

        door = self._door
        try:
            answer = httpx2.request(
                method,
                f"{door.address}{path}",
                headers=dict(door.headers),
                verify=door.trust,
                timeout=SECONDS,
                trust_env=False,
                **more,
            )
        except httpx2.HTTPError as error:
            here = "`pointsman status` shows what runs; elsewhere set POINTSMAN_API"
            hint = "kubectl, with the same options, says more" if door.service else here
            message = f"the API does not answer at {door.address}: {error}"
            raise Failure(message, hint=hint, code=Exit.NOT_RUNNING) from error
        if answer.status_code >= 400:
            raise failure(answer.status_code, answer.text, door)
        return answer.json()


def of_the_api(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is the API, with options that say whose, and with which key."""

    def run(
        *,
        namespace: Namespace = None,
        context: Context = None,
        kubeconfig: Kubeconfig = None,
        key: Key = None,
        **others: Any,
    ) -> None:
        command(Api(Place(context=context, namespace=namespace, kubeconfig=kubeconfig), key), **others)

    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    *options, _ = inspect.signature(run, eval_str=True).parameters.values()
    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *options)]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]  # what Typer makes the options of
    run.__annotations__ = {each.name: each.annotation for each in keywords}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def failure(status: int, body: str, door: Door) -> Failure:
    """What an answer that is an error comes to: the API's own, or that of the API server before it."""
    import orjson

    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    if door.service and told.get("kind") == "Status":
        return _on_the_way(status, str(told.get("message")), door)
    said = str(told["error"]) if "error" in told else f"HTTP {status} {body[:200]}"
    return Failure(said, hint=_hint(status), code=CODES.get(status, Exit.FAILED))


def watch(show: Callable[[], None], *, forever: bool) -> None:
    """Show once, or again and again until Ctrl-C."""
    from pointsman.cli.output import out

    show()
    while forever:
        time.sleep(WATCH_SECONDS)
        if out().is_terminal:
            out().clear()
        show()


def _on_the_way(status: int, message: str, door: Door) -> Failure:
    """Why the API server did not lead to the Service."""
    namespace, _, service = door.service.partition("/")
    code = CODES.get(status, Exit.FAILED)
    if status == 404:
        hint = "a DecisionGraph or an ActionTarget there makes one: `pointsman get`; -n names another namespace"
        return Failure(f'the namespace "{namespace}" has no Service "{service}"', hint=hint, code=code)
    if status == 403:
        hint = f'the ClusterRole "pointsman-reviewer", bound in "{namespace}", may; so may "edit". A key says the rest'
        return Failure(message, hint=hint, code=code)
    if status == 503:
        hint = f"kubectl get pods -n {namespace} says what runs; a NetworkPolicy may keep the API server from it"
        return Failure(f'the Service "{service}" in "{namespace}" does not answer: {message}', hint=hint, code=code)
    return Failure(message, hint="kubectl, with the same options, says more", code=code)


def _hint(status: int) -> str:
    if status in (401, 403):
        return "give --key or set POINTSMAN_API_KEY, or ask an admin: `pointsman keys create NAME --role ROLE`"
    return "try again in a moment" if status == 503 else ""


def _gateway() -> str:
    with supervisor() as client:
        for each in client.status()["components"]:
            if each["name"] == "pointsman-gateway" and each["address"]:
                return str(each["address"])
    raise Failure("the gateway is not up", hint="`pointsman status` says what is", code=Exit.NOT_RUNNING)


def _own_key() -> str | None:
    from pointsman.local.secrets import FIRST_KEY, SecretStore

    return SecretStore(open_home().secrets).get(*FIRST_KEY)
