"""Prints the digest of a model's folder, for `spec.model.digest`: `python -m pointsman.models FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from pointsman.models.artifact import ArtifactRefused, digest_of


def main() -> int:
    """1 where the folder is none of a model, 2 where it was called wrongly."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    try:
        print(digest_of(Path(sys.argv[1])))  # noqa: T201
    except ArtifactRefused as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
