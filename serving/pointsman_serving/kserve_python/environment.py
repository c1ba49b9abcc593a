"""KServe's environment: `python -m pointsman_serving.kserve_python.environment` builds it (about 500 MB, once)."""

from __future__ import annotations

import sys
from pathlib import Path

from pointsman_serving import environments

ENVIRONMENT = environments.Environment(
    name="kserve",
    lock=Path(__file__).with_name("requirements.txt"),
    module="pointsman_serving.kserve_python.environment",
)

if __name__ == "__main__":
    sys.exit(environments.main(ENVIRONMENT))
