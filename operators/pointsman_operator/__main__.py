"""Runs the operator: `python -m pointsman_operator [--kubeconfig FILE]`. Its settings are its environment: settings.py."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from contextlib import nullcontext

import structlog
import uvicorn
import uvloop

from pointsman.logs import log_as_json
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman_operator import health
from pointsman_operator.cluster.client import Cluster, ClusterError
from pointsman_operator.cluster.lease import Lease
from pointsman_operator.operator import Operator
from pointsman_operator.settings import RELEASE, Settings, SettingsError, settings

log = structlog.get_logger()


async def operate(cluster: Cluster, told: Settings) -> int:
    """Follow, lead, reconcile, until SIGTERM; 1 where the lease was lost, so that whoever supervises starts it anew."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    identity = f"{socket.gethostname()}-{os.getpid()}"
    lease = Lease(cluster, namespace=told.namespace, identity=identity, seconds=told.lease_seconds)
    with MlflowRegistry(told.registry_url) as registry:
        operator = Operator(cluster, registry, told)
        listening = socket.create_server(("", told.metrics_port))
        log.info("listening", port=listening.getsockname()[1], release=RELEASE)
        web = uvicorn.Server(
            uvicorn.Config(
                health.app(is_ready=lambda: operator.caches.is_known), log_config=None, access_log=False, lifespan="off"
            )
        )
        web.capture_signals = nullcontext  # it would end the process before the lease is released
        serving = asyncio.create_task(web.serve(sockets=[listening]), name="metrics")
        following = asyncio.create_task(operator.follow(), name="follow")
        leading = asyncio.create_task(_lead(operator, lease, told), name="lead")
        waiting = asyncio.create_task(stopped.wait(), name="stop")
        await asyncio.wait({following, leading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        for task in (leading, following, waiting):
            task.cancel()
        ended = await asyncio.gather(leading, following, waiting, return_exceptions=True)
        if told.leader_election:
            await lease.release()
        web.should_exit = True
        await serving
    troubles = [each for each in ended if isinstance(each, Exception)]
    for trouble in troubles:
        log.error("ended", error=repr(trouble))
    return 0 if stopped.is_set() and not troubles else 1


async def _lead(operator: Operator, lease: Lease, told: Settings) -> None:
    """Work while this replica leads; returns when it does not any more."""
    if not told.leader_election:
        await operator.work()
        return
    await lease.acquire()
    working = asyncio.create_task(operator.work(), name="work")
    keeping = asyncio.create_task(lease.keep(), name="lease")
    try:
        await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, keeping):
            task.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)


async def start(kubeconfig: str | None, told: Settings) -> int:
    """The operator of the configured cluster. Raises ClusterError where none is."""
    async with Cluster.configured(kubeconfig) as cluster:
        return await operate(cluster, told)


def main() -> int:
    """Operate; 1 where it cannot, or must not go on; 2 where a setting is wrong."""
    parser = argparse.ArgumentParser(prog="pointsman_operator", description=__doc__)
    parser.add_argument("--kubeconfig", help="the cluster's kubeconfig  [default: the pod's own, else KUBECONFIG]")
    options = parser.parse_args()
    log_as_json()
    try:
        return uvloop.run(start(options.kubeconfig, settings()))
    except SettingsError as error:
        parser.error(str(error))
    except (ClusterError, OSError) as error:
        log.error("the operator cannot run", error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
