"""Why an object is as it is on this machine: the tree down to its processes and what they said last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pointsman.local.applied import Applied
from pointsman.local.home import Home
from pointsman.local.objects import StoredObject
from pointsman.local.processes import Observed, State
from pointsman.local.shown import Shown

KEY = ("ModelDeployment", "fraud")


def condition(type_: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    moment = "2026-11-03T12:00:00Z"
    said = {"type": type_, "status": status, "reason": reason, "message": message}
    return {**said, "observedGeneration": 1, "lastTransitionTime": moment}


def process(state: State, **more: Any) -> Observed:
    known = {"pid": None, "since": 0.0, "restarts": 0, "failures": 0, "last_exit": None, "address": None}
    return Observed(name="model-fraud-11111111", state=state, **{**known, **more})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def picture(home: Home, *conditions: dict[str, Any], runs: Observed | None = None, generation: int = 1) -> Shown:
    document = {
        "apiVersion": "pointsman.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "fraud"},
        "spec": {"model": {"uri": "models:/fraud@champion"}},
    }
    history = [{"version": "1", "digest": "sha256:11111111", "servedFrom": "2026-11-03T12:00:00Z"}]
    status = {"observedGeneration": 1, "conditions": list(conditions), "revision": "11111111", "history": history}
    kind, name = KEY
    stored = StoredObject(kind=kind, name=name, uid="u", generation=generation, document=document, status=status)
    processes = {} if runs is None else {runs.name: runs}
    return Shown(home=home, applied=Applied.parse({KEY: stored}), processes=processes, booting=None)


def explained(home: Home, *conditions: dict[str, Any], runs: Observed | None = None, generation: int = 1) -> Any:
    return picture(home, *conditions, runs=runs, generation=generation).explain(*KEY)


def test_a_start_waits_for_what_comes_by_itself_and_not_for_certificates(home: Home) -> None:
    mlflow = replace(process(State.READY), name="mlflow")

    def waits_for(reason: str) -> Any:
        return picture(home, condition("Ready", "Unknown", reason), runs=mlflow).status()["waitingFor"]

    assert waits_for("ModelStarting") == "ModelDeployment fraud: ModelStarting"
    assert waits_for("AwaitingCertificate") is None


def test_a_crash_is_found_in_its_process_with_the_last_line_of_its_log(home: Home) -> None:
    (home.logs / "model-fraud-11111111.log").write_text("Traceback\nValueError: bad opset\n\n")
    said = ("False", "Crashing", "it ends again and again")
    crashing = process(State.BACKING_OFF, restarts=2, last_exit="exit code 1")

    told = explained(home, condition("ModelReady", *said), condition("Ready", *said), runs=crashing)

    assert (told["tree"]["what"], told["tree"]["state"]) == ("ModelDeployment/fraud", "Ready False: Crashing")
    [stated, revision] = told["tree"]["below"]
    assert stated["what"] == "condition ModelReady"
    assert (revision["what"], revision["state"]) == ("revision 11111111", "version 1, serves")
    [guilty] = revision["below"]
    assert guilty["state"] == "BackOff, started 3 times, ended last by exit code 1"
    assert guilty["mark"] == "cause"
    assert guilty["below"][0] | {"what": "last log line", "state": "ValueError: bad opset"} == guilty["below"][0]
    assert (told["reason"], told["more"]) == ("Crashing", "pointsman logs model-fraud-11111111")
    assert told["next"].startswith("Read the last lines of its log")


def test_a_condition_that_no_process_causes_is_marked_itself(home: Home) -> None:
    said = ("False", "AliasNotFound", 'there is no alias "champoin"')

    told = explained(home, condition("Resolved", *said), condition("Ready", *said), runs=process(State.STARTING))

    [stated, revision] = told["tree"]["below"]
    assert (stated["mark"], revision["below"][0]["mark"]) == ("cause", "")


def test_where_all_is_well_nothing_is_marked(home: Home) -> None:
    told = explained(home, condition("Ready", "True", "Ready"), runs=process(State.READY, pid=7))

    assert (told["tree"]["mark"], told["tree"]["below"][0]["below"][0]["mark"]) == ("", "")
    assert (told["reason"], told["more"]) == ("Ready", "")


def test_a_status_of_an_older_spec_is_not_believed(home: Home) -> None:
    told = explained(home, condition("Ready", "True", "Ready"), generation=2)

    assert (told["reason"], told["tree"]["mark"]) == ("Progressing", "waits")
