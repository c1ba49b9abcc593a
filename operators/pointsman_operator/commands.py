"""What the commands of `pointsman` ask a cluster: the plug-in that `pointsman.cli.worlds` loads. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from pointsman.cli.errors import Exit, Failure
from pointsman.cli.worlds import Place
from pointsman_operator.cluster import look
from pointsman_operator.cluster.client import Cluster, ClusterError, NotFound
from pointsman_operator.explaining.tree import explain
from pointsman_operator.seen import MODEL_DEPLOYMENT, Seen
from pointsman_operator.upgrade import changed_runtimes, restarts

T = TypeVar("T")


class Commands:
    """The cluster of a place, asked anew by each method. All raise Failure."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object."""
        _check(kind)

        async def ask(cluster: Cluster, namespace: str) -> dict[str, Any]:
            return dict(await cluster.read(MODEL_DEPLOYMENT, namespace, name))

        return self._asked(ask, name)

    def explain(self, kind: str, name: str) -> dict[str, Any]:
        """Why an object is as it is."""
        _check(kind)

        async def ask(cluster: Cluster, namespace: str) -> dict[str, Any]:
            seen: Seen = await look.at_one(cluster, namespace, name)
            return explain(seen, await look.at_logs(cluster, seen))

        return self._asked(ask, name)

    def restarts(self) -> list[dict[str, Any]]:
        """What this release would restart, of all namespaces."""

        async def ask(cluster: Cluster, _: str) -> list[dict[str, Any]]:
            everything = await look.at_everything(cluster)
            changed = changed_runtimes(everything.runtimes)
            return [asdict(each) for seen in everything.deployments for each in restarts(seen, changed)]

        return self._asked(ask, "")

    def _asked(self, ask: Callable[[Cluster, str], Awaitable[T]], name: str) -> T:
        async def asking(cluster: Cluster) -> T:
            async with cluster:
                namespace = self._place.namespace or cluster.namespace
                try:
                    return await ask(cluster, namespace)
                except NotFound as error:
                    raise _not_found(error, namespace, name) from error
                except ClusterError as error:
                    raise Failure(str(error), hint="kubectl, with the same options, says more") from error

        try:
            cluster = Cluster.configured(self._place.kubeconfig, self._place.context)
        except ClusterError as error:
            raise Failure(str(error)) from error
        return asyncio.run(asking(cluster))


def _not_found(error: NotFound, namespace: str, name: str) -> Failure:
    """Either there is no such object, or the cluster does not know the kind."""
    if f'"{name}"' not in str(error):
        message, hint = (
            f"the cluster has no {MODEL_DEPLOYMENT.plural}",
            "kubectl apply -k manifests/ installs Pointsman",
        )
        return Failure(message, hint=hint, code=Exit.NOT_FOUND)
    message = f'no {MODEL_DEPLOYMENT.name} is called "{name}" in the namespace "{namespace}"'
    hint = f"kubectl get {MODEL_DEPLOYMENT.plural} -A lists them; -n names another namespace"
    return Failure(message, hint=hint, code=Exit.NOT_FOUND)


def _check(kind: str) -> None:
    if kind != MODEL_DEPLOYMENT.name:
        message = f"a cluster has no {kind} of ours yet"
        raise Failure(message, hint="of a cluster, a ModelDeployment can be asked for", code=Exit.USAGE)
