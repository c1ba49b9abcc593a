"""What the status tells of a model's versions: the newest first, each from when to when."""

from __future__ import annotations

from typing import Any

from pointsman.deployments.versions import of_revision, versions

ONE: dict[str, Any] = {"version": "1", "digest": "sha256:1111111122", "servedFrom": "2026-11-01T10:00:00Z"}
TWO: dict[str, Any] = {
    "version": "2",
    "digest": "sha256:22",
    "revision": "abcd1234",
    "servedFrom": "2026-11-02T10:00:00Z",
}
NEVER = {"version": "3", "revision": "ef", "proposedAt": "2026-11-03T10:00:00Z", "failedFor": "Crashing"}


def test_a_version_served_until_the_next_one_did() -> None:
    newest, before = versions({"history": [ONE, TWO]})
    assert (newest["version"], newest["servedUntil"]) == ("2", None)
    assert (before["version"], before["servedUntil"]) == ("1", TWO["servedFrom"])
    assert before["revision"] == "11111111", "of its files, where it is not written"


def test_what_is_written_of_its_end_counts() -> None:
    ended = {**ONE, "servedUntil": "2026-11-01T11:00:00Z"}
    assert versions({"history": [ended, TWO]})[1]["servedUntil"] == "2026-11-01T11:00:00Z"


def test_a_version_that_never_served_has_no_end_and_ends_nothing() -> None:
    never, serves, _ = versions({"history": [ONE, TWO, NEVER]})
    assert "servedUntil" not in never
    assert serves["servedUntil"] is None


def test_nothing_is_told_of_nothing() -> None:
    assert versions({}) == []


def test_a_revision_is_told_with_its_version_where_it_is_known() -> None:
    status = {"revision": "abcd1234", "history": [ONE, TWO]}
    assert of_revision(status, "abcd1234") == "version 2, serves"
    assert of_revision(status, "11111111") == "version 1, does not serve"
    assert of_revision(status, "ffffffff") == "does not serve"
