"""Hosts a decision graph on Ray Serve: `python -m pointsman_serving.ray_host --config FILE`.

This process is Ray's driver. It starts a local Ray with Serve behind HAProxy, deploys the graph as one replica, the graph's
one writer, and ends when the graph cannot be served, so that whoever supervises it starts it again.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import psutil
import structlog

from pointsman.logs import log_as_json
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.ray_settings import apply_settings

log = structlog.get_logger()

OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Ray's least; no event goes through it."""
WATCH_SECONDS = 2.0
SILENT_SECONDS = 30.0
"""So long Serve's controller may be silent: where the node below it is gone, asking it waits for ever."""
CORE = ("raylet", "gcs_server")
"""Ray's processes that nothing starts again but a new start of this one."""


def serve(config: HostConfig) -> None:
    """Start Ray, deploy, and watch until the application fails or SIGTERM comes."""
    began = time.monotonic()
    folder = Path(config.ray_temp_dir or "/tmp/pm-ray")
    apply_settings(folder)
    os.environ.update(config.as_environment())  # as in a pod: secrets are in no configuration of Serve's
    import ray
    from ray import serve as ray_serve

    from pointsman_serving.ray_replica import application

    name = config.resolved.graph.metadata.name
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        num_cpus=max(2, _workers(config)),
        object_store_memory=OBJECT_STORE_BYTES,
        _temp_dir=str(folder),
    )
    ray_serve.start(proxy_location="HeadOnly", http_options={"host": config.host, "port": config.port})
    ray_serve.run(application(config.as_user_config()), name=name, route_prefix=f"/v1/graphs/{name}")
    log.info("serving", graph=name, port=config.port, seconds=round(time.monotonic() - began, 1))
    core = [each for each in psutil.Process().children() if each.name() in CORE]
    cause = why_it_ended(core, lambda: str(ray_serve.status().applications[name].status.value))
    log.error("the application failed", graph=name, cause=cause)
    os._exit(1)  # Ray's own goodbye may wait for what is dead; the supervisor clears away what is left


def why_it_ended(
    core: Sequence[psutil.Process],
    ask: Callable[[], str],
    *,
    every: float = WATCH_SECONDS,
    silent: float = SILENT_SECONDS,
) -> str:
    """Watch until the application cannot serve any more, and say why. `ask` gives its status and may block."""
    answers = [(time.monotonic(), "")]

    def asking() -> None:
        while True:
            answers[0] = (time.monotonic(), ask())
            time.sleep(every)

    thread = threading.Thread(target=asking, name="serve-status", daemon=True)
    thread.start()
    while True:
        when, status = answers[0]
        if status in {"DEPLOY_FAILED", "UNHEALTHY", "NOT_STARTED"}:
            return f"Serve says {status}"
        for each in core:
            if not each.is_running() or each.status() == psutil.STATUS_ZOMBIE:
                return f"{each.name()} ended"
        if not thread.is_alive() or time.monotonic() - when > silent:
            return "Serve's controller does not answer"
        time.sleep(every)


def _workers(config: HostConfig) -> int:
    workers = config.resolved.graph.spec.runtime.workers
    return (workers.max_replicas if workers is not None else None) or 2


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Exit without Serve's own shutdown, which takes half a minute; what was committed is committed."""
    sys.exit(0)


def main() -> None:
    """Read the configuration and serve."""
    parser = argparse.ArgumentParser(prog="pointsman_serving.ray_host", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the host's configuration, a JSON file")
    arguments = parser.parse_args()
    log_as_json()
    signal.signal(signal.SIGTERM, _stop)
    serve(HostConfig.read(arguments.config))


if __name__ == "__main__":
    main()
