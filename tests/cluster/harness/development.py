"""`make cluster`: one real node with KServe, KubeRay, MLflow, a gateway and this release's operator, and a store in the namespace
`fraud`, for a person, until Ctrl-C.

Run in the repository's root. `build/cluster/env` is for the other terminal; it goes with the cluster.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from harness import example, parts, real, triton
from harness.cluster import Cluster, KubectlFailed
from harness.example import POSTGRES
from harness.operator import MANIFESTS, NAMESPACE
from harness.runs import NotUp
from pointsman_images.build import IMAGES, build
from pointsman_images.cache import Missing, cache_folder

EXAMPLE = "fraud"
"""The namespace that a graph can be applied to at once"""
FOLDER = Path("build/cluster")
ENVIRONMENT = FOLDER / "env"
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TRY = """
In another terminal, in this folder:

    . {environment}
    python -m pointsman.demo.register        # the example's models, into MLflow
    kubectl create secret generic accounts-token -n fraud --from-literal=token=$(openssl rand -hex 16)
    kubectl apply -n fraud -f manifests/examples/fraud
    kubectl get decisiongraphs -n fraud -w

Ctrl-C here ends it, and everything in it.
"""


class Running(Exception):
    """Another one runs; the message says which."""


class Parts:
    """Shows what comes up: one line a part, with its seconds. `word` stands before each."""

    def __init__(self, console: Console, word: str = "up") -> None:
        self._console, self._word = console, word

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Around one part. Its line stays when it is up."""
        began = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as shown:
            shown.add_task(name)
            yield
        self._console.print(f"[green]{self._word}[/] {name:<60} {time.monotonic() - began:6.1f} s")

    def say(self, line: str) -> None:
        """A line about what is built first."""
        self._console.print(f"   {line}", style="dim", markup=False)


@contextmanager
def alone() -> Iterator[None]:
    """One development cluster a checkout. Raises Running where there is one."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Running(f"one runs already, process {lock.read()}: use it with `. {ENVIRONMENT}`") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def development(shown: Parts) -> Iterator[Cluster]:
    """The cluster with all of it, ended with the block. Raises Missing, NotUp or KubectlFailed."""
    real.require()
    _say_what_is_built(shown)
    with real.real_node(shown.say, shown.part) as cluster:
        assert cluster.log_folder is not None
        for name in IMAGES:
            with shown.part(f"image {name}"):
                image = build(name, cluster.log_folder.parent / "tmp", say=shown.say)
                cluster.load_image(image.path)
                image.path.unlink()
        with shown.part("image triton: of NVIDIA's wheel, in place of NVIDIA's image"):
            tar = triton.build(cluster.log_folder.parent / "tmp", shown.say, triton.NVIDIA)
            cluster.load_image(tar)
            tar.unlink()
        with shown.part("MLflow, the gateway and the operator"):
            for manifests in (MANIFESTS, MANIFESTS / "mlflow", MANIFESTS / "gateway"):
                cluster.kubectl("apply", "--server-side", "-k", str(manifests))
            route = f"POINTSMAN_GRAPH_GATEWAY={NAMESPACE}/pointsman"
            cluster.kubectl("set", "env", "deployment/pointsman-operator", "-n", NAMESPACE, route)
            for deployment in ("pointsman-operator", "mlflow", "pointsman-gateway"):
                cluster.kubectl("rollout", "status", f"deployment/{deployment}", "-n", NAMESPACE, "--timeout=300s")
        with shown.part(f"PostgreSQL in the namespace {EXAMPLE}"):
            example.with_store(cluster, EXAMPLE)
            cluster.kubectl("rollout", "status", f"statefulset/{POSTGRES}", "-n", EXAMPLE, "--timeout=120s")
        yield cluster


def write_environment(cluster: Cluster) -> str:
    """Write what a shell needs to use the cluster; MLflow's address."""

    def address(service: str) -> str:
        return str(cluster.get("service", service, NAMESPACE)["spec"]["clusterIP"])

    mlflow = f"http://{address('mlflow')}:5000"
    paths = os.pathsep.join(map(str, (cluster.kubectl_program.parent, Path(sys.executable).parent)))
    lines = [
        f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}",
        f"export MLFLOW_TRACKING_URI={mlflow}",
        f"export GATEWAY=http://{address('pointsman-gateway')}",
        f'export PATH={shlex.quote(paths)}:"$PATH"',
    ]
    ENVIRONMENT.write_text("\n".join([*lines, ""]))
    return mlflow


def _say_what_is_built(shown: Parts) -> None:
    lacking = [program for program in parts.REAL if not parts.path_of(program).exists()]
    if lacking:
        minutes = sum(program.seconds for program in lacking) / 60
        names = ", ".join(program.name for program in lacking)
        shown.say(f"built first, once, in about {minutes:.0f} minutes with two cores: {names}")
        shown.say(f"it is kept in {cache_folder()}")


def interrupt_once(console: Console) -> None:
    """From now on Ctrl-C, SIGTERM or the terminal's end raise KeyboardInterrupt, once."""

    def stop(number: int, frame: object) -> None:
        for each in ENDS:
            signal.signal(each, signal.SIG_IGN)  # once is enough: what is being removed is to be removed whole
        console.print("stopping …")
        raise KeyboardInterrupt

    for each in ENDS:
        signal.signal(each, stop)


def main() -> int:
    """Run it until Ctrl-C, SIGTERM or the terminal's end; 1 where it does not come up, or a part of it ends by itself."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    interrupt_once(console)
    try:
        with alone(), development(Parts(console)) as cluster:
            try:
                mlflow = write_environment(cluster)
                console.print(f"\nKUBECONFIG  {cluster.kubeconfig}\nMLflow      {mlflow}", markup=False)
                console.print(_TRY.format(environment=ENVIRONMENT), markup=False)
                while True:
                    time.sleep(2)
                    cluster.watch()
            finally:
                ENVIRONMENT.unlink(missing_ok=True)
    except KeyboardInterrupt:
        console.print("stopped: nothing of it is left")
        return 0
    except Missing as missing:
        console.print(f"make cluster: {missing}; `make deploy` takes a cluster of your own", style="red", markup=False)
        return 1
    except (Running, NotUp, KubectlFailed) as error:
        console.print(f"make cluster: {error}", style="red", markup=False)
        return 1


if __name__ == "__main__":
    sys.exit(main())
