"""The audit sample: people see a share of every band, and the band acts all the same."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import orjson
import pytest

from pointsman.api.decision_graph import Audit
from pointsman.api.meta import Percent
from pointsman.decisions.accept import accept
from pointsman.decisions.record import Records, records
from pointsman.graphs.audit import drawn, draws
from pointsman.graphs.compile import compile_graph
from pointsman.graphs.decide import GraphState, evaluate, triage
from pointsman.library import GraphLibrary, load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
GRAPH, OTHER = UUID(int=1), UUID(int=2)
IDS = [hashlib.sha256(b"%d" % number).digest()[:16] for number in range(50_000)]
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def events(rows: int) -> list[dict[str, str]]:
    return [
        {
            "transaction_id": f"t{at}",
            "occurred_at": "2026-03-02T10:00:00Z",
            "amount": "9000.00" if at % 4 == 0 else "12.50",  # one in four goes to a person by a rule
            "card_id": f"c{at}",
            "terminal_id": f"t{at}",
            "card_account": "a",
        }
        for at in range(rows)
    ]


@pytest.fixture(scope="module")
def library() -> GraphLibrary:
    """The fraud example, of which people see a tenth."""
    found = load(EXAMPLE)
    resolved = found.graph.resolved
    spec = resolved.graph.spec.model_copy(update={"audit": Audit(sample=Percent("10%"))})
    graph = resolved.graph.model_copy(update={"spec": spec})
    compiled = compile_graph(resolved.model_copy(update={"graph": graph}), found._ports)
    return GraphLibrary(compiled, found._ports)


def recorded(library: GraphLibrary, rows: list[dict[str, str]]) -> Records:
    """What a host would write."""
    graph = library.graph
    accepted = accept(graph, rows, lambda ids: {}, source="test", arrived=int(NOW.timestamp() * 1e6))
    evaluation = evaluate(graph, accepted.columns, GraphState(graph.views), library._ports, now=NOW)
    sample = draws(graph.resolved.graph_uid, accepted.decision_ids)
    return records(
        graph,
        decision_ids=accepted.decision_ids,
        events=accepted.events,
        first_seq=0,
        evaluation=evaluation,
        triage=triage(graph, evaluation, np.zeros(len(rows), dtype=np.bool_), sample),
        decided_at=NOW,
    )


def test_the_share_is_what_was_asked_for_and_each_graph_draws_its_own() -> None:
    one, other = drawn(GRAPH, IDS, 0.01), drawn(OTHER, IDS, 0.01)
    assert 400 < one.sum() < 600
    assert (one & other).sum() < 30
    assert not drawn(GRAPH, IDS, 0.0).any()
    assert drawn(GRAPH, IDS, 1.0).all()


def test_who_is_drawn_depends_on_no_neighbour_and_stays_drawn_when_the_share_grows() -> None:
    few, many = drawn(GRAPH, IDS, 0.05), drawn(GRAPH, IDS, 0.2)
    assert (many | ~few).all()
    alone = [bool(drawn(GRAPH, [id_], 0.05)[0]) for id_ in IDS[:2000]]
    assert alone == few[:2000].tolist()


def test_an_audited_item_is_carried_out_and_seen_by_a_person_and_its_record_says_how_probable_that_was(library) -> None:
    written = recorded(library, events(400))
    decisions = written.decisions
    audited = [at for at, reasons in enumerate(decisions.reasons) if "AuditSample" in reasons]
    assert 15 < len(audited) < 50
    assert {decisions.outcomes[at] for at in audited} == {"approve"}
    in_review = {each.decision_id for each in written.reviews}
    for at, id_ in enumerate(decisions.ids):
        assert (id_ in in_review) == (decisions.outcomes[at] == "review" or at in audited)
        said = orjson.loads(decisions.bodies[at]).get("audit")
        assert said == ({"propensity": 0.1} if at in audited else None)


def test_what_a_person_sees_anyway_is_no_audit(library) -> None:
    written = recorded(library, events(400))
    by_a_rule = [
        reasons
        for outcome, reasons in zip(written.decisions.outcomes, written.decisions.reasons, strict=True)
        if outcome == "review"
    ]
    assert len(by_a_rule) == 100
    assert not any("AuditSample" in reasons for reasons in by_a_rule)


def test_the_library_and_a_host_draw_the_same(library) -> None:
    rows = events(200)
    told = library.fresh().decide(rows, now=NOW)
    assert [tuple(each["reasons"]) for each in told] == list(recorded(library, rows).decisions.reasons)
    assert any(each["reasons"] == ["AuditSample"] for each in told)
