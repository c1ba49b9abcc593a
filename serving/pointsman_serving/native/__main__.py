"""Serves one pinned model: `python -m pointsman_serving.native --model-dir DIR --digest sha256:… --name NAME …`."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path

import grpc
import structlog
import uvicorn

from pointsman.models.artifact import ArtifactRefused, open_artifact
from pointsman.models.session import ProbeFailed
from pointsman_serving.logs import log_as_json
from pointsman_serving.native.http import HttpApp
from pointsman_serving.native.model import NAME, ServedModel
from pointsman_serving.native.rpc import MESSAGE_BYTES, RpcService

log = structlog.get_logger()

GRACE_SECONDS = 10


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="pointsman_serving.native", description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="the pinned model's folder")
    parser.add_argument("--digest", required=True, help="what the folder's digest must be")
    parser.add_argument("--name", required=True, help="the model's name in the protocol")
    parser.add_argument("--version", default="1", help="the model's version  [default: 1]")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen  [default: 127.0.0.1]")
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--grpc-port", type=int, required=True)
    parser.add_argument("--max-batch-size", type=int, default=16384, help="rows a request  [default: 16384]")
    parsed = parser.parse_args()
    if not re.match(NAME, parsed.name):
        parser.error(f"--name: {parsed.name!r} does not match {NAME}")
    return parsed


async def serve(options: argparse.Namespace) -> None:
    """Listen at once, be ready once the model has answered its example, stop on SIGTERM after what is in flight."""
    artifact = open_artifact(options.model_dir, expected_digest=options.digest)
    model = ServedModel(artifact, name=options.name, version=options.version, max_batch_size=options.max_batch_size)
    rpc = grpc.aio.server(
        options=[("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
    )
    rpc.add_generic_rpc_handlers((RpcService(model).handler(),))
    rpc.add_insecure_port(f"{options.host}:{options.grpc_port}")
    await rpc.start()
    model.probe()
    log.info(
        "ready",
        model=model.name,
        version=model.version,
        digest=artifact.digest,
        example_is_given=artifact.example_is_given,
        batch_invariant=model.probed.batch_invariant if model.probed else None,
    )
    await uvicorn.Server(
        uvicorn.Config(
            HttpApp(model),
            host=options.host,
            port=options.http_port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    ).serve()
    await rpc.stop(GRACE_SECONDS)


def main() -> int:
    """Serve; 1 where the model is refused or does not answer its example."""
    options = arguments()
    log_as_json()
    try:
        asyncio.run(serve(options))
    except (ArtifactRefused, ProbeFailed) as error:
        log.error("the model cannot be served", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
