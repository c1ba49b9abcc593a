"""The example's events as a file."""

from __future__ import annotations

import json

from pointsman.demo.events import main


def test_a_stream_is_written_a_line_an_event(capsysbinary):
    assert main(["--days", "1", "--customers", "100"]) == 0

    lines = capsysbinary.readouterr().out.splitlines()
    assert len(lines) > 100
    assert "transaction_id" in json.loads(lines[0])
