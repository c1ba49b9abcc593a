"""`pointsman certify` and `pointsman certificates`, over a real store and over a folder of documents."""

from __future__ import annotations

import csv
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import orjson
import pytest
import yaml
from typer.testing import CliRunner

from harness.hosting import api
from pointsman.cli.errors import Failure
from pointsman.cli.main import app
from pointsman.decisions.certificate_store import demote, rearm
from pointsman.decisions.commit import Committer
from pointsman.decisions.engine import Engine, Submission
from pointsman.decisions.queries import record_revision
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines
from pointsman.governance.access import Role
from pointsman.governance.keys import make
from pointsman.graphs.resolve import resolve
from pointsman.labels.importing import Truth
from pointsman.labels.store import import_labels
from pointsman.library import load, open_resolved
from pointsman.models.artifact import digest_of
from pointsman.reviews import queue, verdicts
from pointsman.reviews.verdicts import Said
from pointsman.store.database import connect

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
pytestmark = pytest.mark.slow


def pointsman(*arguments: object) -> tuple[int, str]:
    """A command's exit code, and what it said on both streams."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if isinstance(result.exception, Failure):
        return result.exception.code, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The example, with certificates required and a promise that a few thousand events can keep."""
    where = tmp_path_factory.mktemp("documents") / "fraud"
    shutil.copytree(EXAMPLE, where, ignore=shutil.ignore_patterns("certificates"))
    document = yaml.safe_load((where / "graph.yaml").read_text())
    document["spec"]["certificates"] = "Required"
    for band in document["spec"]["bands"]:
        if "promise" in band:
            band["promise"]["maxError"] = "3%" if band["name"] == "approve" else "0.1%"
    (where / "graph.yaml").write_text(yaml.safe_dump(document))
    return where


@pytest.fixture(scope="module")
def transactions():
    found = generate(GeneratorSettings(seed=77, days=2, customers=400, terminals=300))
    return found.take(found.accepted())


@pytest.fixture(scope="module")
def events(transactions, folder) -> Path:
    file = folder.parent / "events.jsonl"
    file.write_bytes(b"\n".join(as_json_lines(transactions)))
    return file


@pytest.fixture(scope="module")
def labels(transactions, folder) -> Path:
    file = folder.parent / "labels.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["id", "label"])
        for id_, fraud in zip(transactions.transaction_id.tolist(), transactions.fraud.tolist(), strict=True):
            writer.writerow([id_, str(fraud).lower()])
    return file


@pytest.fixture
def key(tmp_path) -> Path:
    assert pointsman("certificates", "keygen", tmp_path / "key.pem")[0] == 0
    return tmp_path / "key.pem"


@pytest.fixture
def engine(folder, events, database_url, owner_url, monkeypatch):
    """A graph in a store that has decided the events; commands find the store in their environment."""
    monkeypatch.setenv("POINTSMAN_STORE_URL", database_url)
    monkeypatch.setenv("POINTSMAN_STORE_OWNER_URL", owner_url)
    library = load(folder)
    resolved = library.graph.resolved
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO objects (kind, name, uid, generation, document) VALUES ('DecisionGraph', %s, %s, 1, %s::jsonb)",
            (resolved.graph.name, resolved.graph_uid, orjson.dumps(resolved.graph.document()).decode()),
        )
        connection.commit()
        record_revision(connection, resolved)
    committer = Committer(database_url, graph_uid=resolved.graph_uid, stream_uid=resolved.stream_uid)
    engine = Engine(library.graph, library._ports, committer, patience_seconds=5)
    engine.open()
    engine.serves(resolved.revision)
    rows = [orjson.loads(line) for line in events.read_bytes().splitlines()]
    for at in range(0, len(rows), 500):
        engine.process([Submission(events=rows[at : at + 500], arrived=0.0, synchronous=False)])
    with connect(database_url) as connection:
        _, text = make(connection, "ann", Role.ADMIN, expires_at=None, now=datetime.now(UTC))
    with api(database_url) as address:
        monkeypatch.setenv("POINTSMAN_API", address)
        monkeypatch.setenv("POINTSMAN_API_KEY", text)
        yield engine
    engine.close()


