"""A cluster of the user's own, by the `KUBECONFIG` they set: kind, a cloud's, anything with KServe on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.cluster import Cluster, World
from pointsman_images.cache import Missing, Say

VARIABLE = "POINTSMAN_TEST_KUBECONFIG"


def asked_for() -> bool:
    """Whether the user wants tests on their own cluster."""
    return bool(os.environ.get(VARIABLE))


@contextmanager
def cluster(say: Say) -> Iterator[Cluster]:
    """The user's cluster, as it is: nothing is installed on it but what tests apply in their own namespaces."""
    kubeconfig, kubectl = os.environ.get("KUBECONFIG"), shutil.which("kubectl")
    if not kubeconfig or not kubectl:
        raise Missing(f"{VARIABLE} asks for your own cluster: set KUBECONFIG, and put kubectl on PATH")
    say(f"tests run on the cluster of {kubeconfig}")

    def load_image(tar: Path) -> None:
        raise Missing(f"{tar.name} cannot be loaded into your cluster from here: push the image to its registry")

    yield Cluster(
        world=World.YOURS,
        kubeconfig=Path(kubeconfig),
        kubectl_program=Path(kubectl),
        host=None,
        webhook=None,
        load_image=load_image,
        log_tails=lambda: "(your cluster keeps its own logs)",
        log_folder=None,
    )
