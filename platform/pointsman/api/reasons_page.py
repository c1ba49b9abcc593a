"""`docs/reasons.md`, the catalogue of reasons for people: `python -m pointsman.api.reasons_page [--check] [--file FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from pointsman.api.reasons import Reason, groups

FILE = Path("docs/reasons.md")
HEAD = """<!-- Made by: make manifests -->
# Reasons

Every reason that a condition, a decision, a review, a dead letter or an effect can have. A reason is never renamed once it is
released, so alerts may rely on it. The message beside it names the thing, in quotes; `pointsman explain` shows where it is.
"""


def page() -> str:
    """The whole text; the same catalogue gives the same bytes."""
    return HEAD + "".join(line for title, reasons in groups().items() for line in _section(title, reasons))


def _section(title: str, reasons: list[Reason]) -> Iterator[str]:
    has_steps = any(reason.next_step for reason in reasons)
    yield f"\n## {title}\n\n"
    yield (
        "| reason | what is the case | next step |\n|---|---|---|\n"
        if has_steps
        else "| reason | what is the case |\n|---|---|\n"
    )
    for reason in reasons:
        step = f" {reason.next_step or '-'} |" if has_steps else ""
        yield f"| `{reason}` | {reason.description} |{step}\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pointsman.api.reasons_page", description="Write or check the page."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file differs")
    parser.add_argument("--file", type=Path, default=FILE, help=f"where the page is; default {FILE}")
    options = parser.parse_args(arguments)
    if options.check:
        if options.file.exists() and options.file.read_text(encoding="utf-8") == page():
            return 0
        sys.stderr.write(f'differs from the catalogue: "{options.file}"; run make manifests\n')
        return 1
    options.file.write_text(page(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
