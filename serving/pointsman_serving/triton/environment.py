"""Triton's environment: `python -m pointsman_serving.triton.environment` builds it (about 450 MB, once).

It carries tritonserver 2.51 with the Python backend, for Linux on x86-64 alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pointsman.local.triton_here import why_not_triton
from pointsman_serving import environments

ENVIRONMENT = environments.Environment(
    name="triton",
    lock=Path(__file__).with_name("requirements.txt"),
    module="pointsman_serving.triton.environment",
    cannot=why_not_triton(),
)

if __name__ == "__main__":
    sys.exit(environments.main(ENVIRONMENT))
