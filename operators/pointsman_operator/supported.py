"""The versions that this release works with, in one table: `python -m pointsman_operator.supported [--check]` writes it as a page.

What runs in a cluster is compared with it at the start and while the operator runs: cluster/versions.py.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pointsman_operator.resources.graphs.platform import RAY_VERSION

KUBERNETES, KSERVE, KUBERAY, GATEWAY, MLFLOW = "Kubernetes", "KServe", "KubeRay", "Gateway API", "MLflow"
PAGE = Path("docs/supported-versions.md")

_VERSION = re.compile(r"v?(\d+)\.(\d+)")


@dataclass(frozen=True, kw_only=True)
class Supported:
    """One part: the oldest and the newest minor version, and the one that the tests run with.

    `because` is what the oldest has that those before had not, `known` how the operator knows which one is there.
    """

    oldest: tuple[int, int]
    newest: tuple[int, int]
    tested: str
    because: str
    known: str


SUPPORTED: Mapping[str, Supported] = {
    KUBERNETES: Supported(
        oldest=(1, 30),
        newest=(1, 34),
        tested="1.34.4",
        because="policies in CEL and match conditions of webhooks are stable",
        known="the API server says it",
    ),
    KSERVE: Supported(
        oldest=(0, 16),
        newest=(0, 20),
        tested="0.20.0",
        because="its mode without Knative is called Standard",
        known="by the image's tag of the Deployment with the label `control-plane: kserve-controller-manager`; an image by "
        "digest alone tells nothing, and then only the API versions of InferenceService are looked at",
    ),
    KUBERAY: Supported(
        oldest=(1, 6),
        newest=(1, 6),
        tested="1.6.1",
        because="it gives Ray 2.60 its token",
        known="by the image's tag of the Deployment with the label `app.kubernetes.io/name: kuberay-operator`; an image by digest "
        "alone tells nothing. It may be absent: graphs of type Embedded do without",
    ),
    GATEWAY: Supported(
        oldest=(1, 1),
        newest=(1, 5),
        tested="1.5.1",
        because="GRPCRoute is v1",
        known="by its kinds, HTTPRoute and GRPCRoute of v1; its release cannot be seen. It may be absent: no route is made",
    ),
    MLFLOW: Supported(
        oldest=(3, 0),
        newest=(3, 17),
        tested="3.17.2",
        because="logged models have artifacts of their own",
        known="the server says it",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """A version outside the table, in words. One that is too new may well work: nobody has tried."""

    message: str
    is_too_old: bool


def judge(part: str, version: str) -> Unsupported | None:
    """What is to be said of a version of a part: `v1.34.4`, `0.20.0`, `1.34.4-gke.100`."""
    supported, found = SUPPORTED[part], _VERSION.match(version)
    if found is None:
        return Unsupported(message=f'{part} calls itself "{version}", which is no version', is_too_old=False)
    minor = int(found[1]), int(found[2])
    if minor < supported.oldest:
        message = f"{part} {version} is older than {_text(supported.oldest)} ({supported.because}): upgrade it"
        return Unsupported(message=message, is_too_old=True)
    if minor > supported.newest:
        message = (
            f"{part} {version} is newer than {_text(supported.newest)}, the newest that this release was tested with: "
            "upgrade the operator"
        )
        return Unsupported(message=message, is_too_old=False)
    return None


def page() -> str:
    """The table as a page."""
    rows = "\n".join(
        f"| {part} | {_text(each.oldest)} ({each.because}) | {_text(each.newest)} | {each.tested} | {each.known} |"
        for part, each in SUPPORTED.items()
    )
    return f"""<!-- Made by: make manifests -->
# Supported versions

| | from | to | tested with | how the operator knows |
|---|---|---|---|---|
{rows}

The operator looks when it starts and every minute. What is outside the table is logged by name and version, and in the metric
`pointsman_operator_supported{{part, version}}`, 1 or 0. While KServe is older, or serves InferenceService in no version that is
written here, every ModelDeployment says `KServeUnsupported` and stays as it is. While KubeRay is absent or older, every
DecisionGraph of type RayServe says `KubeRayNotFound` or `KubeRayUnsupported`, and stays as it is.

The operator does not look at what graphs reach by their own settings. They are tested with PostgreSQL 18 ([the store](store.md))
and Kafka 4.1. Ray {RAY_VERSION} is in the image `graph`; an image of your own for `spec.runtime.image` is made from that one.
"""


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def main() -> int:
    """Write the page; with --check say whether it differs, and 1."""
    parser = argparse.ArgumentParser(prog="pointsman_operator.supported", description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"write nothing; exit 1 where {PAGE} differs")
    options = parser.parse_args()
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    if options.check:
        print(f"{PAGE} is not what the code makes: make manifests", file=sys.stderr)  # noqa: T201
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
