"""What runs models in the local world: the server of each runtime as a process, and what each honours. Pure specs.

Every server is one process a revision, by the starter of its runtime (`python -m pointsman_serving.…`). Native runs from this
installation. Triton, KServe and BentoML have environments of their own, which a process that ends builds first.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments.plan import Abilities, Pinned
from pointsman.local.example_probe import EXAMPLE, answers_example
from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.local.processes import ProcessSpec, Restart
from pointsman.local.triton_here import why_not_triton
from pointsman.local.world import LOOPBACK, ONE_THREAD, answers, model_folder, model_process, model_url

GPU = "no GPU is used, the model runs on the CPU"
INSTALLED = "it runs from an environment of its own on this machine"
SETS_ASIDE = {
    "spec.runtime.native.threads": "one thread infers",
    "spec.runtime.triton.image": INSTALLED,
    "spec.runtime.kservePython.image": INSTALLED,
    "spec.runtime.bentoml.image": INSTALLED,
    "spec.resources.limits": GPU,
    "spec.resources": "neither CPU nor memory is limited",
    "spec.podTemplate": "there are no pods",
    "spec.autoscaling": "one process serves",
    "spec.route": "it is reached on loopback alone",
    "spec.slo": "no budget is kept",
    "spec.rollout": "the new revision takes over as soon as it answers",
}
NO_BATCHING = MappingProxyType({"spec.batching": "requests are neither joined nor split"})
ADAPTIVE_BATCHING = MappingProxyType(
    {"spec.batching.maxQueueDelayMicroseconds": "BentoML works out by itself how long a request waits for others"}
)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime's starter, and the command that builds its environment where it has one of its own.

    `sets_aside` is what it does not do of what others do; `grpc` whether it speaks the protocol over gRPC too.
    """

    module: str
    sets_aside: Mapping[str, str]
    environment: str | None = None
    grpc: bool = True


RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        "Native": Runtime(module="pointsman_serving.native", sets_aside=NO_BATCHING),
        "Triton": Runtime(
            module="pointsman_serving.triton", sets_aside={}, environment="pointsman_serving.triton.environment"
        ),
        "KServePython": Runtime(
            module="pointsman_serving.kserve_python",
            sets_aside=NO_BATCHING,
            environment="pointsman_serving.kserve_python.environment",
        ),
        "BentoML": Runtime(
            module="pointsman_serving.bento",
            sets_aside=ADAPTIVE_BATCHING,
            environment="pointsman_serving.bento.environment",
            grpc=False,
        ),
    }
)


def abilities(runtime: str) -> Abilities:
    """What this world honours of a deployment with such a runtime."""
    why = why_not_triton()
    cannot = {} if why is None else {"Triton": why}
    known = RUNTIMES.get(runtime)
    return Abilities(
        runtimes=frozenset(RUNTIMES.keys() - cannot.keys()),
        sets_aside={**SETS_ASIDE, **(known.sets_aside if known is not None else NO_BATCHING)},
        cannot=cannot,
    )


def environment_process(runtime: str) -> str | None:
    """The name of the process that builds a runtime's environment; None where this installation is enough."""
    known = RUNTIMES.get(runtime)
    return None if known is None or known.environment is None else f"environment-{runtime.lower()}"


def environment_spec(runtime: str) -> ProcessSpec:
    """Builds a runtime's environment, or sees that it is there, and ends; what fails is tried again."""
    name, module = environment_process(runtime), RUNTIMES[runtime].environment
    assert name is not None
    assert module is not None
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", module),
        ready=_never,  # it is done, not ready
        restart=Restart.ON_FAILURE,
    )


def server_folder(home: Home, process: str) -> Path:
    """Where a starter lays out what its runtime reads. Made anew at each start."""
    return home.root / "servers" / process


def server_spec(home: Home, ports: Ports, deployment: ModelDeployment, pinned: Pinned) -> ProcessSpec:
    """The server of one pinned revision. Ready when the model has answered its example."""
    runtime, process = deployment.spec.runtime, model_process(deployment.name, pinned.digest)
    known, url, folder = RUNTIMES[runtime.type], model_url(ports, process), server_folder(home, process)
    command: tuple[str, ...] = (
        sys.executable, "-m", known.module,
        "--model-dir", str(model_folder(home, pinned.digest)),
        "--digest", pinned.digest,
        "--name", deployment.name,
        "--version", pinned.version,
        "--http-port", str(ports.of(f"{process}/http")),
    )  # fmt: skip
    address, batching = url, deployment.spec.batching
    if known.grpc:
        grpc = ports.of(f"{process}/grpc")
        command += ("--grpc-port", str(grpc))
        address = f"{url} (gRPC {LOOPBACK}:{grpc})"
    ready = answers_example(f"{url}/v2/models/{deployment.name}/infer", folder / EXAMPLE)
    if runtime.type == "Native":
        ready = answers(f"{url}/v2/models/{deployment.name}/ready")  # which it is once it has answered its example
    else:
        command += ("--folder", str(folder))
    if "spec.batching" not in known.sets_aside:
        command += ("--max-batch-size", str(batching.max_batch_size))
    if runtime.type == "Triton":
        command += (
            "--metrics-port", str(ports.of(f"{process}/metrics")),
            "--max-queue-delay-microseconds", str(batching.max_queue_delay_microseconds),
            "--instances", str(runtime.triton.instances if runtime.triton is not None else 1),
        )  # fmt: skip
    return ProcessSpec(
        name=process,
        command=command,
        environment=ONE_THREAD,
        ready=ready,
        address=address,
    )


async def _never() -> bool:
    return False
