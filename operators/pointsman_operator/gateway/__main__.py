"""Runs the development gateway: `python -m pointsman_operator.gateway [--kubeconfig FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from pointsman.logs import log_as_json
from pointsman_operator.cluster.client import Cluster, ClusterError
from pointsman_operator.gateway.gateway import Gateway, Settings

log = structlog.get_logger()


async def serve(kubeconfig: str | None, settings: Settings, *, leave_seconds: float, drain_seconds: float) -> int:
    """Serve until SIGTERM; 1 where it has ended by itself. Raises ClusterError where no cluster is configured."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Cluster.configured(kubeconfig) as cluster:
        gateway = Gateway(cluster, settings)
        running, waiting = asyncio.create_task(gateway.run()), asyncio.create_task(stopped.wait())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await asyncio.sleep(
                leave_seconds
            )  # who was told of this address is told that it goes; until then it serves
        for task in (running, waiting):
            task.cancel()
        [ended, _] = await asyncio.gather(running, waiting, return_exceptions=True)
        await gateway.stop(drain_seconds)
    if isinstance(ended, Exception):
        log.error("ended", error=repr(ended))
        return 1
    return 0


def main() -> int:
    """Serve; 1 where it cannot, or must not go on."""
    parser = argparse.ArgumentParser(prog="pointsman_operator.gateway", description=__doc__)
    parser.add_argument("--kubeconfig", help="the cluster's kubeconfig  [default: the pod's own, else KUBECONFIG]")
    parser.add_argument("--bind", default=":8080", help="where requests are taken  [default: %(default)s]")
    parser.add_argument("--metrics", default=":8404", help="Prometheus metrics and /healthz  [default: %(default)s]")
    parser.add_argument(
        "--service",
        default="pointsman-system/pointsman-gateway",
        help="the Service that leads here: its address is the Gateways'  [default: %(default)s]",
    )
    parser.add_argument(
        "--port", type=int, default=80, help="the Service's, and the listeners'  [default: %(default)s]"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("/run/pointsman-gateway"), help="HAProxy's files  [default: %(default)s]"
    )
    parser.add_argument(
        "--leave-seconds", type=float, default=5.0, help="served on after SIGTERM  [default: %(default)s]"
    )
    parser.add_argument(
        "--drain-seconds", type=float, default=30.0, help="for requests that are under way then  [default: %(default)s]"
    )
    options = parser.parse_args()
    log_as_json()
    namespace, _, name = options.service.partition("/")
    options.folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        bind=options.bind,
        metrics=options.metrics,
        service=(namespace, name),
        port=options.port,
        folder=options.folder,
    )
    try:
        return asyncio.run(
            serve(
                options.kubeconfig,
                settings,
                leave_seconds=options.leave_seconds,
                drain_seconds=options.drain_seconds,
            )
        )
    except (ClusterError, OSError) as error:
        log.error("the gateway cannot run", error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
