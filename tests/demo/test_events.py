"""The example's events as a file."""

from __future__ import annotations

import json

import pytest

from pointsman.certifying import read_labels
from pointsman.demo.events import main
from pointsman.labels.files import Columns
from pointsman.labels.files import read_labels as read_ground_truth


def test_a_stream_is_written_a_line_an_event(capsysbinary):
    assert main(["--days", "1", "--customers", "100"]) == 0

    lines = capsysbinary.readouterr().out.splitlines()
    assert len(lines) > 100
    assert "transaction_id" in json.loads(lines[0])


def test_labels_are_of_what_becomes_a_decision_once_the_views_have_seen_enough(capsysbinary, tmp_path):
    file = tmp_path / "labels.csv"
    assert main(["--days", "9", "--customers", "100", "--labels", str(file)]) == 0

    events = {each.get("transaction_id"): each for each in map(json.loads, capsysbinary.readouterr().out.splitlines())}
    found = read_labels(file)
    assert {each.propensity for each in found.values()} == {1.0}
    assert {events[id_]["known_at"][:10] for id_ in found} <= {"2026-03-09", "2026-03-10"}
    assert 100 < len(found) < 300
    assert len(list(read_ground_truth(file, Columns(event="id")))) == len(found)


def test_labels_take_more_days_than_the_views_look_back(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["--days", "8", "--labels", str(tmp_path / "labels.csv")])
    assert "take more --days" in capsys.readouterr().err
