"""Builds this release's images as OCI archives: `python -m pointsman_images [--folder build/images] [--only serving]`.

Load one with `ctr images import`, `podman load` or `skopeo copy oci-archive:…`. What is downloaded is kept in the user's cache.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pointsman_images.build import IMAGES, build
from pointsman_images.cache import Missing

FOLDER = Path("build/images")


def main() -> int:
    """Build what was asked for; 1 where something of this machine is missing."""
    parser = argparse.ArgumentParser(prog="pointsman_images", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where they are written  [default: {FOLDER}]")
    parser.add_argument("--only", choices=sorted(IMAGES), help="one image  [default: all]")
    options = parser.parse_args()
    for name in [options.only] if options.only else sorted(IMAGES):
        try:
            built = build(name, options.folder, say=lambda line: print(line, file=sys.stderr))  # noqa: T201
        except Missing as missing:
            print(f"{name}: {missing}", file=sys.stderr)  # noqa: T201
            return 1
        print(f"{built.path}  {built.name}  {built.digest}  {built.path.stat().st_size >> 20} MiB")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
