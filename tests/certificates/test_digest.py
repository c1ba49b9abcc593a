"""The scorer digest: what decides the score changes it and is named, what follows from the score does not."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pointsman.certificates.digest import scorer_of_band
from pointsman.certificates.promise import promises


def differs(before, after, band="approve"):
    return scorer_of_band(after, band).differs_from(scorer_of_band(before, band).parts)


@pytest.fixture(scope="module")
def spec(required):
    return required.graph.spec


def test_one_character_of_the_score_expression_is_another_scorer(required, change, spec) -> None:
    after = change(score=spec.score.replace("0.7", "0.8"))
    assert differs(required, after) == ("score expression",)
    assert scorer_of_band(after, "approve").value != scorer_of_band(required, "approve").value


def test_another_model_is_another_scorer_for_every_band(required, change) -> None:
    models = dict(required.models)
    models["boosted"] = models["boosted"].model_copy(update={"digest": "sha256:" + "1" * 64})
    after = required.model_copy(update={"models": models})
    for band in ("approve", "freeze"):
        assert differs(required, after, band) == ('model of node "boosted"',)


def test_where_a_model_runs_does_not_matter(required, spec) -> None:
    models = {
        name: each.model_copy(update={"placement": "Remote", "folder": "/elsewhere", "url": "http://x", "version": "9"})
        for name, each in required.models.items()
    }
    assert differs(required, required.model_copy(update={"models": models})) == ()


def test_a_view_is_named_when_it_changes(required) -> None:
    view = required.views[0]
    shorter = view.model_copy(update={"spec": view.spec.model_copy(update={"features": view.spec.features[:-1]})})
    after = required.model_copy(update={"views": (shorter, *required.views[1:])})
    assert differs(required, after) == (f'view "{view.metadata.name}"',)


def test_a_threshold_concerns_its_own_band(required, change, spec) -> None:
    bands = [
        band.model_copy(update={"below": Decimal("0.04")}) if band.name == "approve" else band for band in spec.bands
    ]
    after = change(bands=bands)
    assert differs(required, after) == ('thresholds of band "approve"',)
    assert differs(required, after, "freeze") == ()


def test_what_follows_from_a_score_does_not_change_it(required, change, spec) -> None:
    bands = [band.model_copy(update={"actions": []}) for band in spec.bands]
    rules = [each for each in spec.nodes if each.type != "Rules"]
    after = change(bands=bands, nodes=rules, deadline=spec.deadline, review=type(spec.review)())
    assert differs(required, after) == ()
    assert differs(required, after, "freeze") == ()


def test_the_label_is_part_of_it(required, change, spec) -> None:
    label = spec.label.model_copy(update={"name": "chargeback"})
    assert differs(required, change(label=label)) == ("label",)


def test_a_field_of_the_contract_counts_where_it_is_used(required) -> None:
    def with_field(name, **changes):
        fields = [
            each.model_copy(update=changes) if each.name == name else each
            for each in required.stream.spec.contract.fields
        ]
        contract = required.stream.spec.contract.model_copy(update={"fields": fields})
        spec = required.stream.spec.model_copy(update={"contract": contract})
        return required.model_copy(update={"stream": required.stream.model_copy(update={"spec": spec})})

    assert differs(required, with_field("amount", description="in euros")) == ()
    assert 'contract of field "amount"' in differs(required, with_field("amount", scale=3))
    assert differs(required, with_field("card_account", max_length=7)) == ()


def test_bands_promise_the_label_that_their_place_says(required) -> None:
    assert [(each.name, each.label, each.alpha, round(each.delta, 12)) for each in promises(required)] == [
        ("approve", False, 0.001, 0.05),
        ("freeze", True, 0.01, 0.05),
    ]
