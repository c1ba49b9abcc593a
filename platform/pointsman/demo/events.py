"""Writes card transactions for the fraud example to standard output, a line each: `python -m pointsman.demo.events > FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines

DEFAULTS = GeneratorSettings(days=3, customers=2000, terminals=2000)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. The same arguments give the same bytes."""
    parser = argparse.ArgumentParser(
        prog="python -m pointsman.demo.events",
        description=__doc__,
        epilog="A customer makes about two a day; some come late, twice, broken, or with a known id and other content.",
    )
    for name, text in (("days", "how many days"), ("customers", "how many customers"), ("seed", "another stream")):
        default = getattr(DEFAULTS, name)
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text}  [default: {default}]")
    given = parser.parse_args(arguments)
    settings = GeneratorSettings(days=given.days, customers=given.customers, terminals=given.customers, seed=given.seed)
    sys.stdout.buffer.writelines(line + b"\n" for line in as_json_lines(generate(settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
