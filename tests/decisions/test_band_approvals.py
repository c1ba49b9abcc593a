"""What a band asks for and people have to approve waits for them; where a certificate is all it takes, that lets it go."""

from __future__ import annotations

import hashlib

import pytest

from pointsman.actions import approvals
from pointsman.actions.batches import Batches
from pointsman.actions.gate import Breaker
from pointsman.api.action_target import ActionTarget, Approval
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine
from pointsman.graphs.compile import compile_graph
from pointsman.graphs.resolve import ResolvedGraph, resolve
from pointsman.store.database import connect

ALWAYS, ONE = Approval(type="Always"), Approval(type="Always", policy="OnePerson")
UNCERTIFIED, NEVER = Approval(type="WhenUncertified"), Approval(type="Never")


def with_approval(resolved: ResolvedGraph, approval: Approval, **fields: object) -> ResolvedGraph:
    """The fraud example, whose band "approve" freezes the account too; its target asks for this approval."""
    spec = resolved.graph.spec
    bands = [each.model_copy(update={"actions": ["freeze"]}) if each.name == "approve" else each for each in spec.bands]
    spec = spec.model_copy(update={"bands": bands} | fields)
    (target,) = resolved.targets
    target = target.model_copy(update={"spec": target.spec.model_copy(update={"approval": approval})})
    return resolve(
        graph=resolved.graph.model_copy(update={"spec": spec}),
        stream=resolved.stream,
        views=resolved.views,
        targets=[target],
        models=resolved.models,
    )


def target_of(resolved: ResolvedGraph) -> ActionTarget:
    (target,) = resolved.targets
    return target


@pytest.mark.parametrize(
    ("terms", "required", "people"),
    [
        (NEVER, False, 0), (UNCERTIFIED, False, 2), (ALWAYS, False, 2), (ONE, False, 1),
        (UNCERTIFIED, True, 0), (ALWAYS, True, 2),
    ],
)  # fmt: skip
def test_so_many_must_approve_what_a_band_asks_for(library, terms, required, people) -> None:
    resolved = with_approval(library.graph.resolved, terms, certificates="Required" if required else "NotRequired")
    assert compile_graph(resolved, library.ports).actions["freeze"].people == people


def test_a_graph_may_ask_for_more_than_its_target(library) -> None:
    actions = [each.model_copy(update={"approval": ALWAYS}) for each in library.graph.resolved.graph.spec.actions]
    resolved = with_approval(library.graph.resolved, NEVER, actions=actions)
    assert compile_graph(resolved, library.ports).actions["freeze"].people == 2


def test_another_number_of_people_is_another_revision(library) -> None:
    revisions = {with_approval(library.graph.resolved, each).revision for each in (NEVER, UNCERTIFIED, ALWAYS, ONE)}
    assert len(revisions) == 4


@pytest.mark.slow
def test_the_decision_stands_and_its_action_waits_for_two_people(library, database_url, submit, event) -> None:
    resolved = with_approval(library.graph.resolved, ALWAYS)
    committer = Committer(database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
    engine = Engine(compile_graph(resolved, library.ports), library.ports, committer, patience_seconds=5)
    engine.open()
    (answer,) = submit(engine, [event()])
    engine.close()
    assert (answer["outcome"], answer["reasons"]) == ("approve", ())
    with connect(database_url) as connection, connection.cursor() as cursor:
        (row,) = cursor.execute("SELECT state, reason, people, proposer, evidence, certified FROM outbox").fetchall()
        (body,) = cursor.execute("SELECT body FROM decisions").fetchall()[0]
        assert row == ("checked", "AwaitingApproval", 2, "pointsman", hashlib.sha256(body).digest(), False)
        batches, begun = Batches(target_of(resolved), owner="d", size=10, lease_seconds=60), list[int]()
        for who in ("bob", "cid", None):
            found = batches.begin(cursor, 0, batches.claim(cursor, 0, Breaker(), None))
            assert found is not None
            begun.append(len(found.work))
            if who is not None:
                (waits,) = approvals.waiting(connection, resolved.graph_uid, after=None, limit=10)
                seen = bytes.fromhex(waits["digest"])
                approvals.say(
                    connection, waits["action_id"], who, approves=True, reason="r", digest=seen, now=waits["created_at"]
                )
        assert begun == [0, 0, 1]
