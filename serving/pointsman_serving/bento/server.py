"""Serves one pinned model with BentoML: `python -m pointsman_serving.bento.server --model-dir DIR --digest sha256:… …`.

It runs where BentoML is installed: in its own environment, by the starter, or in the image. `bentoml serve` is not used: it
keeps restarting what fails, in a process that nobody sees, and this is for those who restart processes and say why.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from argparse import Namespace
from contextlib import nullcontext

import structlog
import uvicorn
import uvloop

from pointsman.logs import log_as_json
from pointsman.models.artifact import ArtifactRefused
from pointsman.models.session import ProbeFailed
from pointsman_serving.arguments import number, parser
from pointsman_serving.native.model import ServedModel
from pointsman_serving.native.web import listen, settings

log = structlog.get_logger()

MOST_ROWS = 16384
"""Of one request, as Native's"""


def arguments() -> Namespace:
    """The command line."""
    options = parser("pointsman_serving.bento", __doc__, grpc=False)
    options.add_argument(
        "--max-batch-size", type=number(1, 65536), default=256, help="rows joined; 1 joins none  [256]"
    )
    return options.parse_args()


async def serve(options: Namespace) -> None:
    """Load, then listen; stop on SIGTERM after what is in flight. Raises ArtifactRefused, ProbeFailed or OSError."""
    from pointsman_serving.bento.service import BentoApp  # BentoML reads the environment when it is imported

    model = ServedModel(
        name=options.name, version=options.version, max_batch_size=max(MOST_ROWS, options.max_batch_size)
    )
    loaded = model.load(options.model_dir, options.digest)
    app = BentoApp(model, rows_joined=options.max_batch_size)
    web = uvicorn.Server(settings(app, lifespan="on"))
    web.capture_signals = nullcontext  # it would end the process by the signal, as if it had failed

    def stop() -> None:
        model.leave()
        web.should_exit = True

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop)
    log.info("ready", model=model.name, version=model.version, digest=loaded.artifact.digest, joins=app.joins)
    await web.serve(sockets=[listen(options.host, options.http_port)])
    log.info("stopped", model=model.name)


def main() -> int:
    """Serve; 1 where the model is refused or does not answer its example, or the port is taken."""
    options = arguments()
    log_as_json()
    os.environ |= {"BENTOML_HOME": str(options.folder.absolute() / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    try:
        uvloop.run(serve(options))
    except (ArtifactRefused, ProbeFailed, OSError) as error:
        log.error("the model cannot be served", model=options.name, error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
