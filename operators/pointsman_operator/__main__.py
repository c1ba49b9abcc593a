"""Runs the operator: `python -m pointsman_operator [--kubeconfig FILE]`. Its settings are its environment: settings.py."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from datetime import timedelta
from typing import NoReturn

import structlog
import uvloop
from prometheus_client import REGISTRY

from pointsman.logs import log_as_json
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman_operator import health
from pointsman_operator.cluster.client import Cluster, ClusterError
from pointsman_operator.cluster.lease import Lease
from pointsman_operator.measures import Measures
from pointsman_operator.operator import Operator
from pointsman_operator.serving import Server
from pointsman_operator.settings import Settings, SettingsError, settings
from pointsman_operator.webhook import server as webhook
from pointsman_operator.webhook.renewal import Renewal

log = structlog.get_logger()


async def operate(cluster: Cluster, told: Settings) -> int:
    """Follow, lead, reconcile, until SIGTERM; 1 where the lease was lost, so that whoever supervises starts it anew."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    identity = f"{socket.gethostname()}-{os.getpid()}"
    lease = Lease(cluster, namespace=told.namespace, identity=identity, seconds=told.lease_seconds)
    with MlflowRegistry(told.registry_url) as registry:
        leads = lambda: lease.is_held or not told.leader_election  # noqa: E731
        operator, renewal = Operator(cluster, registry, told, leads=leads), _renewal(cluster, told)
        REGISTRY.register(Measures(operator))
        is_ready = lambda: operator.is_known and renewal.is_serving.is_set()  # noqa: E731
        metrics = Server("metrics", health.app(is_ready=is_ready), port=told.metrics_port)
        reviews = Server("webhook", webhook.app(), port=told.webhook_port, context=renewal.context)
        following = asyncio.create_task(operator.follow(), name="follow")
        leading = asyncio.create_task(_lead(operator, lease, told), name="lead")
        renewing = asyncio.create_task(renewal.run(), name="renew")
        waiting = asyncio.create_task(stopped.wait(), name="stop")
        tasks = (leading, following, renewing, waiting)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        if told.leader_election:
            await lease.release()
        await metrics.stop()
        await reviews.stop()
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


def _renewal(cluster: Cluster, told: Settings) -> Renewal:
    return Renewal(
        cluster,
        namespace=told.namespace,
        host=told.webhook_host.format(namespace=told.namespace),
        lifetime=timedelta(seconds=told.webhook_certificate_seconds),
    )


async def start(kubeconfig: str | None, told: Settings) -> NoReturn:
    """The operator of the configured cluster, to the end of the process. Raises ClusterError where no cluster is configured."""
    async with Cluster.configured(kubeconfig) as cluster:
        ended = await operate(cluster, told)
    os._exit(ended)  # all is closed but threads that ask a registry: one that hangs would keep the process for minutes


def main() -> int:
    """Operate; 1 where it cannot, or must not go on; 2 where a setting is wrong."""
    parser = argparse.ArgumentParser(prog="pointsman_operator", description=__doc__)
    parser.add_argument("--kubeconfig", help="the cluster's kubeconfig  [default: the pod's own, else KUBECONFIG]")
    options = parser.parse_args()
    log_as_json()
    try:
        uvloop.run(start(options.kubeconfig, settings()))
    except SettingsError as error:
        parser.error(str(error))
    except (ClusterError, OSError) as error:
        log.error("the operator cannot run", error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
