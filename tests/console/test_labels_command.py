"""`pointsman labels`: from a file into the store, and out again for retraining."""

from __future__ import annotations

import csv

import httpx2
import orjson
import pytest
from typer.testing import CliRunner

from pointsman.cli.errors import Failure
from pointsman.cli.main import app
from pointsman.governance.access import Role

pytestmark = pytest.mark.slow


@pytest.fixture
def pointsman(address, call, key_of, monkeypatch):
    """Runs a command against the API as an operator."""
    text = key_of(Role.OPERATOR, "olga")
    call("GET", "/v1/graphs/card-fraud/labels", role=Role.OPERATOR, by="other")  # keys are known in order
    monkeypatch.setenv("POINTSMAN_API", address)
    monkeypatch.setenv("POINTSMAN_API_KEY", text)
    return lambda *arguments: CliRunner().invoke(app, ["labels", *map(str, arguments)])


@pytest.fixture
def events(decide) -> list[str]:
    return [str(decide(card_id=f"c{at}", terminal_id=f"t{at}")["id"]) for at in range(3)]


def test_a_file_is_imported_and_what_was_not_taken_is_written_down(pointsman, events, tmp_path) -> None:
    file, rejected = tmp_path / "chargebacks.csv", tmp_path / "rejected.jsonl"
    file.write_text("event,label\n" + "".join(f"{each},true\n" for each in [*events, "stranger"]))
    done = pointsman("import", "card-fraud", file, "--rejected", rejected)
    assert isinstance(done.exception, Failure)
    assert "3 labels are new, 0 were known, 1 were not taken" in done.stdout
    assert [orjson.loads(line) for line in rejected.read_bytes().splitlines()] == [
        {"event": "stranger", "reason": "the graph has not decided it"}
    ]
    file.write_text("event,label\n" + "".join(f"{each},true\n" for each in events))
    again = pointsman("import", "card-fraud", file)
    assert again.exit_code == 0
    assert "0 labels are new, 3 were known" in again.stdout


def test_a_retraining_set_is_exported_and_logged_to_mlflow(
    pointsman, events, tmp_path, mlflow_server, monkeypatch
) -> None:
    labels, file = tmp_path / "labels.jsonl", tmp_path / "set.csv"
    labels.write_bytes(b"".join(orjson.dumps({"event": each, "label": each == events[0]}) + b"\n" for each in events))
    assert pointsman("import", "card-fraud", labels).exit_code == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    done = pointsman("export", "card-fraud", "-o", file, "--mlflow")
    assert done.exit_code == 0, done.exception
    with file.open(newline="") as lines:
        rows = {row["id"]: row for row in csv.DictReader(lines)}
    assert {id_: (row["label"], float(row["weight"])) for id_, row in rows.items()} == {
        each: (str(each == events[0]), 1.0)
        for each in events  # their time is past: all are labelled
    }
    assert {"card.count_24h", "terminal.count_1h", "event.amount", "boosted.probability", "score"} <= rows[
        events[0]
    ].keys()
    run = done.stdout.split("MLflow run ")[1].split()[0]
    asked = httpx2.get(f"{mlflow_server.url}/api/2.0/mlflow/runs/get", params={"run_id": run}, trust_env=False)
    (logged,) = asked.json()["run"]["inputs"]["dataset_inputs"]
    assert logged["dataset"]["name"] == "card-fraud-labels"
    assert orjson.loads(logged["dataset"]["profile"]) == {"num_rows": 3, "true": 1}