def test_a_folder_is_certified_and_acts_from_then_on(folder, events, labels, key, tmp_path) -> None:
    where = tmp_path / "fraud"
    shutil.copytree(folder, where)
    (event, *_) = [orjson.loads(line) for line in events.read_bytes().splitlines()]
    assert load(where).decide([event])[0]["reasons"] == ["NoLiveCertificate"]
    code, said = pointsman("certify", where, "--labels", labels, "--events", events, "--key", key)
    assert code == 1, said
    assert "1 certificates issued" in said
    assert "freeze: needed: " in said
    shutil.copy(tmp_path / "key.pub.pem", where / "certificates" / "risk.pem")
    assert load(where).decide([event])[0]["outcome"] == "approve"
    (file,) = (where / "certificates").glob("*.json")
    assert pointsman("certificates", "verify", file, "--key", tmp_path / "key.pub.pem") == (0, f"{file}: holds\n")
    file.write_text(re.sub(r'"labelled": \d+', '"labelled": 999999', file.read_text()))
    assert pointsman("certificates", "verify", file, "--key", tmp_path / "key.pub.pem")[0] == 1
    assert load(where).decide([event])[0]["outcome"] == "review"


def test_decisions_of_the_store_are_certified_and_the_graph_acts(engine, labels, key, transactions) -> None:
    def answer(name: str):
        event = {
            "transaction_id": name,
            "occurred_at": "2026-03-03T10:00:00Z",
            "amount": "12.50",
            "card_id": "c",
            "terminal_id": "t",
            "card_account": "a",
        }
        return engine.process([Submission(events=[event], arrived=0.0, synchronous=False)])[0][0]

    how = ("certify", "card-fraud", "--labels", labels, "--key", key, "--issuer", "ann")
    code, said = pointsman(*how)
    assert (code, "signed by no key that is valid here" in said) == (1, True)
    assert pointsman("certificates", "trust", key.with_name("key.pub.pem"))[0] == 0
    assert "0 certificates issued" in pointsman(*how, "--dry-run")[1]
    assert answer("before")["outcome"] == "review"
    code, said = pointsman(*how, "-o", "json")
    found = orjson.loads(said)
    assert (code, [each["certified"] for each in found["bands"]]) == (1, ["yes", "no"])
    assert found["leftOut"]["ofAnotherScorer"] == 0
    engine._certificates._due = 0.0
    assert answer("after")["outcome"] == "approve"
    (issued,) = found["certificates"]
    assert "live" in pointsman("certificates", "list", "card-fraud")[1]
    assert (
        yaml.safe_load(pointsman("certificates", "show", "card-fraud", issued[:8])[1])["certificate"]["issuer"] == "ann"
    )


def test_what_the_store_knows_is_certified_without_a_file(engine, transactions, key, database_url) -> None:
    """Nothing was carried out yet, so that silence says nothing: only ground truth of a known draw counts."""
    assert "has a label that counts yet" in pointsman("certify", "card-fraud", "--dry-run")[1]
    now, uid = datetime.now(UTC), engine.graph.resolved.graph_uid
    pairs = zip(transactions.transaction_id.tolist(), transactions.fraud.tolist(), strict=True)
    truth = [Truth(event_id=id_, value=fraud, known_at=now) for id_, fraud in pairs]
    with connect(database_url) as connection:
        what = {"author": "bank", "source": "all of them", "replace": False}
        import_labels(connection, uid, truth, propensity=1.0, now=now, **what)
    code, said = pointsman("certify", "card-fraud", "--dry-run", "-o", "json")
    approve, _ = orjson.loads(said)["bands"]
    assert (code, approve["certified"], approve["method"]) == (1, "yes", "ClopperPearson")
    assert approve["population"].startswith("all decisions of the band")


def test_a_graph_is_certified_on_events_that_it_has_not_decided(engine, key, tmp_path) -> None:
    pointsman("certificates", "trust", key.with_name("key.pub.pem"))
    others = generate(GeneratorSettings(seed=78, days=2, customers=400, terminals=300))
    others = others.take(others.accepted())
    ids = [f"other-{at}".encode() for at in range(len(others))]
    lines = zip(as_json_lines(others), others.transaction_id.tolist(), ids, strict=True)
    (tmp_path / "history.jsonl").write_bytes(b"\n".join(line.replace(old.encode(), id_) for line, old, id_ in lines))
    truth = [f"{id_.decode()},{str(fraud).lower()},1" for id_, fraud in zip(ids, others.fraud.tolist(), strict=True)]
    (tmp_path / "truth.csv").write_text("\n".join(["id,label,propensity", *truth]))
    how = ("--labels", tmp_path / "truth.csv", "--key", key, "-o", "json")
    assert "none of the labelled events has been decided" in pointsman("certify", "card-fraud", *how)[1]
    said = pointsman("certify", "card-fraud", "--events", tmp_path / "history.jsonl", *how)[1]
    assert [each["certified"] for each in orjson.loads(said)["bands"]] == ["yes", "no"]
    engine._certificates._due = 0.0
    assert engine.bands()[0].live
    assert "--events needs --labels" in pointsman("certify", "card-fraud", "--events", tmp_path / "history.jsonl")[1]


