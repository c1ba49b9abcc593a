"""What certified bands cost an event: the example's engine with certificates that are live and the audit sample, and without.

Each arm has a store of its own and is given the same batches of 1,000, in turned order; what is compared is the CPU of this
process for deciding and committing one batch. The plain arm runs twice, so that one sees the noise. What the audit draws is
written as review items: it is in the figure. Writes benchmarks/results/overhead.json: `make bench`.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from engine import BATCH, EXAMPLE, machine, opened, store, submission, write

from pointsman.api.decision_graph import Audit
from pointsman.api.values import Percent
from pointsman.certificates.document import BandCertificate, SignedCertificate
from pointsman.certificates.promise import promises
from pointsman.decisions import certificate_store
from pointsman.decisions.engine import Engine
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.graphs.resolve import ResolvedGraph, resolve
from pointsman.library import load, open_resolved
from pointsman.local.postgres import PostgresServer
from pointsman.store.database import OWNER_ROLE

BATCHES, WARM = 40, 5
ARMS = ("plain", "certified", "plain-again")


def main() -> None:
    """Run it all; with --quick a few batches, and no result is kept."""
    quick = "--quick" in sys.argv[1:]
    batches = 3 if quick else BATCHES
    lines = as_json_lines(generate(GeneratorSettings(seed=770_001, days=2 + (WARM + batches) // 8)))
    with ExitStack() as stack:
        arms = {name: begun(stack.enter_context(store()), certified=name == "certified") for name in ARMS}
        used = {name: list[float]() for name in ARMS}
        for number in range(WARM + batches):
            batch = lines[number * BATCH : (number + 1) * BATCH]
            turn = number % len(ARMS)
            for name in (*ARMS[turn:], *ARMS[:turn]):
                began = time.process_time()
                arms[name].process([submission(batch)])
                used[name].append((time.process_time() - began) / BATCH * 1e6)
            if number + 1 == WARM:
                forget(arms, used)
        for engine in arms.values():
            engine.close()
    result = {
        **machine(),
        "batches": batches,
        "cpu_us_an_event": {name: statistics.median(each) for name, each in used.items()},
        "more_us": apart(used["certified"], used["plain"]),
        "noise_us": apart(used["plain-again"], used["plain"]),
    }
    if not quick:
        write("overhead", result)
    print({name: result[name] for name in ("cpu_us_an_event", "more_us", "noise_us")})  # noqa: T201


def begun(server: PostgresServer, *, certified: bool) -> Engine:
    """An engine of the example, in which every automatic band is certified and 1 % is audited, or neither is so."""
    example = load(EXAMPLE).graph.resolved
    asked = {"certificates": "Required", "audit": Audit(sample=Percent("1%"))}
    none = {"certificates": "NotRequired", "audit": Audit(sample=Percent("0%"))}
    spec = example.graph.spec.model_copy(update=asked if certified else none)
    resolved = resolve(
        graph=example.graph.model_copy(update={"spec": spec}),
        stream=example.stream,
        views=example.views,
        targets=example.targets,
        models=example.models,
    )
    if certified:
        certify(server, resolved)
    return opened(server, open_resolved(resolved))


def certify(server: PostgresServer, resolved: ResolvedGraph) -> None:
    """Give every automatic band a certificate, as if all its labelled items had been right."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    made = [
        BandCertificate(
            id=uuid4(),
            graph=resolved.graph.name,
            graph_uid=resolved.graph_uid,
            band=band.name,
            outcome=band.outcome,
            promises=band.label,
            alpha=band.alpha,
            delta=band.delta,
            wrong=0,
            labelled=100_000,
            bound=band.alpha / 2,
            p_value=0.0,
            candidates=1,
            method="ClopperPearson",
            population="a measurement",
            scorer=band.digest.value,
            scorer_parts=band.digest.parts,
            data=f"sha256:{'0' * 64}",
            issued=now,
            expires=now + timedelta(days=1),
            issuer="benchmark",
        )
        for band in promises(resolved)
    ]
    with psycopg.connect(server.url("pointsman", OWNER_ROLE), autocommit=True) as owner:
        certificate_store.add_key(owner, key.public_key(), now)
        certificate_store.issue(owner, [SignedCertificate.sign(each, key) for each in made])


def forget(arms: dict[str, Engine], used: dict[str, list[float]]) -> None:
    """What was measured so far was warming up."""
    assert all(each.live for each in arms["certified"].bands())
    for each in used.values():
        each.clear()


def apart(one: list[float], other: list[float]) -> dict[str, Any]:
    """By how much one arm takes more for the same batch: the median, and where it lies with 95 % confidence."""
    differences = np.sort(np.subtract(one, other))
    count = len(differences)
    reach = 0.98 * count**0.5  # of the ranks about a median
    low, high = max(0, int(count / 2 - reach)), min(count - 1, int(count / 2 + reach))
    return {"median": float(np.median(differences)), "low": float(differences[low]), "high": float(differences[high])}


if __name__ == "__main__":
    main()
