"""Registers the fraud example's models as they lie in the repository: `python -m pointsman.demo.register [--tracking-uri URL]`.

`models/pins.yaml` says which folder each reference stands for. Once more makes another version of the same content.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from pointsman.demo.publish import Description, Publisher, PublishingFailed
from pointsman.demo.sequence import SEQUENCE, description
from pointsman.demo.train import EXAMPLE
from pointsman.registry.port import ModelUri


def register(example: Path, tracking_uri: str, experiment: str = "card-fraud") -> Iterator[tuple[str, str]]:
    """Register each model and let its alias point to it: reference and version. Raises PublishingFailed."""
    pins = yaml.safe_load((example / "models" / "pins.yaml").read_text())["pins"]
    with Publisher(tracking_uri, experiment) as publisher:
        for reference, pin in sorted(pins.items()):
            model, folder = ModelUri.parse(reference), example / "models" / pin["folder"]
            described = description(folder) if model.name == SEQUENCE else Description(params={}, metrics={})
            yield reference, publisher.publish(model.name, folder, described, alias=str(model.alias))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 where the server does not take the models."""
    parser = argparse.ArgumentParser(prog="python -m pointsman.demo.register", description=__doc__)
    parser.add_argument(
        "--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI"), help="MLflow  [default: $MLFLOW_TRACKING_URI]"
    )
    parser.add_argument("--example", type=Path, default=EXAMPLE, help=f"the example's folder  [default: {EXAMPLE}]")
    given = parser.parse_args(arguments)
    if not given.tracking_uri:
        parser.error("which MLflow? give --tracking-uri, or set MLFLOW_TRACKING_URI")
    try:
        for reference, version in register(given.example, given.tracking_uri):
            sys.stdout.write(f"{reference} is version {version}\n")
    except PublishingFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
