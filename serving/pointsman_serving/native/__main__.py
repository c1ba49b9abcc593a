"""Serves one pinned model: `python -m pointsman_serving.native --model-dir DIR --digest sha256:… --name NAME …`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import grpc
import structlog
import uvicorn
import uvloop

from pointsman.logs import log_as_json
from pointsman.models.artifact import ArtifactRefused
from pointsman.models.session import ProbeFailed
from pointsman_serving.native.http import HttpApp
from pointsman_serving.native.model import NAME, VERSION, ServedModel
from pointsman_serving.native.rpc import MESSAGE_BYTES, RpcService
from pointsman_serving.native.web import GRACE_SECONDS, listen, settings

log = structlog.get_logger()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="pointsman_serving.native", description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="the pinned model's folder")
    parser.add_argument("--digest", required=True, help="what the folder's digest must be")
    parser.add_argument("--name", required=True, help="the model's name in the protocol")
    parser.add_argument("--version", default="1", help="the model's version  [default: 1]")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen  [default: 127.0.0.1]")
    parser.add_argument("--http-port", type=int, required=True, help="0 takes a free one, which the log names")
    parser.add_argument("--grpc-port", type=int, required=True, help="0 takes a free one, which the log names")
    parser.add_argument("--max-batch-size", type=int, default=16384, help="rows a request  [default: 16384]")
    parsed = parser.parse_args()
    for option, pattern in (("name", NAME), ("version", VERSION)):
        if not pattern.fullmatch(getattr(parsed, option)):
            parser.error(f"--{option}: {getattr(parsed, option)!a} does not match {pattern.pattern}")
    if parsed.max_batch_size < 1:
        parser.error(f"--max-batch-size: {parsed.max_batch_size} is less than 1")
    return parsed


async def serve(options: argparse.Namespace) -> None:
    """Listen at once, be ready once the model has answered its example, stop on SIGTERM after what is in flight.

    Raises ArtifactRefused, ProbeFailed, or OSError where a port is taken.
    """
    model = ServedModel(name=options.name, version=options.version, max_batch_size=options.max_batch_size)
    listening = listen(options.host, options.http_port)
    rpc = grpc.aio.server(options=[("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)])
    rpc.add_generic_rpc_handlers((RpcService(model).handler(),))
    try:
        grpc_port = rpc.add_insecure_port(f"{options.host}:{options.grpc_port}")
    except RuntimeError as error:
        raise OSError(f"gRPC cannot listen on {options.host}:{options.grpc_port}") from error
    await rpc.start()
    web = uvicorn.Server(settings(HttpApp(model)))
    web.capture_signals = nullcontext  # it would end the process by the signal, before gRPC has finished
    serving = asyncio.create_task(web.serve(sockets=[listening]))
    log.info("listening", host=options.host, http_port=listening.getsockname()[1], grpc_port=grpc_port)
    stopped = asyncio.Event()

    def stop() -> None:
        model.leave()
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await _load(model, options)
        await stopped.wait()
        log.info("stopping", model=model.name)
    finally:
        web.should_exit = True
        await asyncio.gather(serving, rpc.stop(GRACE_SECONDS))


async def _load(model: ServedModel, options: argparse.Namespace) -> None:
    loaded = await asyncio.to_thread(model.load, options.model_dir, options.digest)
    log.info(
        "ready",
        model=model.name,
        version=model.version,
        digest=loaded.artifact.digest,
        example_is_given=loaded.artifact.example_is_given,
        batch_invariant=loaded.probe.batch_invariant,
    )


def main() -> int:
    """Serve; 1 where the model is refused or does not answer its example, or a port is taken."""
    options = arguments()
    log_as_json()
    try:
        uvloop.run(serve(options))
    except (ArtifactRefused, ProbeFailed, OSError) as error:
        log.error("the model cannot be served", model=options.name, error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
