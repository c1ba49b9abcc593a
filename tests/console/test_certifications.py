"""Bands are certified through the API: on what the store knows, on labels that are given, on a history that the host scores."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import orjson
import pytest
import yaml
from typer.testing import CliRunner

from harness.hosting import hosted
from pointsman.certificate_files import read_private_key, write_new_key
from pointsman.certificates.document import BandCertificate, SignedCertificate
from pointsman.cli.errors import Failure
from pointsman.cli.main import app
from pointsman.decisions import certificate_store, certification_store
from pointsman.decisions.engine import Submission
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.governance.access import Role
from pointsman.graphs.resolve import resolve
from pointsman.library import load
from pointsman.local.home import Home
from pointsman.local.ports import Ports
from pointsman.store.database import connect
from pointsman_serving.graph.config import HostConfig

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
PATH = "/v1/graphs/card-fraud"
CONTROL = "x" * 16
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The example, with certificates required and a promise that a few thousand events can keep."""
    where = tmp_path_factory.mktemp("documents") / "fraud"
    shutil.copytree(EXAMPLE, where)
    document = yaml.safe_load((where / "graph.yaml").read_text())
    document["spec"]["certificates"] = "Required"
    for band in document["spec"]["bands"]:
        if "promise" in band:
            band["promise"]["maxError"] = "3%" if band["name"] == "approve" else "0.1%"
    (where / "graph.yaml").write_text(yaml.safe_dump(document))
    return load(where)


@pytest.fixture(scope="module")
def transactions():
    found = generate(GeneratorSettings(seed=77, days=2, customers=400, terminals=300))
    return found.take(found.accepted())


@pytest.fixture(scope="module")
def events(transactions) -> list[object]:
    return [orjson.loads(line) for line in as_json_lines(transactions)]


@pytest.fixture(scope="module")
def labels(transactions) -> list[dict[str, object]]:
    pairs = zip(transactions.transaction_id.tolist(), transactions.fraud.tolist(), strict=True)
    return [{"event": id_, "label": fraud} for id_, fraud in pairs]


@pytest.fixture
def key(tmp_path, owner_url) -> Path:
    """A key that may sign."""
    write_new_key(tmp_path / "key.pem")
    with connect(owner_url) as owner:
        certificate_store.add_key(owner, read_private_key(tmp_path / "key.pem").public_key(), datetime.now(UTC))
    return tmp_path / "key.pem"


def ended(call, id_: str) -> dict[str, object]:
    while (found := call("GET", f"{PATH}/certifications/{id_}").json())["state"] == "Running":
        pass
    return found


def signed(found, key: Path) -> list[object]:
    statements = [BandCertificate.model_validate(each) for each in found["statements"]]
    return [orjson.loads(SignedCertificate.sign(each, read_private_key(key)).to_json()) for each in statements]


def decided(engine, events) -> None:
    for at in range(0, len(events), 500):
        engine.process([Submission(events=events[at : at + 500], arrived=0.0, synchronous=False)])


def test_given_labels_of_decisions_become_statements_and_signed_ones_are_live(
    engine, events, labels, call, key, library
) -> None:
    decided(engine, events)
    made = call("POST", f"{PATH}/certifications", json={"labels": "Given", "validFor": "24h"}).json()
    one = f"{PATH}/certifications/{made['certification']}"
    for at in range(0, len(labels), 500):
        assert call("POST", f"{one}/labels", json={"labels": labels[at : at + 500]}).status_code == 200
    again = call("POST", f"{one}/labels", json={"labels": [*labels[:10], {"event": "nobody", "label": True}]}).json()
    assert again == {"labelled": 10, "withoutScore": 1}
    assert call("POST", f"{one}/start").status_code == 202
    found = ended(call, made["certification"])
    assert (found["state"], found["given"] > 0.99 * len(labels)) == ("Done", True)
    assert [each["certified"] for each in found["bands"]] == ["yes", "no"]
    assert found["leftOut"] == {"withoutDecision": len(labels) + 1 - found["given"], "ofAnotherScorer": 0}
    (statement,) = found["statements"]
    assert (statement["issuer"], statement["band"]) == ("ann", "approve")

    (certificate,) = signed(found, key)
    forged = {**certificate, "certificate": {**certificate["certificate"], "bound": 0.0}}
    assert call("POST", f"{PATH}/certificates", json={"certificates": [forged]}).status_code == 409
    assert call("POST", f"{PATH}/certificates", json={"certificates": [certificate]}).json() == {"new": 1, "known": 0}
    assert call("POST", f"{PATH}/certificates", json={"certificates": [certificate]}).json() == {"new": 0, "known": 1}
    shown = call("GET", f"{PATH}/certificates").json()
    assert [each["state"] for each in shown["items"]] == ["live"]
    assert [each["reason"] for each in shown["bands"]] == ["CertificatesLive", "NoLiveCertificate"]
    assert call("POST", f"{one}/labels", json={"labels": labels[:1]}).status_code == 409


