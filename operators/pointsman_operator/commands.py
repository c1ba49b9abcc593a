"""What the commands of `pointsman` ask a cluster: the plug-in that `pointsman.cli.worlds` loads. All but `as_owner` read only."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from pointsman.api.decision_graph import DecisionGraph
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.worlds import Door, Place
from pointsman.explained import Verdict, conditions_of, explained, headed, standing
from pointsman.governance.keyring import KEY_HEADER
from pointsman.graphs.references import references
from pointsman_operator import names
from pointsman_operator.as_owner import run_as_owner
from pointsman_operator.cluster import look
from pointsman_operator.cluster.client import Cluster, ClusterError, NotFound, Refused
from pointsman_operator.explaining import graph_tree
from pointsman_operator.explaining.tree import explain
from pointsman_operator.graphs import upgrade
from pointsman_operator.graphs.installation import platform
from pointsman_operator.reading import Unreadable, read
from pointsman_operator.seen import (
    ACTION_TARGET,
    DECISION_GRAPH,
    EVENT_STREAM,
    FEATURE_VIEW,
    JOB,
    MODEL_DEPLOYMENT,
    SECRET,
    Installed,
    Kind,
    Seen,
)
from pointsman_operator.settings import SettingsError
from pointsman_operator.upgrade import changed_runtimes, restarts

T = TypeVar("T")

KINDS = {each.name: each for each in (EVENT_STREAM, FEATURE_VIEW, MODEL_DEPLOYMENT, ACTION_TARGET, DECISION_GRAPH)}


class Commands:
    """The cluster of a place, asked anew by each method. All raise Failure."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def objects(self, kind: str | None = None) -> list[dict[str, Any]]:
        """All objects of a kind, or of all of ours."""
        kinds = [_kind(kind)] if kind is not None else list(KINDS.values())

        async def ask(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
            found = await asyncio.gather(*(cluster.list(each, {}, namespace) for each in kinds))
            return [raw for items, _ in found for raw in items]

        return self._asked(ask, kinds[0], "")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        wanted = _kind(kind)

        async def ask(cluster: Cluster, namespace: str) -> dict[str, Any]:
            return dict(await cluster.read(wanted, namespace, name))

        return self._asked(ask, wanted, name)

    def explain(self, kind: str, name: str) -> dict[str, Any]:
        """Why an object is as it is."""
        wanted = _kind(kind)
        if wanted == DECISION_GRAPH:
            return self._asked(partial(_graph, name), wanted, name)
        if wanted != MODEL_DEPLOYMENT:
            return _by_conditions(wanted, self.get(kind, name))

        async def ask(cluster: Cluster, namespace: str) -> dict[str, Any]:
            seen: Seen = await look.at_one(cluster, namespace, name)
            return explain(seen, await look.at_logs(cluster, seen))

        return self._asked(ask, wanted, name)

    def door(self, service: str, key: str | None) -> Door:
        """The way to a Service of the namespace through the API server, which keeps the header Authorization to itself."""

        async def ask(cluster: Cluster, namespace: str) -> Door:
            shown = key or await _own_key(cluster, namespace)
            return Door(
                address=cluster.address_of(service, namespace),
                headers={**cluster.credentials(), KEY_HEADER: shown},
                trust=cluster.trust,
                service=f"{namespace}/{service}",
            )

        return self._asked(ask, SECRET, "")

    def as_owner(self, command: Sequence[str]) -> None:
        """Run a command as the owner of the namespace's store."""

        async def ask(cluster: Cluster, namespace: str) -> None:
            await run_as_owner(cluster, namespace, command)

        self._asked(ask, JOB, "")

    def restarts(self) -> list[dict[str, Any]]:
        """What this release would restart or make anew, of all namespaces."""

        async def ask(cluster: Cluster, _: str) -> list[dict[str, Any]]:
            everything = await look.at_everything(cluster)
            changed = changed_runtimes(everything.runtimes)
            made_with = platform(upgrade.told(everything.operators), Installed())
            found = [each for seen in everything.deployments for each in restarts(seen, changed)]
            found += [each for seen in everything.namespaces for each in upgrade.made_anew(seen, made_with)]
            return [asdict(each) for each in found]

        return self._asked(ask, MODEL_DEPLOYMENT, "")

    def _asked(self, ask: Callable[[Cluster, str], Awaitable[T]], kind: Kind, name: str) -> T:
        async def asking(cluster: Cluster) -> T:
            async with cluster:
                namespace = self._place.namespace or cluster.namespace
                try:
                    return await ask(cluster, namespace)
                except NotFound as error:
                    raise _not_found(error, kind, namespace, name) from error
                except ClusterError as error:
                    raise Failure(str(error), hint="kubectl, with the same options, says more") from error
                except SettingsError as error:
                    raise Failure(f"the operator's settings there: {error}") from error

        try:
            cluster = Cluster.configured(self._place.kubeconfig, self._place.context)
        except ClusterError as error:
            raise Failure(str(error)) from error
        return asyncio.run(asking(cluster))


async def _graph(name: str, cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Why a graph is as it is."""
    raw = await cluster.read(DECISION_GRAPH, namespace, name)
    graph = read(raw, DecisionGraph)
    named = () if isinstance(graph, Unreadable) else references(graph)
    seen = await look.at_namespace(cluster, namespace)
    return graph_tree.explain(seen, raw, named, await look.at_logs(cluster, seen))


async def _own_key(cluster: Cluster, namespace: str) -> str:
    """The key that the operator made for the namespace, for who may read Secrets."""
    try:
        secret = await cluster.read(SECRET, namespace, names.KEYS)
        return base64.b64decode(secret["data"]["adminKey"]).decode()
    except (NotFound, KeyError) as error:
        message = f'the namespace "{namespace}" has no API of ours: it has no Secret "{names.KEYS}" with an adminKey'
        hint = "a DecisionGraph or an ActionTarget there makes one: `pointsman get`; -n names another namespace"
        raise Failure(message, hint=hint, code=Exit.NOT_FOUND) from error
    except Refused as error:
        hint = "give --key or set POINTSMAN_API_KEY; who may read that Secret makes keys: `pointsman keys create NAME --role ROLE`"
        raise Failure(f"an API key is needed: {error}", hint=hint) from error


def _by_conditions(kind: Kind, raw: dict[str, Any]) -> dict[str, Any]:
    """What an object's own conditions say."""
    name, status = raw["metadata"]["name"], raw.get("status") or {}
    stands = standing(status, generation=raw["metadata"]["generation"])
    tree = headed(f"{kind.name}/{name}", stands, tuple(conditions_of(status)))
    more = "" if not stands.mark else f"kubectl describe {kind.name.lower()} {name} -n {raw['metadata']['namespace']}"
    return explained(tree, Verdict(reason=stands.reason, more=more))


def _not_found(error: NotFound, kind: Kind, namespace: str, name: str) -> Failure:
    """Either there is no such object, or the cluster does not know the kind."""
    if not name or f'"{name}"' not in str(error):
        hint = "kubectl apply -k manifests/ installs Pointsman"
        return Failure(f"the cluster has no {kind.plural}", hint=hint, code=Exit.NOT_FOUND)
    message = f'no {kind.name} is called "{name}" in the namespace "{namespace}"'
    hint = f"kubectl get {kind.plural} -A lists them; -n names another namespace"
    return Failure(message, hint=hint, code=Exit.NOT_FOUND)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        hint = f"of a cluster, these can be asked for: {', '.join(KINDS)}; kubectl shows the rest"
        raise Failure(f"{name} is no kind of ours", hint=hint, code=Exit.USAGE)
    return KINDS[name]
