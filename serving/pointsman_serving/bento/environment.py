"""BentoML's environment: `python -m pointsman_serving.bento.environment` builds it (about 320 MB, once)."""

from __future__ import annotations

import sys
from pathlib import Path

from pointsman_serving import environments

ENVIRONMENT = environments.Environment(
    name="bentoml",
    lock=Path(__file__).with_name("requirements.txt"),
    module="pointsman_serving.bento.environment",
)

if __name__ == "__main__":
    sys.exit(environments.main(ENVIRONMENT))
