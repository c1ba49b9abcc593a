"""What a test gets: a Kubernetes cluster it can talk to, whichever world it runs in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.certificates import Certificate
from pointsman_images.cache import cache_folder

Object = Mapping[str, Any]


class World(StrEnum):
    """Which kind of cluster it is."""

    SIMULATED = "simulated"  # a real control plane; kwok plays nodes and pods
    REAL = "real"  # a real node with a real kubelet, in namespaces of its own
    YOURS = "yours"  # whatever cluster the user's kubeconfig names


class KubectlFailed(Exception):
    """kubectl ended with an error; the message is its command and what it said."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that is up, and stays up until the block that started it ends."""

    world: World
    kubeconfig: Path
    kubectl_program: Path
    host: str | None  # an address of this machine that the API server reaches: bind webhooks there
    webhook: Certificate | None  # what a webhook server at `host` shows; its authority is the `caBundle`
    load_image: Callable[[Path], None]  # a docker-archive tar into the node; where nodes are simulated, nothing
    log_tails: Callable[[], str]  # the end of each part's log
    log_folder: Path | None
    watch: Callable[[], None] = lambda: None  # raises NotUp once one of its parts has ended

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What `kubectl` with these arguments prints; `KubectlFailed` when it ends with an error."""
        cache = cache_folder() / "kubectl"  # what it learns of the API, away from the user's ~/.kube
        base = [str(self.kubectl_program), "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(cache)]
        ran = subprocess.run([*base, *arguments], input=stdin, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {ran.stderr.strip() or ran.stdout.strip()}")
        return ran.stdout

    def create(self, *objects: Object) -> None:
        """Create the objects, in this order: none may be there. For many large ones, far quicker than apply."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(items))

    def apply(self, *objects: Object) -> None:
        """Server-side apply of the objects, in this order."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--server-side", "--field-manager=pointsman-tests", "-f", "-", stdin=json.dumps(items))

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """One object as the API server has it now."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def list(self, kind: str, namespace: str = "default", selector: str = "") -> list[dict[str, Any]]:
        """The objects of a kind in a namespace, by label selector when one is given."""
        found = json.loads(self.kubectl("get", kind, "-n", namespace, "-l", selector, "-o", "json"))
        items: list[dict[str, Any]] = found["items"]
        return items