def test_the_next_model_is_certified_on_recorded_features_before_it_serves(
    engine, folder, labels, key, tmp_path
) -> None:
    pointsman("certificates", "trust", key.with_name("key.pub.pem"))
    resolved = engine.graph.resolved
    challenger = tmp_path / "challenger"
    shutil.copytree(resolved.models["boosted"].folder, challenger)
    (challenger / "README.md").write_text("The same trees, in other files.")
    how = ("certify", "card-fraud", "--labels", labels, "--key", key, "-o", "json")
    now = orjson.loads(pointsman(*how, "--dry-run")[1])["bands"]
    said = pointsman(*how, "--model", f"fraud-scorer={challenger}")[1]
    assert orjson.loads(said)["bands"] == now
    assert "live" not in pointsman("certificates", "list", "card-fraud")[1]
    artifact = {"digest": digest_of(challenger), "folder": str(challenger)}
    models = {**resolved.models, "boosted": resolved.models["boosted"].model_copy(update=artifact)}
    following = open_resolved(
        resolve(
            graph=resolved.graph, stream=resolved.stream, views=resolved.views, targets=resolved.targets, models=models
        )
    )
    assert not engine.bands()[0].live
    engine.switch(following.graph, following.ports)
    assert engine.bands()[0].live
    assert 'calls no ModelDeployment "x"' in pointsman(*how, "--model", f"x={challenger}")[1]


def test_the_cheapest_thresholds_are_live_as_soon_as_the_graph_has_them(engine, labels, key) -> None:
    pointsman("certificates", "trust", key.with_name("key.pub.pem"))
    costs = ("--choose", "--missed-cost", "event.amount", "--stopped-cost", "20.0", "--review-cost", "2")
    how = ("certify", "card-fraud", "--labels", labels, "--key", key, *costs, "-o", "json")
    found = orjson.loads(pointsman(*how)[1])["choice"]
    (chosen,) = [each for each in found["considered"] if each["chosen"]]
    (stated,) = [each for each in found["considered"] if each["below"] == 0.06]
    assert chosen["certified"] or chosen["atLeast"] is None
    assert (chosen["reviewsADay"], chosen["costADay"]) < (stated["reviewsADay"], stated["costADay"])
    assert not engine.bands()[0].live
    to = {each.pop("name"): each for each in yaml.safe_load(found["bands"])}
    assert to["approve"] == {"below": f"{chosen['below']}"}
    resolved = engine.graph.resolved
    document = resolved.graph.document()
    document["spec"]["bands"] = [each | to.get(each["name"], {}) for each in document["spec"]["bands"]]
    graph = type(resolved.graph).model_validate(document)
    parts = {"stream": resolved.stream, "views": resolved.views, "targets": resolved.targets, "models": resolved.models}
    edited = open_resolved(resolve(graph=graph, **parts))
    engine.switch(edited.graph, edited.ports)
    assert engine.bands()[0].live
    record_revision(engine.connection, edited.graph.resolved)
    engine.serves(edited.graph.resolved.revision)
    assert "has the cheapest of these thresholds already" in pointsman(*how[:-2], "--dry-run")[1]