def test_whoever_brings_a_certificate_in_does_not_re_arm_its_band(
    engine, events, labels, call, key, database_url
) -> None:
    decided(engine, events)
    made = call("POST", f"{PATH}/certifications", json={"labels": "Given"}).json()["certification"]
    call("POST", f"{PATH}/certifications/{made}/labels", json={"labels": labels[:5000]})
    call("POST", f"{PATH}/certifications/{made}/start")
    with connect(database_url) as connection:
        how = {"segment": None, "certificate_id": None, "author": "monitor", "comment": "alarm"}
        certificate_store.demote(connection, engine.graph.resolved.graph_uid, "approve", now=datetime.now(UTC), **how)
    certificates = signed(ended(call, made), key)  # issued by ann, before the band was demoted or just after
    newer = [{**each["certificate"], "issued": datetime.now(UTC).isoformat()} for each in certificates]
    bob = signed({"statements": newer}, key)
    assert call("POST", f"{PATH}/certificates", json={"certificates": bob}, by="bob").status_code == 200
    for by in ("ann", "bob"):
        answer = call("POST", f"{PATH}/bands/approve/rearm", json={"comment": "fine"}, by=by)
        assert (answer.status_code, "a second person" in answer.text) == (409, True)
    assert call("POST", f"{PATH}/bands/approve/rearm", json={"comment": "fine"}, by="cem").status_code == 200


def test_what_the_store_does_not_know_is_said_and_one_certification_runs_at_a_time(
    engine, events, call, database_url
) -> None:
    decided(engine, events[:10])
    uid = engine.graph.resolved.graph_uid
    failed = ended(call, call("POST", f"{PATH}/certifications", json={}).json()["certification"])
    assert (failed["state"], "no decision of this scorer has a label" in failed["error"]) == ("Failed", True)
    with connect(database_url, autocommit=True) as other:
        assert certification_store.take(other, uid)
        assert call("POST", f"{PATH}/certifications", json={}).status_code == 409
    made = certification_store
    with connect(database_url, autocommit=True) as other:
        how = {"author": "ann", "asked": {"labels": "Known"}, "now": datetime.now(UTC)}
        id_ = made.create(other, uid, engine.graph.resolved.revision, **how)
        made.take(other, uid)
        made.begin(other, made.one(other, uid, id_), datetime.now(UTC))
        assert call("GET", f"{PATH}/certifications/{id_}").json()["state"] == "Running"
    found = ended(call, str(id_))  # its process is gone
    assert (found["state"], found["error"]) == ("Failed", certification_store.INTERRUPTED)


def test_only_who_may_operate_certifies_and_each_in_what_they_have_begun(engine, call) -> None:
    assert call("POST", f"{PATH}/certifications", json={}, by="vic", role=Role.VIEWER).status_code == 403
    made = call("POST", f"{PATH}/certifications", json={"labels": "Given"}).json()["certification"]
    answer = call("POST", f"{PATH}/certifications/{made}/start", by="bob")
    assert (answer.status_code, '"ann"' in answer.json()["error"]) == (403, True)
    refused = call("POST", f"{PATH}/certifications", json={"segment": "event.amount"})
    assert (refused.status_code, "is a Decimal" in refused.json()["error"]) == (422, True)


