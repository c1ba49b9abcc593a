"""Which bands may act: what makes a certificate live, and what a status says where none is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pointsman.api.reasons import Reason
from pointsman.certificate_files import read_known
from pointsman.certificates.document import Segment
from pointsman.certificates.live import NOTHING_LIVE, LiveBands
from pointsman.certificates.promise import promises
from pointsman.certificates.standing import Demotion, Known, stand
from pointsman.columns import Column, ColumnType, FieldType

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
EVENT = {
    "transaction_id": "t1",
    "occurred_at": "2026-03-02T10:00:00Z",
    "amount": "12.50",
    "card_id": "c",
    "terminal_id": "t",
    "card_account": "a",
}
CARDS = Column(type=ColumnType(type=FieldType.STRING), values=np.array(["a", "b", "c"], dtype=object))


def demotion(**changes):
    made = Demotion(band="approve", segment=None, at=NOW, author="monitor", comment="4 of 700 audited items are wrong")
    return replace(made, **changes)


def live(**fields):
    """What is live of the example while its other band never had a certificate."""
    return LiveBands(**fields, never=frozenset({2}))


def by_card(value):
    return Segment(field="event.card_id", value=value)


def said(standing, band="approve"):
    return [(each.segment, each.reason.value) for each in standing.reports if each.band == band]


@pytest.fixture
def of(required):
    return promises(required)


def test_without_certificates_it_says_how_many_labelled_items_it_takes(of) -> None:
    standing = stand(of, Known(), NOW)
    assert standing.live == LiveBands(never=frozenset({0, 2}))
    assert [each.reason for each in standing.reports] == [Reason.NoLiveCertificate] * 2
    assert "it takes at least 2,995 labelled items of the band, none wrong" in standing.reports[0].message


def test_a_band_acts_until_its_certificate_expires(of, certificate) -> None:
    known = Known(certificates=[certificate()])
    standing = stand(of, known, LATER)
    assert (standing.live, said(standing)) == (live(whole=frozenset({0})), [(None, "CertificatesLive")])
    assert "error at most 0.050% (0 wrong of 5,000) until 2026-11-28" in standing.reports[0].message
    assert standing.until == known.certificates[0].expires
    expired = stand(of, known, standing.until)
    assert (expired.live, said(expired)) == (live(), [(None, "CertificateExpired")])


def test_a_certificate_ends_soon_from_seven_days_before_its_end_on(of, certificate) -> None:
    ends = NOW + timedelta(days=30)
    known = Known(certificates=[certificate(expires=ends)])
    standing = stand(of, known, NOW)
    assert (standing.reports[0].ends_soon, standing.until) == (False, ends - timedelta(days=7))
    later = stand(of, known, ends - timedelta(days=7))
    assert (later.reports[0].ends_soon, later.reports[0].live, later.until) == (True, True, ends)
    assert not stand(of, known, ends).reports[0].ends_soon


def test_a_certificate_of_another_scorer_says_what_changed(certificate, change, required) -> None:
    known = Known(certificates=[certificate(), certificate("freeze")])
    other = change(score=required.graph.spec.score.replace("0.7", "0.71"))
    standing = stand(promises(other), known, NOW)
    assert (standing.live, said(standing)) == (NOTHING_LIVE, [(None, "ScorerChanged")])
    assert standing.reports[0].message.endswith("changed since: score expression")


def test_a_tighter_promise_than_was_certified_is_not_kept(of, certificate) -> None:
    known = Known(certificates=[certificate(bound=0.0011)])
    assert said(stand(of, known, NOW)) == [(None, "NoLiveCertificate")]
    assert "certified is an error of at most 0.110%" in stand(of, known, NOW).reports[0].message
    assert said(stand(of, Known(certificates=[certificate(delta=0.1)]), NOW)) == [(None, "NoLiveCertificate")]


def test_certificates_of_the_next_scorer_do_not_touch_those_of_this_one(of, certificate, change) -> None:
    following = change(score="boosted.probability")
    known = Known(certificates=[certificate(), certificate(resolved=following)])
    assert said(stand(of, known, NOW)) == [(None, "CertificatesLive")]
    assert said(stand(promises(following), known, NOW)) == [(None, "CertificatesLive")]


def test_what_no_key_has_signed_is_said(of) -> None:
    (report, _) = stand(of, Known(refused=("approve",)), NOW).reports
    assert report.message == "its certificate is signed by no key that is known here"


def test_a_demoted_band_does_not_act_and_says_why(of, certificate) -> None:
    known = Known(certificates=[certificate()], demotions=[demotion()])
    standing = stand(of, known, NOW)
    assert standing.live == live(demoted=LiveBands(whole=frozenset({0})))
    assert said(standing) == [(None, "BandDemoted")]
    assert standing.reports[0].message == "it was demoted by monitor: 4 of 700 audited items are wrong"


def test_without_certificates_a_band_acts_until_it_is_demoted(of, certificate, change, open_library) -> None:
    assert stand(of, Known(certificates=[certificate()]), NOW, required=False).reports == ()
    known = Known(demotions=[demotion(segment="a")])
    standing = stand(of, known, NOW, required=False)
    assert standing.live == LiveBands(demoted=LiveBands(whole=frozenset({0})))
    assert said(standing) == [(None, "BandDemoted")]
    free = change(certificates="NotRequired")
    assert open_library(free).decide([EVENT], now=NOW)[0]["outcome"] == "approve"
    (answer,) = open_library(free, known).decide([EVENT], now=NOW)
    assert (answer["outcome"], answer["reasons"]) == ("review", ["BandDemoted"])


def test_the_last_certification_says_whether_a_band_is_by_segment(of, certificate) -> None:
    segments = [certificate(segment=by_card("a")), certificate(segment=by_card("b"), bound=0.5)]
    standing = stand(of, Known(certificates=[certificate(), *segments]), NOW)
    assert standing.live == live(by_segment={0: ("event.card_id", frozenset({"a"}))})
    assert said(standing) == [('event.card_id = "a"', "CertificatesLive")]
    again = stand(of, Known(certificates=[*segments, certificate()]), NOW)
    assert again.live == live(whole=frozenset({0}))


def test_a_demoted_segment_leaves_the_others_and_takes_the_whole(of, certificate) -> None:
    segments = [certificate(segment=by_card("a")), certificate(segment=by_card("b"))]
    demoted = [demotion(segment="a")]
    assert stand(of, Known(certificates=segments, demotions=demoted), NOW).live == live(
        by_segment={0: ("event.card_id", frozenset({"b"}))},
        demoted=LiveBands(by_segment={0: ("event.card_id", frozenset({"a"}))}),
    )
    whole = stand(of, Known(certificates=[certificate()], demotions=demoted), NOW).live
    assert whole == live(demoted=LiveBands(whole=frozenset({0})))


def test_a_band_begins_as_long_as_it_never_had_a_certificate(of, certificate) -> None:
    position = of[0].position
    assert position in stand(of, Known(), NOW).live.never
    for known in (
        Known(certificates=[certificate(expires=NOW)]),
        Known(certificates=[certificate(scorer="sha256:" + "1" * 64)]),
        Known(refused=("approve",)),
        Known(demotions=[demotion()]),
    ):
        assert position not in stand(of, known, NOW).live.never
    assert [each.never_certified for each in stand(of, Known(refused=("approve",)), NOW).reports] == [False, True]


def test_rows_are_covered_by_band_and_segment() -> None:
    live = LiveBands(whole=frozenset({2}), by_segment={0: ("event.card_id", frozenset({"a"}))})
    columns = {"event.card_id": CARDS}
    assert live.covers(np.array([0, 0, 2]), columns).tolist() == [True, False, True]
    assert live.covers(np.array([-1, 1, 0]), columns).tolist() == [False, False, False]
    assert NOTHING_LIVE.covers(np.array([0, 1, -1]), columns).tolist() == [False] * 3


def test_an_item_acts_only_where_its_certificate_is_live(required, open_library, certificate, change) -> None:
    def decided(resolved, *certificates):
        (answer,) = open_library(resolved, Known(certificates=certificates)).decide([EVENT], now=NOW)
        return answer["outcome"], answer["reasons"]

    assert decided(required, certificate()) == ("approve", [])
    assert decided(required, certificate(segment=by_card("c"))) == ("approve", [])
    assert decided(required, certificate(segment=by_card("d"))) == ("review", ["NoLiveCertificate"])
    assert decided(required, certificate("freeze")) == ("review", ["NoLiveCertificate"])
    edited = change(score=required.graph.spec.score + " + 0.0")
    assert decided(edited, certificate()) == ("review", ["NoLiveCertificate"])


def test_the_example_ships_certificates_that_are_live_for_its_thresholds_and_models(required, open_library) -> None:
    library = open_library(required, read_known(EXAMPLE / "certificates", "card-fraud"))
    assert {each.band: each.reason for each in library.certified().reports} == {
        "approve": Reason.CertificatesLive,
        "freeze": Reason.CertificatesLive,
    }