def test_a_graph_without_history_is_a_shadow_until_what_people_saw_of_it_certifies_it(
    engine, key, database_url
) -> None:
    pointsman("certificates", "trust", key.with_name("key.pub.pem"))
    resolved, now = engine.graph.resolved, datetime.now(UTC)
    document = resolved.graph.document()
    document["spec"]["uncertified"] = {"outcome": "approve", "sample": "80%"}
    graph = type(resolved.graph).model_validate(document)
    parts = {"stream": resolved.stream, "views": resolved.views, "targets": resolved.targets, "models": resolved.models}
    shadow = open_resolved(resolve(graph=graph, **parts))
    engine.switch(shadow.graph, shadow.ports)
    record_revision(engine.connection, shadow.graph.resolved)
    engine.serves(shadow.graph.resolved.revision)

    def answers(name: str, rows: int) -> list[dict]:
        event = {"occurred_at": now.isoformat(), "amount": "12.50", "card_account": "a"}
        names = ("transaction_id", "card_id", "terminal_id")
        events = [event | dict.fromkeys(names, f"{name}{at}") for at in range(rows)]
        return engine.process([Submission(events=events, arrived=0.0, synchronous=False)])[0]

    stale, *first = answers("shadow", 330)
    assert stale["reasons"][0] == "StaleFeature"  # after months without an event
    assert {each["outcome"] for each in first} == {"approve"}
    seen = [each for each in first if "ShadowSample" in each["reasons"]]
    assert 220 < len(seen) < 310
    with connect(database_url) as connection:
        for each in seen:
            item = UUID(str(each["decision"]))
            queue.claim(connection, item, "ann", lease=timedelta(hours=1), now=now)
            said = Said(verdict="legitimate", reason="seen", reviewer="ann")
            verdicts.decide(connection, item, said, whole_case=False, now=now)
    code, said = pointsman("certify", "card-fraud", "--key", key, "-o", "json")
    approve, _ = orjson.loads(said)["bands"]
    assert (code, approve["certified"], approve["method"]) == (1, "yes", "ClopperPearson")
    assert approve["population"].startswith("all decisions of the band")
    engine._certificates._due = 0.0
    assert {(each["outcome"], tuple(each["reasons"])) for each in answers("after", 20)} <= {
        ("approve", ()),
        ("approve", ("AuditSample",)),
    }


def test_thresholds_are_chosen_within_the_hours_of_reviewers_and_what_cannot_be_weighed_is_named(
    folder, events, labels
) -> None:
    how = ("certify", folder, "--labels", labels, "--events", events, "--dry-run", "--choose")
    said = pointsman(*how, "--review-minutes", 5, "--review-hours", 0)[1]
    assert "items a day are left to people, who have hours for 0" in said
    assert "write these lines into spec.bands" in said
    assert "say together how many items people can see" in pointsman(*how, "--review-minutes", 5)[1]
    assert (
        'what a missed item costs: "event.card_id" is a String' in pointsman(*how, "--missed-cost", "event.card_id")[1]
    )
    assert 'what a stopped item costs: "event.amuont"' in pointsman(*how, "--stopped-cost", "event.amuont")[1]
    assert "choose first, then certify segments" in pointsman(*how, "--segment", "event.terminal_id")[1]


def test_a_demoted_band_stays_so_when_it_is_certified_anew_until_it_is_re_armed(
    engine, labels, key, database_url
) -> None:
    pointsman("certificates", "trust", key.with_name("key.pub.pem"))
    uid, now = engine.graph.resolved.graph_uid, datetime.now(UTC)
    what = {"segment": None, "comment": "alarm", "author": "monitor"}
    with connect(database_url) as connection:
        demote(connection, uid, "approve", certificate_id=None, now=now, **what)
        connection.commit()
        pointsman("certify", "card-fraud", "--labels", labels, "--key", key, "--issuer", "ann")
        assert "BandDemoted" in pointsman("certificates", "list", "card-fraud")[1]
        rearm(connection, uid, "approve", now=datetime.now(UTC), **what | {"author": "bob"})
        connection.commit()
    assert "live" in pointsman("certificates", "list", "card-fraud")[1]


def test_labels_that_cannot_be_used_are_named(tmp_path, folder, events) -> None:
    file = tmp_path / "labels.jsonl"
    for rows, says in (
        ('{"id": "a", "label": "perhaps"}', 'row 1: needs "id", and "label" that is true or false, not "perhaps"'),
        ('{"id": "a", "label": true, "propensity": 2}', '"propensity" is above 0 and at most 1, not "2"'),
        ('{"id": "a", "label": true}\n{"id": "a", "label": 0}', 'row 2: event "a" has another label in an earlier row'),
        ('{"id": "a", "label": true}', "none of the labelled events has been decided by this scorer"),
        ("", "holds no labels"),
    ):
        file.write_text(rows)
        code, said = pointsman("certify", folder, "--labels", file, "--events", events, "--dry-run")
        assert (code, says in said) == (1, True), said


def test_a_segment_is_a_field_of_few_values(folder, events, labels) -> None:
    how = ("certify", folder, "--labels", labels, "--events", events, "--dry-run", "--segment")
    assert "is no field of the event: known are amount" in pointsman(*how, "event.country")[1]
    assert "divide it into classes: event.amount:50,500" in pointsman(*how, "event.amount")[1]
    assert '"event.terminal_id" is a String' in pointsman(*how, "event.terminal_id:5")[1]
    found = orjson.loads(pointsman(*how, "event.amount:20,80", "-o", "json")[1])["bands"]
    assert {each["segment"] for each in found} == {"below 20", "20 to 80", "from 80"}
