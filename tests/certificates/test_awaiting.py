"""When a new revision takes over at once and when it waits, from what either has certified."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pointsman.api.decision_graph import Code
from pointsman.certificates.awaiting import Certified, awaited
from pointsman.certificates.document import Segment
from pointsman.certificates.promise import promises
from pointsman.certificates.standing import Demotion, Known, stand

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DEMOTED = Demotion(band="approve", segment=None, at=NOW, author="monitor", comment="")


@pytest.fixture
def waits(required):
    """For which bands the candidate waits where these certificates are known; False where it takes over."""

    def of(candidate, *certificates, serving=required, now=NOW, demotions=()):
        known = Known(certificates=certificates, demotions=demotions)
        old, new = (
            Certified(resolved=each, promises=promises(each), standing=stand(promises(each), known, now))
            for each in (serving, candidate)
        )
        found = awaited(old, new)
        return found is not None and [each.band for each in found.bands]

    return of


@pytest.fixture(scope="module")
def other_score(change, required):
    return change(score=required.graph.spec.score.replace("0.7", "0.71"))


def with_model(resolved, node="boosted", digest="1"):
    models = {**resolved.models, node: resolved.models[node].model_copy(update={"digest": f"sha256:{digest * 64}"})}
    return resolved.model_copy(update={"models": models, "revision": f"sha256:{digest * 64}"})


def test_it_waits_for_every_band_that_acts_now_and_would_not(waits, other_score, certificate) -> None:
    approve, freeze = certificate(), certificate("freeze")
    assert waits(other_score, approve, freeze) == ["approve", "freeze"]
    assert waits(other_score, approve) == ["approve"]
    assert waits(other_score, approve, freeze, certificate(resolved=other_score)) == ["freeze"]
    both = [certificate(each, resolved=other_score) for each in ("approve", "freeze")]
    assert waits(other_score, approve, freeze, *both) is False


def test_it_takes_over_where_nothing_is_automatic_now(waits, other_score, certificate) -> None:
    assert waits(other_score) is False
    assert waits(other_score, certificate(), now=NOW + timedelta(days=1)) is False  # it has expired
    assert waits(other_score, certificate(), demotions=[DEMOTED]) is False


def test_where_certificates_are_not_required_before_or_after_nothing_waits(
    waits, change, other_score, certificate
) -> None:
    free = change(certificates="NotRequired", score=other_score.graph.spec.score)
    assert waits(free, certificate()) is False
    assert waits(other_score, certificate(), serving=change(certificates="NotRequired")) is False


def test_whoever_wants_it_at_once_says_so(waits, change, other_score, certificate) -> None:
    forced = change(score=other_score.graph.spec.score, on_missing_certificates="Review")
    assert waits(forced, certificate()) is False


def test_what_does_not_change_the_scorer_takes_over(waits, change, certificate) -> None:
    assert waits(change(deadline=None), certificate(), certificate("freeze")) is False


def test_a_moved_threshold_holds_up_its_own_band(waits, change, required, certificate) -> None:
    bands = [
        each.model_copy(update={"below": Decimal("0.04")}) if each.name == "approve" else each
        for each in required.graph.spec.bands
    ]
    assert waits(change(bands=bands), certificate(), certificate("freeze")) == ["approve"]


def test_a_band_that_is_given_up_is_no_loss_and_one_that_is_renamed_is(waits, change, required, certificate) -> None:
    def with_approve(**changes):
        spec = required.graph.spec
        return change(
            bands=[each.model_copy(update=changes) if each.name == "approve" else each for each in spec.bands]
        )

    assert waits(with_approve(outcome="review", promise=None), certificate()) is False
    assert waits(with_approve(name="let-pass"), certificate()) == ["let-pass"]


def test_a_line_of_code_is_another_scorer_for_every_band(waits, change, required, certificate) -> None:
    """No host runs Python nodes yet; what their code's digest does to certificates is settled all the same."""
    code, edited = (Code(wheel="fraud-1.0-py3-none-any.whl", digest=f"sha256:{each * 64}") for each in "ab")
    nodes = [
        *required.graph.spec.nodes,
        type(required.graph.spec.nodes[0]).model_validate(
            {
                "name": "risk",
                "type": "Python",
                "python": {"function": "fraud:risk", "inputs": {"p": "boosted.probability"}},
            }
        ),
    ]
    before, after = (change(code=each, nodes=nodes, score="risk.value") for each in (code, edited))
    certificates = [certificate(each, resolved=before) for each in ("approve", "freeze")]
    assert waits(after, *certificates, serving=before) == ["approve", "freeze"]


def test_segments_that_act_now_must_act_then(waits, other_score, certificate) -> None:
    def by_card(*values, resolved=None):
        more = {} if resolved is None else {"resolved": resolved}
        return [certificate(segment=Segment(field="event.card_id", value=each), **more) for each in values]

    assert waits(other_score, *by_card("a", "b"), *by_card("a", resolved=other_score)) == ["approve"]
    assert waits(other_score, *by_card("a"), *by_card("a", "b", resolved=other_score)) is False
    assert waits(other_score, *by_card("a"), certificate(resolved=other_score)) is False
    assert waits(other_score, certificate(), *by_card("a", resolved=other_score)) is False  # certified by segment


def test_it_says_why_and_which_models_alone_make_the_difference(required, change, certificate) -> None:
    def of(candidate, *certificates):
        known = Known(certificates=certificates)
        sides = [
            Certified(resolved=each, promises=promises(each), standing=stand(promises(each), known, NOW))
            for each in (required, candidate)
        ]
        return awaited(*sides)

    moved = of(with_model(required), certificate())
    assert (moved.models, moved.revision) == (("fraud-scorer",), "sha256:" + "1" * 64)
    assert moved.bands[0].message.endswith('changed since: model of node "boosted"')
    assert of(with_model(with_model(required), "sequence", "2"), certificate()).models == (
        "card-sequence",
        "fraud-scorer",
    )
    assert of(with_model(change(score="boosted.probability")), certificate()).models == ()
    shorter = required.views[0].model_copy(
        update={"spec": required.views[0].spec.model_copy(update={"features": required.views[0].spec.features[:-1]})}
    )
    viewed = required.model_copy(update={"views": (shorter, *required.views[1:]), "revision": "sha256:" + "3" * 64})
    assert (of(viewed, certificate()).other_features, moved.other_features) == (True, False)
    some = [certificate(segment=Segment(field="event.card_id", value=each)) for each in ("a", "b")]
    other = with_model(required)
    one = certificate(segment=Segment(field="event.card_id", value="a"), resolved=other)
    assert of(other, *some, one).bands[0].message == 'no certificate where event.card_id = "b"'


def test_the_tighter_promise_of_an_edit_is_waited_for(waits, required, change, certificate) -> None:
    bands = [
        each.model_copy(
            update={"promise": each.promise.model_copy(update={"max_error": type(each.promise.max_error)("0.01%")})}
        )
        if each.name == "approve"
        else each
        for each in required.graph.spec.bands
    ]
    assert waits(change(bands=bands), certificate()) == ["approve"]
