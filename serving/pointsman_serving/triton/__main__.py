"""Serves one pinned model with Triton: `python -m pointsman_serving.triton --model-dir DIR --digest sha256:… --name NAME …`.

It checks the model, writes a model repository into a folder of its own, and goes on as tritonserver in the same process.
"""

from __future__ import annotations

import os
import secrets
import sys
import sysconfig
from argparse import Namespace
from pathlib import Path

import structlog

from pointsman.logs import log_as_json
from pointsman.models.artifact import ArtifactRefused
from pointsman.models.session import ProbeFailed
from pointsman_serving.arguments import number, parser
from pointsman_serving.environments import Environment, EnvironmentFailed
from pointsman_serving.handover import become, checked, lay_out
from pointsman_serving.triton.environment import ENVIRONMENT
from pointsman_serving.triton.repository import Batching, Served, render

log = structlog.get_logger()

GRACE_SECONDS = 3
"""For what is in flight when it is to stop. Kept connections count as in flight, so with a client it always takes as long."""
CLOSED = ("shared-memory", "model-repository", "statistics", "trace", "logging")
"""Interfaces that are not for clients. Triton cannot switch them off; it can ask for a header, here one that nobody can send."""
NO_HEADER = "\n"
"""Ends the header's value: the command line can be read by others on the machine, but no header ends with a line break."""
SHARED_MEMORY = Path("/dev/shm")


def arguments() -> Namespace:
    """The command line."""
    options = parser("pointsman_serving.triton", __doc__)
    options.add_argument("--metrics-port", type=number(1, 65535), required=True, help="Prometheus metrics")
    options.add_argument("--max-batch-size", type=number(1, 65536), default=256, help="rows an inference  [256]")
    options.add_argument(
        "--max-queue-delay-microseconds", type=number(0, 10**7), default=0, help="how long a request waits  [0]"
    )
    options.add_argument("--instances", type=number(1, 64), default=1, help="instances of the model  [1]")
    return options.parse_args()


def prepare(options: Namespace) -> Path:
    """Check the model and lay out what tritonserver reads. Raises ArtifactRefused, ProbeFailed or OSError."""
    artifact = checked(options.model_dir, options.digest)
    batching = Batching(
        max_batch_size=options.max_batch_size, max_queue_delay_microseconds=options.max_queue_delay_microseconds
    )
    served = Served(
        name=options.name,
        version=options.version,
        onnx=artifact.onnx_path.absolute(),
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        batching=batching,
        instances=options.instances,
    )
    folder = lay_out(
        options.folder, artifact, {f"repository/{name}": content for name, content in render(served).items()}
    )
    _link_backend(folder / "backends" / "python", ENVIRONMENT)
    return folder


def _link_backend(backend: Path, environment: Environment) -> None:
    """The wheel keeps the backend and its stubs, one a Python, in different folders; Triton wants them in one."""
    triton = environment.packages / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    backend.mkdir(parents=True)
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    for file in (*(triton / "backends" / "python").iterdir(), stub):
        if file.is_file():
            (backend / file.name).symlink_to(file)


def command(folder: Path, options: Namespace, *, key: str, prefix: str) -> list[str]:
    """Tritonserver's command line. `key` opens the CLOSED interfaces; `prefix` begins the names of its shared memory."""
    closed = f"{','.join(CLOSED)}:pointsman-key={key}"
    settings = {
        "model-repository": folder / "repository",
        "backend-directory": folder / "backends",
        "backend-config": f"python,shm-region-prefix-name={prefix}",
        "model-control-mode": "none",
        "exit-on-error": "true",
        "strict-readiness": "true",
        "exit-timeout-secs": GRACE_SECONDS,
        "allow-http": "true",
        "http-address": options.host,
        "http-port": options.http_port,
        "http-thread-count": 4,
        "http-restricted-api": closed,
        "allow-grpc": "true",
        "grpc-address": options.host,
        "grpc-port": options.grpc_port,
        "grpc-restricted-protocol": closed,
        "allow-metrics": "true",
        "metrics-address": options.host,
        "metrics-port": options.metrics_port,
        "allow-gpu-metrics": "false",
        "allow-sagemaker": "false",
        "allow-vertex-ai": "false",
        "log-format": "ISO8601",
    }
    server = ENVIRONMENT.packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    return [str(server), "--disable-auto-complete-config", *(f"--{name}={value}" for name, value in settings.items())]


def surroundings(environment: Environment) -> dict[str, str]:
    """The environment variables: where the wheel's libraries and Python's own lie, and the packages of the backend."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_", "VIRTUAL_ENV"))}
    libraries = [environment.packages / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
    return {
        **kept,
        "PATH": f"{environment.folder / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PYTHONPATH": str(environment.packages),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def main() -> int:
    """Become tritonserver; 1 where the model is refused, does not answer its example, or Triton is not installed."""
    options = arguments()
    log_as_json()
    try:
        ENVIRONMENT.python  # noqa: B018  raises where it has not been built
        folder = prepare(options)
    except (ArtifactRefused, ProbeFailed, EnvironmentFailed, OSError) as error:
        log.error("the model cannot be served", model=options.name, error=str(error))
        return 1
    prefix = f"pointsman-{options.http_port}-"
    for left in SHARED_MEMORY.glob(f"{prefix}*"):  # of a run that was killed: the port is ours now
        left.unlink(missing_ok=True)
    log.info("handing over to Triton", model=options.name, http_port=options.http_port, grpc_port=options.grpc_port)
    return become(
        command(folder, options, key=secrets.token_hex(16) + NO_HEADER, prefix=prefix), surroundings(ENVIRONMENT)
    )


if __name__ == "__main__":
    sys.exit(main())
