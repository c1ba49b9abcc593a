"""The command line: help, versions, errors in one line, documented exit codes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"


Run = Callable[..., Any]


@pytest.fixture
def pointsman(run: Run, tmp_path: Path) -> Run:
    """Runs a command where nothing runs."""
    return lambda *arguments: run(*arguments, POINTSMAN_HOME=str(tmp_path))


def test_help_names_every_command_and_the_exit_codes(pointsman: Run) -> None:
    done = pointsman("--help")
    assert done.returncode == 0
    shown = (
        "up",
        "down",
        "apply",
        "get",
        "describe",
        "delete",
        "explain",
        "history",
        "upgrade",
        "logs",
        "version",
        "demo",
    )
    for command in shown:
        assert f" {command} " in done.stdout
    assert "3 nothing is running" in " ".join(done.stdout.split())


def test_help_imports_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, pointsman.cli.main\n"
        "heavy = {'ray', 'mlflow', 'torch', 'numpy', 'onnxruntime', 'fastapi', 'psycopg', 'pydantic', 'sklearn',\n"
        "         'kubernetes', 'pointsman_operator', 'httpx2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", [("get",), ("status",), ("explain", "abcdef"), ("delete", "pdg", "x")])
def test_a_command_says_in_one_line_that_nothing_runs_and_what_to_do(pointsman: Run, command: tuple[str, ...]) -> None:
    done = pointsman(*command)
    assert done.returncode == 3
    error, hint = done.stderr.strip().splitlines()
    assert error.startswith("error: nothing is running")
    assert hint == "hint: start it with `pointsman up`"


def test_a_mistake_in_a_document_is_told_with_its_place_and_the_nearest_name(pointsman: Run, tmp_path: Path) -> None:
    text = (EXAMPLE / "graph.yaml").read_text().replace("certificates:", "certificate:")
    (tmp_path / "graph.yaml").write_text(text)
    done = pointsman("apply", "-f", str(tmp_path / "graph.yaml"))
    assert done.returncode == 1
    assert "spec.certificate" in done.stderr
    assert '"certificates"' in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_kind_gets_the_nearest_one(pointsman: Run) -> None:
    done = pointsman("get", "decisiongraf")
    assert done.returncode == 2
    assert "did you mean DecisionGraph?" in done.stderr


def test_down_where_nothing_runs_does_nothing(pointsman: Run) -> None:
    done = pointsman("down")
    assert (done.returncode, done.stdout.strip()) == (0, "nothing was running")


@pytest.mark.parametrize(
    "command",
    [("reviews", "list"), ("decisions", "show", "x"), ("lists", "show"), ("deadletters", "list"), ("keys", "list")],
)
def test_what_the_api_keeps_cannot_be_asked_for_while_nothing_runs(pointsman: Run, command: tuple[str, ...]) -> None:
    done = pointsman(*command)
    assert done.returncode == 3
    assert done.stderr.startswith("error: nothing is running")


def test_a_file_that_cannot_be_read_as_events_is_told_before_anything_is_sent(pointsman: Run, tmp_path: Path) -> None:
    (tmp_path / "events.txt").write_text("x")
    (tmp_path / "events.json").write_text("{")
    unknown = pointsman("events", "send", str(tmp_path / "events.txt"))
    assert (unknown.returncode, 'no way to read ".txt"' in unknown.stderr) == (2, True)
    broken = pointsman("events", "send", str(tmp_path / "events.json"))
    assert (broken.returncode, "it cannot be read" in broken.stderr) == (2, True)


@pytest.mark.slow
def test_the_examples_cases_pass(pointsman: Run) -> None:
    done = pointsman("test", str(EXAMPLE))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "5 cases passed")


@pytest.mark.slow
def test_a_case_that_fails_says_which_event_and_what_it_got(pointsman: Run, tmp_path: Path) -> None:
    folder = tmp_path / "fraud"
    shutil.copytree(EXAMPLE, folder)
    cases = folder / "tests" / "decisions.yaml"
    cases.write_text(cases.read_text().replace("reasons: [AmountOverLimit]", "reasons: [TooMuch]", 1))
    done = pointsman("test", str(folder))
    assert done.returncode == 1
    assert "event 1: reasons: expected ['TooMuch'], got ['AmountOverLimit']" in done.stdout
    assert "1 of 5 cases failed" in done.stderr
    cases.write_text("name: x\nevents: []\n")
    assert "events: List should have at least 1 item" in pointsman("test", str(folder)).stderr