@pytest.fixture
def files(transactions, events, key, tmp_path) -> dict[str, Path]:
    """What the command is given: events, their labels, and the key that signs."""
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(map(orjson.dumps, events)))
    with (tmp_path / "labels.csv").open("w", newline="") as opened:
        rows = zip(transactions.transaction_id.tolist(), transactions.fraud.tolist(), strict=True)
        csv.writer(opened).writerows([("id", "label"), *((id_, str(fraud).lower()) for id_, fraud in rows)])
    return {"--labels": tmp_path / "labels.csv", "--events": tmp_path / "events.jsonl", "--key": key}


@pytest.fixture
def host(graph, library, database_url, tmp_path) -> Iterator[str]:
    """The graph's host, of which the API knows."""
    port = Ports(Home(tmp_path)).of("graph")
    address = f"http://127.0.0.1:{port}{PATH}"
    how = {"control_token": CONTROL, "resolved": library.graph.resolved, "address": address}
    with hosted(HostConfig(database_url=database_url, port=port, **how)) as url:
        yield url


@pytest.fixture
def pointsman(address, key_of, tmp_path, monkeypatch) -> Callable[..., tuple[int, str]]:
    """A command that asks the API: its exit code, and what it said on both streams."""
    monkeypatch.setenv("POINTSMAN_API", address)
    monkeypatch.setenv("POINTSMAN_API_KEY", key_of(name="ann"))
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path))

    def run(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if isinstance(result.exception, Failure):
            return result.exception.code, str(result.exception)
        return result.exit_code, result.output

    while "not known" in run("certificates", "list", "card-fraud")[1]:
        pass  # keys are read every two seconds
    return run


def flat(options: dict[str, Path]) -> list[object]:
    return [each for pair in options.items() for each in pair]


def test_a_graph_that_has_decided_nothing_is_certified_on_its_history_by_the_command(
    host, pointsman, files, database_url
) -> None:
    code, said = pointsman("certify", "card-fraud", *flat(files))
    assert (code, "1 certificates issued" in said) == (1, True), said
    assert "freeze: needed: " in said
    listed = pointsman("certificates", "list", "card-fraud")[1]
    assert "live" in listed
    assert 'band "freeze": no certificate: it takes at least 2,995 labelled items' in listed
    assert "0 certificates issued" in pointsman("certify", "card-fraud", *flat(files), "--dry-run")[1]
    with connect(database_url) as connection:
        for table in ("decisions", "certification_items"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_revision_that_waits_is_certified_on_recorded_features_that_the_host_scores_anew(
    host, pointsman, files, events, library, key_of
) -> None:
    headers = {"authorization": f"Bearer {key_of(name='till')}"}
    while httpx2.post(f"{host}/decisions", headers=headers, json=events[:1], trust_env=False).status_code == 401:
        pass
    for at in range(0, len(events), 500):
        answer = httpx2.post(
            f"{host}/decisions", headers=headers, json=events[at : at + 500], timeout=60, trust_env=False
        )
        assert answer.status_code == 200
    labels = {name: file for name, file in files.items() if name != "--events"}
    assert "1 certificates issued" in pointsman("certify", "card-fraud", *flat(labels))[1]

    def deciding() -> str:
        return str(httpx2.get(f"{host}/-/ready", trust_env=False).json()["revision"])

    before, resolved = deciding(), library.graph.resolved
    score = resolved.graph.spec.score.replace("0.7 *", "0.69 *")
    spec = resolved.graph.spec.model_copy(update={"score": score})
    parts = {"stream": resolved.stream, "views": resolved.views, "targets": resolved.targets, "models": resolved.models}
    after = resolve(graph=resolved.graph.model_copy(update={"spec": spec}), **parts)
    token = {"authorization": f"Bearer {CONTROL}"}
    put = httpx2.put(f"{host}/-/revision", headers=token, content=after.to_json(), timeout=60, trust_env=False)
    assert (put.status_code, deciding()) == (202, before), put.text
    digest = after.revision.removeprefix("sha256:")[:8]
    assert "whose digest begins with" in pointsman("certify", "card-fraud", *flat(labels), "--revision", "00000000")[1]
    code, said = pointsman("certify", "card-fraud", *flat(labels), "--revision", digest)
    assert (code, "1 certificates issued" in said) == (1, True), said
    while deciding() != after.revision:
        pass
