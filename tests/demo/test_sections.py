"""What the report says of certificates, of people's load, and of a drift."""

from __future__ import annotations

from dataclasses import replace

from pointsman.demo.certified import Measured
from pointsman.demo.drifting import Alarm, Drifted
from pointsman.demo.hand_set import HandSet, Load
from pointsman.demo.sections import certificates, drift, people

CERTIFIED = Measured(
    band="approve",
    promise=0.001,
    confidence=0.95,
    certified=True,
    labelled=200_000,
    wrong=107,
    bound=0.00061,
    next_promise=0.0005,
    needed="more items do not help",
)
DRIFTED = Drifted(
    before=12_000,
    sent=30_000,
    heard=300,
    wrong_before=7,
    wrong_until_alarm=1900,
    wrong_after_alarm=0,
    prevented=590,
    prevented_cents=2_000_000,
    honest_to_people=3300,
    alarm=Alarm(band="approve", events=14_000, hours=22.5, wrong=4, labelled=280),
)


def test_a_certified_band_says_its_bound_and_what_the_next_promise_takes() -> None:
    found = certificates([CERTIFIED])
    assert found.rows == (("approve", "0.10% at 95%", "200,000", "107", "0.061%", "yes"),)
    assert "next for approve, 0.05%: more items do not help." in found.sentences


def test_a_band_that_is_not_certified_goes_to_people_and_says_what_it_takes() -> None:
    (row,), (_, needed) = (
        getattr(certificates([replace(CERTIFIED, certified=False, next_promise=0.001)]), each)
        for each in ("rows", "sentences")
    )
    assert row[-1] == "no: its items go to people"
    assert needed.startswith("needed for approve, 0.10%")


def test_the_alarm_says_when_it_came_and_what_it_saved() -> None:
    found = drift(DRIFTED)
    text = " ".join(found.sentences)
    assert found.title == "A drift, the alarm, and what it saved"
    for said in (
        "From event 12,001",
        "14,000 events later (22.5 h",
        '4 of 280 in band "approve"',
        "1,900 frauds until then (7 before",
        "0 of the 4,000 events after it: 590 frauds of 20,000.00",
    ):
        assert said in text


def test_a_drift_that_nobody_noticed_is_told_too() -> None:
    found = drift(replace(DRIFTED, alarm=None))
    assert found.title == "A drift that raised no alarm"
    assert "1,900 frauds were approved" in found.sentences[1]


def test_people_see_more_or_less_and_it_is_said_which() -> None:
    hand = Load(items=1000, audited=0, frauds=800, caught=750, lost_cents=100, frozen_wrongly=0)
    bands = replace(hand, items=800, audited=200)
    assert "people see 20% less, and without what the audit draws 40% less" in " ".join(
        people(HandSet(threshold=0.06, bands=bands, by_hand=hand)).sentences
    )
    assert "people see 25% more" in " ".join(people(HandSet(threshold=0.06, bands=hand, by_hand=bands)).sentences)
