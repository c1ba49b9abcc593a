"""What a status keeps of the past: what was proposed, what served from when to when, and what is told of it elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pointsman.api.reasons import Reason
from pointsman.deployments.history import LONGEST, Entry, ended, grown, newest, serving
from pointsman.deployments.outcomes import outcomes
from pointsman.deployments.plan import Pinned
from pointsman.registry.port import ModelVersion

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
URI = "models:/fraud@champion"
LONG = timedelta(minutes=30)


def pinned(number: int, *, shape: str = "s", uri: str = URI) -> Pinned:
    source = f"mlflow-artifacts:/1/m-{number}"
    return Pinned(uri=uri, version=str(number), digest=f"sha256:{number:064}", source=source, shape=shape)


ONE, TWO, THREE = pinned(1), pinned(2), pinned(3)


def at(minutes: int) -> str:
    return (NOON + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Story:
    """A history that grows by a minute at each step."""

    def __init__(self) -> None:
        self.entries, self.minutes = list[Entry](), 0

    def then(self, wanted: Pinned | None, serve: Pinned | None, failed: Reason | None = None) -> Story:
        now = NOON + timedelta(minutes=self.minutes)
        self.entries = grown(self.entries, wanted=wanted, serve=serve, failed=failed, now=now)
        again = grown(self.entries, wanted=wanted, serve=serve, failed=failed, now=now + LONG)
        assert again == self.entries, "the same again changes nothing"
        self.minutes += 1
        return self

    def shown(self) -> list[dict[str, Any]]:
        """Without what never changes of a revision."""
        fixed = ("digest", "revision", "uri", "source")
        return [{name: value for name, value in each.items() if name not in fixed} for each in self.entries]

    def said(self) -> dict[str, str]:
        """By version."""
        return {version.version: text for version, text in outcomes(self.entries).items()}


def test_a_version_is_proposed_and_then_serves() -> None:
    story = Story().then(ONE, None).then(ONE, ONE)
    assert story.entries == [
        {
            "version": "1",
            "digest": ONE.digest,
            "revision": ONE.revision,
            "uri": URI,
            "source": ONE.source,
            "proposedAt": at(0),
            "servedFrom": at(1),
        }
    ]
    assert story.said() == {"1": f"serving since {at(1)} as revision {ONE.revision}"}


def test_an_alias_that_moves_is_dated_and_the_old_version_serves_until_the_new_one_does() -> None:
    story = Story().then(ONE, ONE).then(TWO, ONE).then(TWO, TWO)
    assert story.shown() == [
        {"version": "1", "proposedAt": at(0), "servedFrom": at(0), "servedUntil": at(2)},
        {"version": "2", "proposedAt": at(1), "servedFrom": at(2)},
    ]
    assert story.said() == {
        "1": f"served from {at(0)} until {at(2)} as revision {ONE.revision}",
        "2": f"serving since {at(2)} as revision {TWO.revision}",
    }


def test_a_version_that_never_serves_is_kept_with_the_moment_and_the_reason() -> None:
    story = Story().then(ONE, ONE).then(TWO, ONE).then(TWO, ONE, Reason.ProbeFailed).then(TWO, ONE).then(THREE, ONE)
    assert story.shown() == [
        {"version": "1", "proposedAt": at(0), "servedFrom": at(0)},
        {"version": "2", "proposedAt": at(1), "failedFor": "ProbeFailed"},
        {"version": "3", "proposedAt": at(4)},
    ]
    says = f"failed as revision {TWO.revision}: ProbeFailed: {Reason.ProbeFailed.description}"
    assert story.said() == {"1": f"serving since {at(0)} as revision {ONE.revision}", "2": says}


def test_a_failure_is_forgotten_once_the_version_serves() -> None:
    story = Story().then(ONE, None, Reason.Unschedulable).then(ONE, ONE)
    assert story.shown() == [{"version": "1", "proposedAt": at(0), "servedFrom": at(1)}]


def test_an_alias_that_moves_back_is_dated_and_what_served_all_the_time_goes_on() -> None:
    story = Story().then(ONE, ONE).then(TWO, ONE, Reason.Crashing).then(ONE, ONE)
    assert story.shown() == [
        {"version": "1", "proposedAt": at(0), "servedFrom": at(0)},
        {"version": "2", "proposedAt": at(1), "failedFor": "Crashing"},
        {"version": "1", "proposedAt": at(2)},
    ]
    assert story.said()["1"] == f"serving since {at(0)} as revision {ONE.revision}"


def test_a_version_that_serves_again_has_an_entry_of_its_own() -> None:
    story = Story().then(ONE, ONE).then(TWO, TWO).then(ONE, TWO).then(ONE, ONE)
    assert story.shown()[-1] == {"version": "1", "proposedAt": at(2), "servedFrom": at(3)}
    assert story.said()["1"] == f"serving since {at(3)} as revision {ONE.revision}"
    assert story.said()["2"] == f"served from {at(1)} until {at(3)} as revision {TWO.revision}"


def test_a_gap_in_which_nothing_serves_is_seen() -> None:
    story = Story().then(ONE, ONE).then(TWO, None).then(TWO, TWO)
    assert story.shown() == [
        {"version": "1", "proposedAt": at(0), "servedFrom": at(0), "servedUntil": at(1)},
        {"version": "2", "proposedAt": at(1), "servedFrom": at(2)},
    ]


def test_another_shape_of_the_same_version_is_another_revision() -> None:
    other = pinned(1, shape="more memory")
    story = Story().then(ONE, ONE).then(other, ONE).then(other, other)
    assert [each["revision"] for each in story.entries] == [ONE.revision, other.revision]
    assert story.said() == {"1": f"serving since {at(2)} as revision {other.revision}"}


def test_another_reference_to_what_serves_is_kept_as_it_was_written() -> None:
    fixed = replace(ONE, uri="models:/fraud/1")
    story = Story().then(ONE, ONE).then(fixed, fixed)
    assert [each["uri"] for each in story.entries] == [URI, "models:/fraud/1"]
    assert serving(story.entries) == story.entries[0]


def test_a_reference_that_is_not_resolved_now_changes_nothing() -> None:
    story = Story().then(ONE, ONE)
    before = list(story.entries)
    assert story.then(None, ONE).entries == before


def test_a_model_that_is_in_no_registry_has_no_outcome_there() -> None:
    story = Story().then(pinned(1, uri="s3://models/fraud"), pinned(1, uri="s3://models/fraud"))
    assert story.entries
    assert story.said() == {}


def test_a_version_is_named_with_its_model() -> None:
    assert list(outcomes(Story().then(ONE, ONE).entries)) == [ModelVersion(name="fraud", version="1")]


def test_what_a_deployment_that_is_gone_served_has_served() -> None:
    story = Story().then(ONE, ONE)
    gone = ended(story.entries, NOON + LONG)
    assert list(outcomes(gone).values()) == [f"served from {at(0)} until {at(30)} as revision {ONE.revision}"]


def test_what_serves_is_kept_however_many_versions_come_after_it() -> None:
    story = Story().then(ONE, ONE)
    for number in range(2, 3 * LONGEST):
        story.then(pinned(number), ONE, Reason.Crashing)
    assert len(story.entries) == LONGEST
    assert story.shown()[0] == {"version": "1", "proposedAt": at(0), "servedFrom": at(0)}
    assert story.shown()[-1]["version"] == str(3 * LONGEST - 1)


def test_an_entry_of_an_earlier_release_is_read() -> None:
    before = [{"version": "1", "digest": ONE.digest, "servedFrom": at(0)}]
    after = grown(before, wanted=ONE, serve=ONE, failed=None, now=NOON + LONG)
    assert serving(after) == before[0]
    assert newest(after) == after[-1]


STEPS = st.lists(
    st.tuples(
        st.sampled_from([None, *map(pinned, range(1, 5))]), st.booleans(), st.sampled_from([None, Reason.Crashing])
    ),
    max_size=80,
)


@given(STEPS)
def test_whatever_happens_it_says_what_serves_and_grows_no_longer_than_it_may(steps: Any) -> None:
    story, serve = Story(), None
    for wanted, answers, failed in steps:
        serve = wanted if answers and wanted is not None else serve
        story.then(wanted, serve, failed if wanted != serve else None)
        now = serving(story.entries)
        assert (now and now["version"]) == (serve and serve.version)
        assert len(story.entries) <= LONGEST
        times = [(each["servedFrom"], each.get("servedUntil")) for each in story.entries if "servedFrom" in each]
        assert all(until == since for (_, until), (since, _) in pairwise(times))
        if wanted is not None:
            assert newest(story.entries)["version"] == wanted.version
