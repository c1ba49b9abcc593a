"""Serves one pinned model with KServe: `python -m pointsman_serving.kserve_python --model-dir DIR --digest sha256:… --name NAME …`.

It checks the model, writes the server's settings into a folder of its own, and goes on as KServe's server in the same process.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import orjson
import structlog

from pointsman.logs import log_as_json
from pointsman.models.artifact import ArtifactRefused, TensorSpec
from pointsman.models.session import ProbeFailed
from pointsman_serving.arguments import parser
from pointsman_serving.environments import EnvironmentFailed
from pointsman_serving.handover import become, checked, lay_out, surroundings
from pointsman_serving.kserve_python.environment import ENVIRONMENT

log = structlog.get_logger()

SERVER = Path(__file__).with_name("server.py")
SETTINGS = "settings.json"


def prepare(options: Namespace) -> Path:
    """Check the model and lay out what the server reads. Raises ArtifactRefused, ProbeFailed or OSError."""
    artifact = checked(options.model_dir, options.digest)
    settings = {
        "name": options.name,
        "onnx": str(artifact.onnx_path.absolute()),
        "host": options.host,
        "http_port": options.http_port,
        "grpc_port": options.grpc_port,
        "inputs": [_described(each) for each in artifact.inputs],
        "outputs": [_described(each) for each in artifact.outputs],
    }
    return lay_out(options.folder, artifact, {SETTINGS: orjson.dumps(settings)})


def _described(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.dtype, "shape": list(spec.shape)}


def main() -> int:
    """Become KServe's server; 1 where the model is refused, does not answer its example, or KServe is not installed."""
    options = parser("pointsman_serving.kserve_python", __doc__).parse_args()
    log_as_json()
    try:
        python = ENVIRONMENT.python
        folder = prepare(options)
    except (ArtifactRefused, ProbeFailed, EnvironmentFailed, OSError) as error:
        log.error("the model cannot be served", model=options.name, error=str(error))
        return 1
    log.info("handing over to KServe", model=options.name, http_port=options.http_port, grpc_port=options.grpc_port)
    return become([python, "-I", "-u", SERVER, folder / SETTINGS], surroundings())


if __name__ == "__main__":
    sys.exit(main())
