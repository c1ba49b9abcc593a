"""The environment of KServe's storage clients: `python -m pointsman_serving.storage.environment` builds it (about 200 MB, once)."""

from __future__ import annotations

import sys
from pathlib import Path

from pointsman_serving import environments

ENVIRONMENT = environments.Environment(
    name="storage",
    lock=Path(__file__).with_name("requirements.txt"),
    module="pointsman_serving.storage.environment",
)

if __name__ == "__main__":
    sys.exit(environments.main(ENVIRONMENT))
