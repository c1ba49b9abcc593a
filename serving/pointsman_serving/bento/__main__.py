"""Serves one pinned model with BentoML: `python -m pointsman_serving.bento --model-dir DIR --digest sha256:… --name NAME …`.

It checks the model, and goes on in BentoML's environment in the same process.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import structlog

import pointsman
import pointsman_serving
from pointsman.logs import log_as_json
from pointsman.models.artifact import ArtifactRefused
from pointsman.models.session import ProbeFailed
from pointsman_serving.bento.environment import ENVIRONMENT
from pointsman_serving.bento.server import arguments
from pointsman_serving.environments import EnvironmentFailed
from pointsman_serving.handover import become, checked, lay_out, surroundings

log = structlog.get_logger()

PACKAGES = "packages"


def prepare(options: Namespace) -> Path:
    """Check the model and link what of ours the server imports. Raises ArtifactRefused, ProbeFailed or OSError."""
    folder = lay_out(options.folder, checked(options.model_dir, options.digest), {})
    (folder / PACKAGES).mkdir()
    for package in (pointsman, pointsman_serving):
        [place] = package.__path__
        (folder / PACKAGES / package.__name__).symlink_to(Path(place).absolute())
    return folder


def main() -> int:
    """Become the server; 1 where the model is refused, does not answer its example, or BentoML is not installed."""
    options = arguments()
    log_as_json()
    try:
        python = ENVIRONMENT.python
        folder = prepare(options)
    except (ArtifactRefused, ProbeFailed, EnvironmentFailed, OSError) as error:
        log.error("the model cannot be served", model=options.name, error=str(error))
        return 1
    log.info("handing over to BentoML", model=options.name, http_port=options.http_port)
    command = [str(python), "-P", "-s", "-u", "-m", "pointsman_serving.bento.server", *sys.argv[1:]]
    return become(command, {**surroundings(), "PYTHONPATH": str(folder / PACKAGES)})


if __name__ == "__main__":
    sys.exit(main())
