"""All that the demo's report is made of, gathered from the store and the parts when everything has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from pointsman.demo.certified import Certification, Measured
from pointsman.demo.comparing import Comparison
from pointsman.demo.conservation import Conservation, conservation
from pointsman.demo.drifting import Drifted, truth_of
from pointsman.demo.hand_set import HandSet
from pointsman.demo.report import Recorded, Truth, business
from pointsman.demo.start import TOKEN
from pointsman.demo.streaming import Sent
from pointsman.demo.transactions import Transactions
from pointsman.local.client import ControlClient
from pointsman.local.home import Home
from pointsman.local.secrets import SecretStore

TARGET = "accounts"


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """The main stream as it was sent: as fast as it went, then at a fixed rate. `steps` took seconds for rows, `overdue` events
    took longer than the graph's deadline."""

    saturated: Sent
    paced: Sent
    steps: Mapping[str, Mapping[str, float]]
    overdue: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that the report is made of."""

    recorded: list[Recorded]
    truth: Mapping[str, Truth]
    saturated: Sent
    paced: Sent
    steps: Mapping[str, Mapping[str, float]]
    overdue: int
    conservation: Conservation
    example_decision: str | None
    freeze_seconds: tuple[float, float]
    """p50 and p95 from a decision to its observed effect"""
    certificates: tuple[Measured, ...]
    drift: Drifted
    runtimes: Mapping[str, str]
    """by ModelDeployment, what serves it"""
    approval: str
    comparison: Comparison
    by_hand: HandSet

    def numbers(self) -> dict[str, Any]:
        """What is reported besides the comparison, for `report.json`."""
        return {
            "business": asdict(business(self.recorded, self.truth)),
            "speed": {
                **{
                    name: {
                        "decisionsASecond": sent.rate,
                        **{f"p{at}Milliseconds": sent.wait_milliseconds(at) for at in (50, 95, 99)},
                    }
                    for name, sent in (("saturated", self.saturated), ("paced", self.paced))
                },
                "freezeSeconds": dict(zip(("p50", "p95"), self.freeze_seconds, strict=True)),
                "overdue": self.overdue,
                "steps": self.steps,
            },
            "conservation": {**asdict(self.conservation), "broken": self.conservation.broken()},
            "certificates": [asdict(each) for each in self.certificates],
            "byHand": {
                **asdict(self.by_hand),
                "falls_by": self.by_hand.falls_by,
                "falls_by_without_audits": self.by_hand.falls_by_without_audits,
            },
            "drift": asdict(self.drift),
        }


def gather(
    home: Home,
    client: ControlClient,
    connection: psycopg.Connection[TupleRow],
    stream: Transactions,
    streamed: Streamed,
    comparison: Comparison,
    by_hand: HandSet,
    certification: Certification,
    drifted: Drifted,
) -> Outcome:
    truth = truth_of(stream)
    with connection.transaction():
        rows = connection.execute("SELECT event_id, band, outcome, reasons FROM decisions").fetchall()
        shown = connection.execute(
            "SELECT d.decision_id FROM decisions d JOIN outbox o USING (decision_id) WHERE o.state = 'observed' LIMIT 1"
        ).fetchone()
        waits = connection.execute(
            "SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM e.at - a.created_at)) "
            "FROM effects e JOIN actions a USING (action_id) WHERE e.state = 'observed'"
        ).fetchone()
    recorded = [
        Recorded(event_id=id_, band=band, outcome=outcome, reasons=tuple(reasons))
        for id_, band, outcome, reasons in rows
        if id_ in truth
    ]
    target = client.get("ActionTarget", TARGET)
    token = SecretStore(home.secrets).get(*TOKEN) or ""
    return Outcome(
        recorded=recorded,
        truth=truth,
        saturated=streamed.saturated,
        paced=streamed.paced,
        steps=streamed.steps,
        overdue=streamed.overdue,
        conservation=conservation(connection, accounts=target["status"]["address"], token=token),
        example_decision=str(shown[0]) if shown else None,
        freeze_seconds=tuple(waits[0]) if waits and waits[0] else (0.0, 0.0),
        certificates=certification.bands,
        drift=drifted,
        runtimes={
            each["metadata"]["name"]: each["spec"].get("runtime", {}).get("type", "Native")
            for each in client.objects("ModelDeployment")
        },
        approval=target["spec"].get("approval", {}).get("type", "WhenUncertified"),
        comparison=comparison,
        by_hand=by_hand,
    )
