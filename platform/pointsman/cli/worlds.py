"""Which world a command asks: the local runtime of the state folder, or a cluster; and the way to the API there.

A cluster is meant where an option names one (`--context`, `--namespace`, `--kubeconfig`), or the command runs as `kubectl
pointsman`; or where no local runtime runs and a kubeconfig is there. All that asks a cluster is a plug-in of its own, loaded
when it is needed: the entry point `cluster` of the group `pointsman.worlds`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from pointsman.cli.connection import is_running, supervisor
from pointsman.cli.errors import Exit, Failure

if TYPE_CHECKING:
    import ssl

GROUP, CLUSTER = "pointsman.worlds", "cluster"

Context = Annotated[
    str | None, typer.Option(help="The kubeconfig's context.  [default: its current one]", metavar="NAME")
]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", help="The namespace.  [default: the context's]", metavar="NAME")
]
Kubeconfig = Annotated[
    str | None, typer.Option(help="The kubeconfig.  [default: $KUBECONFIG or ~/.kube/config]", metavar="FILE")
]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where on a cluster; None is what the kubeconfig says."""

    context: str | None = None
    namespace: str | None = None
    kubeconfig: str | None = None


@dataclass(frozen=True, kw_only=True)
class Door:
    """The way to a server: what stands before each path, headers that let in, and what TLS trusts.

    `service` (namespace/name) is whose door it is on a cluster, to which the API server leads; elsewhere it is empty.
    """

    address: str
    headers: Mapping[str, str]
    trust: ssl.SSLContext | bool = True
    service: str = ""


class World(Protocol):
    """What can be asked of both worlds. Raises Failure."""

    def objects(self, kind: str | None = None) -> list[dict[str, Any]]:
        """All objects of a kind, or of all kinds."""

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""

    def explain(self, kind: str, name: str) -> dict[str, Any]:
        """Why an object is as it is: `pointsman.explained`."""


class ClusterWorld(World, Protocol):
    """What the plug-in offers: made of a Place."""

    def restarts(self) -> list[dict[str, Any]]:
        """What this release would restart: `deployment`, `namespace`, `revision`, `pods`, `because`."""

    def as_owner(self, command: Sequence[str]) -> None:
        """Run a command in the graph image as the owner of the namespace's store."""

    def door(self, service: str, key: str | None) -> Door:
        """The way to a Service of the namespace with an API key; the namespace's own where none is given."""


@contextmanager
def world(place: Place) -> Iterator[World]:
    """The world that is meant."""
    if is_on_a_cluster(place):
        yield cluster(place)
    else:
        with supervisor() as client:
            yield client


def is_on_a_cluster(place: Place) -> bool:
    """Whether a cluster is meant."""
    return is_named(place) or (not is_running() and has_kubeconfig())


def is_named(place: Place) -> bool:
    """Whether a cluster is asked for in so many words."""
    return place != Place() or runs_as_plugin()


def cluster(place: Place) -> ClusterWorld:
    """A cluster. Raises Failure where this installation cannot ask one."""
    from importlib.metadata import entry_points

    try:
        (plugin,) = entry_points(group=GROUP, name=CLUSTER)
        made: ClusterWorld = plugin.load()(place)
    except (ValueError, ImportError) as error:
        raise Failure(
            f"this installation asks no cluster: {error}", hint="pip install 'pointsman[operator]'"
        ) from error
    return made


def runs_as_plugin() -> bool:
    """Whether kubectl runs this: it then means a cluster, always."""
    return Path(sys.argv[0]).name.startswith("kubectl-")


def has_kubeconfig() -> bool:
    """Whether a kubeconfig is where kubectl looks for it."""
    named = [each for each in os.environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    return any(Path(each).is_file() for each in named or [str(Path.home() / ".kube" / "config")])


def object_of(what: str, name: str | None) -> tuple[str, str] | None:
    """The kind and the name that `KIND/NAME` or `KIND NAME` mean; None where it is no object. Raises Failure."""
    from difflib import get_close_matches

    from pointsman.cli.objects import KINDS, kind_of

    if name is not None:
        return kind_of(what), name
    word, slash, rest = what.partition("/")
    words = [each for kind, others in KINDS.items() for each in (kind.lower(), *others)]
    if word.lower() not in words and not (slash and get_close_matches(word.lower(), words)):
        return None  # an event's id may hold a slash too
    kind = kind_of(word)
    if not rest:
        raise Failure(f"which {kind}?", hint=f"name it: {word}/NAME", code=Exit.USAGE)
    return kind, rest
