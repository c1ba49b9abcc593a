"""The written report: all numbers, words that say what is assumed, and pictures; who does better is said honestly."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest

from pointsman.demo.comparing import Assumptions, Comparison, Ran, Way
from pointsman.demo.comparison import follow, measure
from pointsman.demo.cost import Prices, cost
from pointsman.demo.curves import Thresholds
from pointsman.demo.decided import SECOND_US, Decided, Nightly, as_they_arrive, nightly
from pointsman.demo.findings import Row, duration, rows, verdicts
from pointsman.demo.report_files import write
from pointsman.demo.reviewing import Reviewers
from pointsman.demo.transactions import DAY_US
from pointsman.demo.twin import Twin

pytestmark = pytest.mark.slow  # matplotlib alone takes a second to import

NOW = datetime(2026, 4, 1, 12, 30, 15, 250_000, tzinfo=UTC)
ASSUMED = Assumptions(nightly=Nightly(), reviewers=Reviewers(), prices=Prices())


def a_stream(purchases: int, frauds: int) -> Decided:
    """So many purchases in two days, the first of them fraud on two accounts and declined."""
    occurred = 20_000 * DAY_US + np.linspace(0, 2 * DAY_US, purchases).astype(np.int64)
    fraud = np.arange(purchases) < frauds
    accounts = np.array([f"a{row % 2 if row < frauds else row}" for row in range(purchases)], dtype=object)
    return Decided(
        occurred_at=occurred,
        arrived_at=occurred + 2 * SECOND_US,
        cents=np.full(purchases, 10_00),
        fraud=fraud,
        account=accounts,
        card=accounts,
        score=np.where(fraud, 0.9, 0.01),
        outcome=np.where(fraud, "decline", "approve").astype(object),
        freezes=fraud.copy(),
        audited=np.zeros(purchases, dtype=np.bool_),
    )


def compared(purchases: int = 40, frauds: int = 8) -> Comparison:
    decided = a_stream(purchases, frauds)
    ways = []
    waits = np.full(purchases, 0.2)
    for moments, cpu, hours in (
        (as_they_arrive(decided, decision_seconds=0.1, freeze_seconds=waits), 9.0, 48.0),
        (nightly(decided, Nightly()), 1.0, 2.0),
    ):
        course = follow(decided, moments, ASSUMED.reviewers)
        measured = measure(decided, course, ASSUMED.reviewers)
        price = cost(
            prices=ASSUMED.prices,
            transactions=purchases,
            cpu_seconds=cpu,
            machine_hours=hours,
            review_hours=measured.review_hours,
        )
        ways.append(Way(course=course, measured=measured, cost=price))
    return Comparison(
        decided=decided,
        thresholds=Thresholds(approve_below=0.05, act_at_least=0.7),
        continuous=ways[0],
        nightly=ways[1],
        assumptions=ASSUMED,
        ran=Ran(
            answers={}, decision_seconds=0.1, freeze_seconds={}, slowest_freezes=0.2, cpu_seconds=9.0, seconds=30.0
        ),
        twin=Twin(decisions={}, nights=2, dead_letters=0, cpu_seconds=1.0, seconds=1.0),
        agreed=purchases,
        compared=purchases,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("home") / "reports", NOW, compared(), {"business": {"alerts": 8}})


def test_a_report_is_a_folder_named_by_its_moment_in_utc(folder):
    assert folder.name == "20260401T123015.250000Z"
    assert {each.name for each in folder.iterdir()} == {
        "report.json", "report.md", "thresholds.png", "losses.png", "latency.png",
    }  # fmt: skip


def test_a_report_never_overwrites_another_one(folder):
    with pytest.raises(FileExistsError):
        write(folder.parent, NOW, compared(), {})


def test_pictures_are_png_files_that_report_md_shows_with_their_finding(folder):
    text = (folder / "report.md").read_text()
    shown = re.findall(r"!\[(.+)\]\((.+)\)", text)
    assert [file for _, file in shown] == ["thresholds.png", "losses.png", "latency.png"]
    for finding, file in shown:
        assert f"## {finding}" in text
        assert (folder / file).read_bytes().startswith(b"\x89PNG")
    assert "Fraud costs 75% less with continuous freezes" in text


def test_report_json_holds_the_numbers_the_assumptions_and_what_else_was_measured(folder):
    document = orjson.loads((folder / "report.json").read_bytes())
    assert document["business"] == {"alerts": 8}
    assert document["comparison"]["continuous"]["measured"]["lost_cents"] == 2 * 10_00
    assert document["comparison"]["nightly"]["measured"]["lost_cents"] == 8 * 10_00
    assert document["assumptions"]["prices"]["reviewer_hour"] == 35
    assert document["measured"]["continuousCpuSeconds"] == 9
    assert len(document["thresholds"]["threshold"]) == len(document["thresholds"]["precision"])


def test_the_report_says_what_is_assumed_and_that_the_measure_flatters_the_nightly_run(folder):
    text = (folder / "report.md").read_text()
    for said in (
        "decided at 02:00", "at 08:00", "0.045 USD a vCPU-hour", "4 minutes an item", "flatters the nightly run",
        "40 of 40 decisions are the same",
    ):  # fmt: skip
        assert said in text


def test_it_is_said_where_the_nightly_run_is_better():
    continuous, at_night = verdicts(compared())
    assert "money lost to fraud" in continuous
    assert "machine: CPU seconds used" in at_night
    assert "machine: held, USD" in at_night
    assert "p95" not in continuous


@pytest.mark.parametrize(
    ("better", "mine", "other", "winner"),
    [
        ("less", 1.0, 2.0, "continuous"),
        ("less", 2.0, 1.0, "nightly"),
        ("more", 2.0, 1.0, "continuous"),
        ("more", 1.0, 2.0, "nightly"),
        ("less", 1.0, 1.0, ""),
        ("less", None, 1.0, ""),
        ("neither", 1.0, 2.0, ""),
    ],
)
def test_a_row_knows_which_way_does_better(better, mine, other, winner):
    row = Row(label="x", unit="rate", continuous=mine, nightly=other, better=better)
    assert row.winner == winner


def test_what_shows_as_the_same_number_is_no_advantage():
    assert Row(label="x", unit="count", continuous=1.0, nightly=1.2, better="less").winner == ""


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.35, "0.3 s"), (89, "89.0 s"), (90, "1.5 min"), (7200, "2.0 h"), (200_000, "2.3 d")]
)
def test_durations_are_shown_in_the_unit_that_suits_them(seconds, shown):
    assert duration(seconds) == shown


def test_drawing_is_what_imports_matplotlib_and_nothing_before_it():
    code = "import sys, pointsman.demo.report_files, pointsman.demo.run; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_stream_without_fraud_is_reported_all_the_same(tmp_path):
    folder = write(tmp_path, NOW, compared(frauds=0), {})
    text = (folder / "report.md").read_text()
    assert "No account was frozen" in text
    assert {row.label: row.shown(row.continuous) for row in rows(compared(frauds=0))}["money lost to fraud"] == "0.00"
