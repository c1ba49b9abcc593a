"""Writes card transactions for the fraud example to standard output, a line each: `python -m pointsman.demo.events > FILE`.

With `--labels FILE` what they were in truth is written too, as `pointsman certify` and `pointsman labels import` read it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pointsman.demo.generator import GeneratorSettings, Transactions, generate
from pointsman.demo.transactions import as_json_lines

DEFAULTS = GeneratorSettings(days=3, customers=2000, terminals=2000)
WARM_UP_DAYS = 8
"""The example's views look back seven days and an hour"""


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
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help=f"where to write the truth, as CSV; of what comes after {WARM_UP_DAYS} days, when the views have seen enough",
    )
    given = parser.parse_args(arguments)
    if given.labels is not None and given.days <= WARM_UP_DAYS:
        parser.error(f"--labels: the first {WARM_UP_DAYS} days have none, and these are {given.days}: take more --days")
    settings = GeneratorSettings(days=given.days, customers=given.customers, terminals=given.customers, seed=given.seed)
    events = generate(settings)
    sys.stdout.buffer.writelines(line + b"\n" for line in as_json_lines(events))
    if given.labels is not None:
        _, labelled = events.split(settings.day(WARM_UP_DAYS))
        given.labels.write_text("".join(f"{line}\n" for line in labels(labelled)))
    return 0


def labels(transactions: Transactions) -> list[str]:
    """The truth of those that become decisions, as lines of CSV; all of it is known, whatever it is: propensity 1."""
    some = transactions.take(transactions.accepted())
    known = np.datetime_as_string(some.label_known_at.astype("datetime64[us]"), unit="us").tolist()
    rows = zip(some.transaction_id.tolist(), some.fraud.tolist(), known, strict=True)
    return ["id,label,known_at,propensity", *(f"{id_},{str(fraud).lower()},{at}Z,1" for id_, fraud, at in rows)]


if __name__ == "__main__":
    sys.exit(main())
