"""Helm, and the chart as it renders it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.cluster import Cluster, Object
from harness.operator import NAMESPACE

CHART = Path(__file__).parents[3] / "charts" / "pointsman"


class HelmFailed(Exception):
    """Helm ended with an error; the message is what it said."""


@dataclass(frozen=True, kw_only=True)
class Helm:
    """The program, and a folder for what it keeps."""

    program: Path
    folder: Path

    def __call__(
        self, *arguments: str | Path, cluster: Cluster | None = None, values: Mapping[str, Any] | None = None
    ) -> str:
        """What `helm` with these arguments prints; `HelmFailed` when it ends with an error. It knows no other cluster."""
        homes = {f"HELM_{each}_HOME": str(self.folder / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
        environment = os.environ | homes | {"KUBECONFIG": str(cluster.kubeconfig) if cluster else os.devnull}
        given = () if values is None else ("--values", "-")
        ran = subprocess.run(
            [self.program, *arguments, *given],
            input=json.dumps(values),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise HelmFailed(ran.stderr.strip() or ran.stdout.strip())
        return ran.stdout

    def rendered(self, values: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> dict[str, Object]:
        """The chart's objects with these values, by `Kind/name`."""
        return by_name(self("template", "pointsman", CHART, "--namespace", namespace, values=values or {}))


def by_name(text: str) -> dict[str, Object]:
    """The documents of a text, by `Kind/name`."""
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in yaml.safe_load_all(text) if each}
