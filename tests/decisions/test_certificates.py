"""Certificates in the store: in effect for the next batch, taken back at once, a leaf of the ledger for each change."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointsman.api.decision_graph import Audit
from pointsman.api.meta import Percent
from pointsman.certificates.document import BandCertificate, Segment, SignedCertificate
from pointsman.certificates.promise import promises
from pointsman.decisions import certificate_store
from pointsman.decisions.certificate_store import CertificateReader, CertificateRefused
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine
from pointsman.decisions.queries import explain, record_revision
from pointsman.graphs.compile import compile_graph
from pointsman.graphs.resolve import ResolvedGraph, resolve
from pointsman.ledger.verify import verify
from pointsman.monitoring.store import watched
from pointsman.reviews import queue, verdicts
from pointsman.reviews.verdicts import Said
from pointsman.store.database import connect

NOW = datetime.now(UTC)
KEY, NEXT, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([at] * 32)) for at in range(3))


def but(resolved: ResolvedGraph, **fields: object) -> ResolvedGraph:
    spec = resolved.graph.spec.model_copy(update={"certificates": "Required"} | fields)
    parts = {"stream": resolved.stream, "views": resolved.views, "targets": resolved.targets, "models": resolved.models}
    return resolve(graph=resolved.graph.model_copy(update={"spec": spec}), **parts)


@pytest.fixture(scope="module")
def resolved(library) -> ResolvedGraph:
    return but(library.graph.resolved)


@pytest.fixture
def uid(resolved):
    return resolved.graph_uid


@pytest.fixture
def owner(owner_url):
    with connect(owner_url) as opened:
        certificate_store.add_key(opened, KEY.public_key(), NOW)
        opened.commit()
        yield opened


@pytest.fixture
def connection(owner, database_url):
    with connect(database_url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def engine(library, resolved, database_url):
    committer = Committer(database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
    opened = Engine(compile_graph(resolved, library._ports), library._ports, committer, patience_seconds=5)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def look_at_every_batch(monkeypatch) -> None:
    monkeypatch.setattr(certificate_store, "READ_SECONDS", 0.0)


def certificate(resolved: ResolvedGraph, key=KEY, band="approve", **fields) -> SignedCertificate:
    of = next(each for each in promises(resolved) if each.name == band)
    said = {
        "id": uuid4(),
        "graph": resolved.graph.name,
        "graph_uid": resolved.graph_uid,
        "band": band,
        "outcome": of.outcome,
        "promises": of.label,
        "alpha": of.alpha,
        "delta": of.delta,
        "wrong": 0,
        "labelled": 3000,
        "bound": of.alpha,
        "p_value": 0.05,
        "candidates": 1,
        "method": "ClopperPearson",
        "population": "all",
        "scorer": of.digest.value,
        "scorer_parts": of.digest.parts,
        "data": f"sha256:{hashlib.sha256(b'').hexdigest()}",
        "issued": NOW,
        "expires": NOW + timedelta(days=90),
        "issuer": "ann",
    }
    return SignedCertificate.sign(BandCertificate(**said | fields), key)


def demote(connection, uid, segment=None):
    what = {"segment": segment, "certificate_id": None, "author": "monitor", "comment": "alarm"}
    return certificate_store.demote(connection, uid, "approve", now=NOW + timedelta(minutes=1), **what)


def rearm(connection, uid, author, segment=None):
    what = {"segment": segment, "author": author, "comment": "looked at"}
    return certificate_store.rearm(connection, uid, "approve", now=NOW + timedelta(minutes=3), **what)


def test_a_band_acts_from_the_batch_after_its_certificate_and_no_more_when_it_is_demoted(
    engine, submit, event, connection, resolved, uid
) -> None:
    def decided():
        (answer,) = submit(engine, [event()])
        return answer["outcome"], list(answer["reasons"])

    assert decided() == ("review", ["NoLiveCertificate"])
    assert certificate_store.issue(connection, [certificate(resolved)]) == 1
    assert decided() == ("approve", [])
    assert [each.reason.value for each in engine.bands()] == ["CertificatesLive", "NoLiveCertificate"]
    demote(connection, uid)
    assert decided() == ("review", ["BandDemoted"])
    assert engine.bands()[0].message == "it was demoted by monitor: alarm"


def test_a_demoted_band_sends_its_items_to_people_though_no_certificate_is_required(
    engine, submit, event, connection, resolved, library, uid
) -> None:
    free = but(resolved, certificates="NotRequired")
    engine.switch(compile_graph(free, library._ports), library._ports)
    assert submit(engine, [event()])[0]["outcome"] == "approve"
    demote(connection, uid)
    assert submit(engine, [event()])[0]["reasons"] == ("BandDemoted",)
    assert [each.reason.value for each in engine.bands()] == ["BandDemoted"]


def test_a_revision_with_another_score_has_no_live_certificate(
    engine, submit, event, connection, resolved, library
) -> None:
    certificate_store.issue(connection, [certificate(resolved)])
    assert submit(engine, [event()])[0]["outcome"] == "approve"
    other = but(resolved, score=resolved.graph.spec.score.replace("0.7", "0.71"))
    engine.switch(compile_graph(other, library._ports), library._ports)
    assert submit(engine, [event()])[0]["reasons"] == ("NoLiveCertificate",)
    assert engine.bands()[0].message.endswith("changed since: score expression")
    engine.switch(compile_graph(resolved, library._ports), library._ports)
    assert submit(engine, [event()])[0]["outcome"] == "approve"


def test_a_certificate_runs_out_by_the_wall_clock_without_a_look_at_the_store(
    connection, resolved, uid, monkeypatch
) -> None:
    monkeypatch.setattr(certificate_store, "READ_SECONDS", 1.0)
    certificate_store.issue(connection, [certificate(resolved, expires=NOW + timedelta(hours=1))])
    reader = CertificateReader(uid, clock=lambda: 0.0)
    assert reader.read(connection, resolved, NOW).live.whole == {0}
    connection.close()
    assert reader.read(connection, resolved, NOW + timedelta(minutes=59)).live.whole == {0}
    assert reader.read(connection, resolved, NOW + timedelta(hours=1)).live.whole == frozenset()


def test_the_store_is_asked_once_a_second(connection, resolved, uid, monkeypatch) -> None:
    monkeypatch.setattr(certificate_store, "READ_SECONDS", 1.0)
    moment = [10.0]
    reader = CertificateReader(uid, clock=lambda: moment[0])
    assert reader.read(connection, resolved, NOW).live.whole == frozenset()
    certificate_store.issue(connection, [certificate(resolved)])
    assert reader.read(connection, resolved, NOW).live.whole == frozenset()
    moment[0] = 11.0
    assert reader.read(connection, resolved, NOW).live.whole == {0}


def test_what_no_valid_key_has_signed_is_not_taken_in(connection, resolved) -> None:
    with pytest.raises(CertificateRefused, match='of band "approve": signed by no key that is valid here'):
        certificate_store.issue(connection, [certificate(resolved, OTHER)])
    signed = certificate(resolved)
    better = signed.model_copy(update={"certificate": signed.certificate.model_copy(update={"bound": 0.0})})
    with pytest.raises(CertificateRefused):
        certificate_store.issue(connection, [better])


def test_the_same_certificate_again_changes_nothing_and_another_of_its_id_is_refused(connection, resolved) -> None:
    signed = certificate(resolved)
    assert certificate_store.issue(connection, [signed]) == 1
    assert certificate_store.issue(connection, [signed]) == 0
    with pytest.raises(CertificateRefused, match="another certificate has the id"):
        certificate_store.issue(connection, [certificate(resolved, id=signed.certificate.id, wrong=1)])


def test_two_keys_are_valid_while_they_are_changed_and_a_revoked_one_counts_no_more(
    connection, owner, resolved, uid
) -> None:
    certificate_store.add_key(owner, NEXT.public_key(), NOW)
    owner.commit()
    certificate_store.issue(connection, [certificate(resolved), certificate(resolved, NEXT, "freeze")])
    reader = CertificateReader(uid)
    assert reader.read(connection, resolved, NOW).live.whole == {0, 2}
    with pytest.raises(CertificateRefused, match="2 other keys may sign"):
        certificate_store.add_key(owner, OTHER.public_key(), NOW)
    (old, *_) = [name for name, key in certificate_store.keys(connection).items() if key == KEY.public_key()]
    assert certificate_store.revoke_key(owner, old, NOW)
    owner.commit()
    standing = reader.read(connection, resolved, NOW)
    assert standing.live.whole == {2}
    assert standing.reports[0].message == "its certificate is signed by no key that is known here"


def test_a_demoted_band_needs_a_new_certificate_and_a_second_person(connection, resolved, uid) -> None:
    certificate_store.issue(connection, [certificate(resolved)])
    with pytest.raises(CertificateRefused, match="is not demoted"):
        rearm(connection, uid, "bob")
    demote(connection, uid)
    with pytest.raises(CertificateRefused, match="no certificate since it was demoted"):
        rearm(connection, uid, "bob")
    certificate_store.issue(connection, [certificate(resolved, issued=NOW + timedelta(minutes=2))])
    reader = CertificateReader(uid)
    assert reader.read(connection, resolved, NOW).live.whole == frozenset()
    with pytest.raises(CertificateRefused, match="a second person re-arms it"):
        rearm(connection, uid, "ann")
    rearm(connection, uid, "bob")
    assert reader.read(connection, resolved, NOW).live.whole == {0}
    assert verify(connection).bodies_checked == 4


def test_a_segment_is_demoted_alone(connection, resolved, uid) -> None:
    segments = [Segment(field="event.card_id", value=value) for value in ("card-1", "card-2")]
    certificate_store.issue(connection, [certificate(resolved, segment=each) for each in segments])
    demote(connection, uid, segment="card-1")
    live = CertificateReader(uid).read(connection, resolved, NOW).live
    assert live.by_segment == {0: ("event.card_id", frozenset({"card-2"}))}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE certificates SET expires_at = 'infinity'",
        "DELETE FROM certificate_events",
        "INSERT INTO certificate_keys (key_id, public_key, added_at) VALUES ('x', '', now())",
    ],
)
def test_the_application_can_neither_rewrite_a_certificate_nor_let_a_key_sign(connection, statement) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_a_monitor_that_alarms_demotes_the_band_until_it_is_certified_anew_and_rearmed_by_a_second_person(
    engine, submit, event, connection, resolved, library, uid
) -> None:
    seen = but(resolved, audit=Audit(sample=Percent("100%")))
    record_revision(connection, seen)
    engine.serves(seen.revision)
    engine.switch(compile_graph(seen, library._ports), library._ports)
    certificate_store.issue(connection, [certificate(resolved)])
    audited = [submit(engine, [event()])[0] for _ in range(4)]
    assert {(each["outcome"], each["reasons"]) for each in audited} == {("approve", ("AuditSample",))}
    later = NOW + timedelta(minutes=1)
    for each in audited:
        item = UUID(each["decision"])
        queue.claim(connection, item, "ann", lease=timedelta(hours=1), now=later)
        said = Said(verdict="fraud", reason="seen", reviewer="ann")
        verdicts.decide(connection, item, said, whole_case=False, now=later)
    assert submit(engine, [event()])[0]["reasons"] == ("BandDemoted",)
    (monitor,) = watched(connection, uid)
    assert monitor.alarmed_at == later
    certificate_store.issue(connection, [certificate(resolved, issued=NOW + timedelta(minutes=2))])
    with pytest.raises(CertificateRefused, match="a second person re-arms it"):
        rearm(connection, uid, "ann")
    assert submit(engine, [event()])[0]["outcome"] == "review"
    rearm(connection, uid, "bob")
    assert submit(engine, [event()])[0]["outcome"] == "approve"
    assert verify(connection).holds


def test_a_class_of_amounts_acts_by_itself_and_is_watched_by_itself(
    engine, submit, event, connection, resolved, library, uid
) -> None:
    seen = but(resolved, audit=Audit(sample=Percent("100%")))
    record_revision(connection, seen)
    engine.serves(seen.revision)
    engine.switch(compile_graph(seen, library._ports), library._ports)
    small = Segment(field="event.amount:50,500", value="below 50")
    certificate_store.issue(connection, [certificate(resolved, segment=small)])
    cheap, dear = submit(engine, [event(amount="49.99"), event(amount="50.00")])
    assert (cheap["outcome"], dear["outcome"], dear["reasons"]) == ("approve", "review", ("NoLiveCertificate",))
    item, later = UUID(cheap["decision"]), NOW + timedelta(minutes=1)
    queue.claim(connection, item, "ann", lease=timedelta(hours=1), now=later)
    said = Said(verdict="legitimate", reason="seen", reviewer="ann")
    verdicts.decide(connection, item, said, whole_case=False, now=later)
    (monitor,) = watched(connection, uid)
    assert (monitor.band, monitor.segment, monitor.monitor.labelled) == ("approve", "below 50", 1)


def test_a_decision_tells_how_its_band_stood_when_it_was_decided_whatever_came_since(
    engine, submit, event, connection, resolved, uid
) -> None:
    record_revision(connection, resolved)

    def decided(outcome: str) -> str:
        while (answer := submit(engine, [event()])[0])["outcome"] != outcome:
            pass
        return answer["decision"]

    def told(decision: str) -> list[tuple[str, str | None]]:
        return [(each["reason"], each["certificate"]) for each in explain(connection, decision)["certificates"]]

    before = decided("review")
    issued = certificate(resolved)
    certificate_store.issue(connection, [issued])
    live = decided("approve")
    certificate_store.demote(
        connection,
        uid,
        "approve",
        segment=None,
        certificate_id=None,
        author="monitor",
        comment="",
        now=datetime.now(UTC),
    )
    demoted = decided("review")
    for _ in range(2):
        assert told(before) == [("NoLiveCertificate", None)]
        assert told(live) == [("CertificatesLive", str(issued.certificate.id))]
        assert told(demoted) == [("BandDemoted", str(issued.certificate.id))]
        rearmed = certificate(resolved, issued=datetime.now(UTC) + timedelta(minutes=2))
        certificate_store.issue(connection, [rearmed])
