"""Nobody lets an action go alone that people have to approve, and nothing goes that is not what they approved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.actions.approval import Proposal, Refused, Said, people_needed, weigh
from pointsman.api.action_target import Approval

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FREEZE = Proposal(
    action_id=UUID(int=1), decision_id=UUID(int=2), target="accounts", operation="freeze", parameters={"account": "a"},
    evidence=b"e" * 32, proposer="ann", people=2, expires_at=NOW + timedelta(hours=1),
)  # fmt: skip


def says(who: str, *, approves: bool = True, of: Proposal = FREEZE) -> Said:
    return Said(who=who, approves=approves, digest=of.digest)


def test_two_others_let_it_go_and_one_refusal_ends_it() -> None:
    assert weigh(FREEZE, [], says("bob"), NOW) == "waits"
    assert weigh(FREEZE, [says("bob")], says("cid"), NOW) == "approved"
    assert weigh(FREEZE, [says("bob")], says("cid", approves=False), NOW) == "denied"
    assert weigh(replace(FREEZE, people=1), [], says("bob", of=replace(FREEZE, people=1)), NOW) == "approved"


@pytest.mark.parametrize(
    ("before", "said", "now", "says_why"),
    [
        ([], says("ann"), NOW, "you have asked for it"),
        ([says("bob")], says("bob"), NOW, "another person is to approve it too"),
        ([], says("bob"), NOW + timedelta(hours=1), "has expired"),
        ([], says("bob", of=replace(FREEZE, parameters={"account": "b"})), NOW, "look at it again"),
    ],
)
def test_what_nobody_can_say_is_refused_with_the_reason(before, said, now, says_why) -> None:
    with pytest.raises(Refused, match=says_why):
        weigh(FREEZE, before, said, now)


@pytest.mark.parametrize(
    "changed",
    [
        {"parameters": {"account": "b"}}, {"operation": "close"}, {"target": "other"}, {"evidence": b"f" * 32},
        {"proposer": "bob"}, {"people": 1}, {"decision_id": UUID(int=3)}, {"action_id": UUID(int=3)},
    ],
)  # fmt: skip
def test_an_approval_is_of_this_very_action_for_this_very_reason(changed) -> None:
    assert replace(FREEZE, **changed).digest != FREEZE.digest


def test_the_strictest_terms_count() -> None:
    one, two = Approval(type="Always", policy="OnePerson"), Approval(type="WhenUncertified")
    assert [people_needed(each) for each in ([Approval(type="Never")], [one, None], [one, two], [])] == [0, 1, 2, 0]


@given(st.lists(st.tuples(st.sampled_from(["ann", "bob", "cid", "dee"]), st.booleans(), st.booleans()), max_size=8))
def test_whatever_is_said_in_whatever_order_only_two_others_let_it_go(history) -> None:
    said, stands = list[Said](), "waits"
    for who, approves, of_this in history:
        if stands != "waits":
            break
        one = says(who, approves=approves, of=FREEZE if of_this else replace(FREEZE, operation="close"))
        try:
            stands = weigh(FREEZE, said, one, NOW)
        except Refused:
            continue
        said.append(one)
    agreed = {each.who for each in said if each.approves and each.digest == FREEZE.digest} - {"ann"}
    assert (stands == "approved") == (len(agreed) >= 2 and all(each.approves for each in said))
