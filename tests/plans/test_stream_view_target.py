"""What the statuses of streams, views and targets say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pointsman.actions import plan as target_plan
from pointsman.actions.report import TargetReport
from pointsman.api.action_target import ActionTarget
from pointsman.api.conditions import find
from pointsman.api.documents import load
from pointsman.api.event_stream import EventStream
from pointsman.api.reasons import Reason
from pointsman.features import plan as view_plan
from pointsman.ingest import plan as stream_plan
from pointsman.ingest.report import SourceReport
from pointsman.planning import Told

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
KINDS: dict[str, Any] = {each.kind: each for each in load(EXAMPLE)}
STREAM = stream_plan.Observed(
    stream=KINDS["EventStream"],
    generation=2,
    version="sha256:ab",
    broken=None,
    sources_elsewhere={"SQL": "choose HTTP"},
    readers={},
)
VIEW = view_plan.Observed(view=KINDS["FeatureView"], generation=2, stream_exists=True, version="sha256:cd", broken=None)
TARGET = target_plan.Observed(
    target=KINDS["ActionTarget"],
    generation=2,
    url="http://127.0.0.1:1",
    report=TargetReport(answers=True),
    starting=False,
)
SILENT = TargetReport(answers=False, cause="connection refused")
NAMELESS = TargetReport(answers=False, cause='target: cannot be resolved: "bank"', name_is_unknown=True)
ELSEWHERE = ActionTarget.model_validate(
    {
        **(document := KINDS["ActionTarget"].document()),
        "spec": {**document["spec"], "serviceRef": None, "url": "https://bank"},
    }
)


def ready(told: Told) -> tuple[str, str, str]:
    found = find(told.conditions, "Ready")
    assert found is not None
    return found.status, found.reason.value, found.message


def test_a_stream_whose_contract_compiles_is_ready_with_its_version() -> None:
    told = stream_plan.decide(STREAM)
    assert ready(told) == ("True", "Ready", "")
    assert told.fields == {"contractVersion": "sha256:ab", "lag": None, "deadLetters": None}


def test_a_stream_whose_contract_does_not_compile_says_why() -> None:
    told = stream_plan.decide(replace(STREAM, version=None, broken='spec.id: no field is called "x"'))
    assert ready(told) == ("False", "InvalidSpec", 'spec.id: no field is called "x"')


def from_source(**source: Any) -> EventStream:
    document = KINDS["EventStream"].document()
    document["spec"]["source"] = source
    return EventStream.model_validate(document)


KAFKA = replace(
    STREAM,
    stream=from_source(type="Kafka", kafka={"bootstrapServers": ["b:9092"], "topic": "t"}),
    readers={"fraud": SourceReport(reached=True, lag=0, dead_letters=0)},
)


def test_a_source_that_is_not_read_here_is_refused_with_the_way_out() -> None:
    sql = {"url": {"secretKeyRef": {"name": "db", "key": "url"}}, "table": "t", "cursor": "id"}
    told = stream_plan.decide(replace(STREAM, stream=from_source(type="SQL", sql=sql)))
    assert ready(told) == ("False", "NotHonouredHere", 'spec.source.type: "SQL" is not read here: choose HTTP')


def test_a_format_that_no_world_reads_yet_is_refused_with_the_way_out() -> None:
    avro = {"bootstrapServers": ["b:9092"], "topic": "t", "format": "Avro", "schemaRegistry": "http://r"}
    told = stream_plan.decide(replace(KAFKA, stream=from_source(type="Kafka", kafka=avro)))
    message = 'spec.source.kafka.format: "Avro" is not read yet: write events as JSON'
    assert ready(told) == ("False", "NotHonouredHere", message)


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ({}, ("Unknown", "NothingWatches")),
        ({"a": None}, ("Unknown", "Progressing")),
        ({"a": SourceReport()}, ("Unknown", "Progressing")),
        ({"a": SourceReport(reached=True, lag=3)}, ("True", "Ready")),
        ({"a": SourceReport(reached=True), "b": None}, ("Unknown", "Progressing")),
        ({"a": SourceReport(reached=True, paused="full", pause=Reason.ReviewQueueFull)}, ("True", "Ready")),
        ({"a": SourceReport(reason=Reason.TopicNotFound, cause="no topic")}, ("False", "TopicNotFound")),
        ({"a": None, "b": SourceReport(reason=Reason.SourceUnreachable, cause="c")}, ("False", "SourceUnreachable")),
    ],
    ids=[
        "one that no graph uses is waited for",
        "so is one whose host says nothing",
        "and one whose host has not looked yet",
        "one that is reached is Ready, whatever its lag",
        "every graph must have reached it",
        "one that is read no further for a while is still Ready",
        "one without its topic is not",
        "what is wrong comes before what is waited for",
    ],
)
def test_a_source_is_as_those_who_read_it_say(reports: Any, expected: tuple[str, str]) -> None:
    assert ready(stream_plan.decide(replace(KAFKA, readers=reports)))[:2] == expected


def test_a_stream_says_who_reads_no_further_and_why() -> None:
    paused = SourceReport(reached=True, paused="20 items wait for people", pause=Reason.ReviewQueueFull)
    found = find(stream_plan.decide(replace(KAFKA, readers={"fraud": paused})).conditions, "Reading")
    assert found is not None
    assert (found.status, found.reason.value, found.message) == (
        "False",
        "ReviewQueueFull",
        'DecisionGraph "fraud" reads no further: 20 items wait for people',
    )


def test_a_stream_tells_its_longest_lag_and_all_dead_letters_in_two_digits() -> None:
    reports = {"a": SourceReport(lag=12_345, dead_letters=7), "b": SourceReport(lag=99, dead_letters=3)}
    fields = stream_plan.decide(replace(KAFKA, readers=reports)).fields
    assert (fields["lag"], fields["deadLetters"]) == (12_000, 10)
    assert [stream_plan.shown(count) for count in (0, 7, 99, 105, 9_999)] == [0, 7, 99, 100, 10_000]


def test_a_view_needs_its_stream_and_says_which() -> None:
    told = view_plan.decide(replace(VIEW, stream_exists=False, version=None))
    assert ready(told) == ("False", "StreamNotFound", 'EventStream "transactions" does not exist: apply it')
    assert ready(view_plan.decide(replace(VIEW, broken="spec.entity: no")))[:2] == ("False", "InvalidSpec")
    assert ready(view_plan.decide(VIEW))[0] == "True"


@pytest.mark.parametrize(
    ("newest", "known", "freshness"),
    [
        (None, None, None),
        (datetime(2026, 3, 2, 10, tzinfo=UTC), None, "2026-03-02T10:00:00Z"),
        (datetime(2026, 3, 2, 10, tzinfo=UTC), "2026-03-02T09:50:00Z", "2026-03-02T10:00:00Z"),
        (None, "2026-03-02T09:50:00Z", "2026-03-02T09:50:00Z"),
    ],
    ids=[
        "nothing is said of a view that has heard nothing",
        "what a host tells is said",
        "what a host tells stands instead of what was said before",
        "what was said before stands while no host tells anything",
    ],
)
def test_how_fresh_a_view_is(newest: datetime | None, known: str | None, freshness: str | None) -> None:
    assert view_plan.decide(replace(VIEW, newest=newest, known=known)).fields["freshness"] == freshness


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("True", "Ready")),
        ({"report": TargetReport(answers=True, missing_secrets=("token/key",))}, ("False", "SecretNotFound")),
        ({"url": None, "report": None}, ("False", "ServiceNotFound")),
        ({"report": None}, ("Unknown", "Progressing")),
        ({"report": TargetReport()}, ("Unknown", "Progressing")),
        ({"report": SILENT, "starting": True}, ("Unknown", "Progressing")),
        ({"report": SILENT}, ("False", "TargetUnreachable")),
        ({"report": NAMELESS}, ("False", "ServiceNotFound")),
        ({"report": NAMELESS, "target": ELSEWHERE}, ("False", "TargetUnreachable")),
        ({"report": TargetReport(answers=True, held="BudgetExhausted")}, ("True", "Ready")),
    ],
    ids=[
        "one that answers is ready",
        "one without its secret is not",
        "one whose Service leads nowhere is not",
        "one of which the dispatcher has told nothing is waited for",
        "one that nobody has looked at is waited for",
        "one that is being started is waited for",
        "one that is silent is not ready",
        "one whose Service nobody can find is without it",
        "one whose own address nobody can find does not answer",
        "one whose budget is spent is still ready",
    ],
)
def test_a_target(changes: Any, expected: tuple[str, str]) -> None:
    assert ready(target_plan.decide(replace(TARGET, **changes)))[:2] == expected


def test_a_missing_service_is_named() -> None:
    told = target_plan.decide(replace(TARGET, report=NAMELESS))
    assert ready(told)[2] == 'spec.serviceRef: there is no Service "accounts": actions wait until it is applied'


def test_a_missing_secret_is_named() -> None:
    report = TargetReport(answers=True, missing_secrets=("accounts-token/token",))
    told = target_plan.decide(replace(TARGET, report=report))
    assert ready(told)[2] == "no usable secret: accounts-token/token: apply a Secret that has it"


def test_a_silent_target_says_why_and_a_spent_budget_what_waits() -> None:
    assert ready(target_plan.decide(replace(TARGET, report=SILENT)))[2] == (
        'nothing answers at "http://127.0.0.1:1": connection refused: actions wait until it does'
    )
    spent = TargetReport(answers=True, budget_left=0, held="BudgetExhausted")
    held = find(target_plan.decide(replace(TARGET, report=spent)).conditions, "Held")
    assert held is not None
    assert (held.reason, held.message) == (
        "BudgetExhausted",
        "spec.budget: 5000 in 1h are spent: actions wait for the window to move on",
    )


def test_a_kill_switch_keeps_a_target_ready_and_approvals_are_honoured() -> None:
    document = KINDS["ActionTarget"].document()
    document["spec"] |= {"approval": {"type": "Always", "policy": "FourEyes"}, "suspend": True}
    told = target_plan.decide(replace(TARGET, target=type(KINDS["ActionTarget"]).model_validate(document)))
    honoured, held = find(told.conditions, "Honoured"), find(told.conditions, "Held")
    assert honoured is not None
    assert held is not None
    assert honoured.status == "True"
    assert held.reason == "KillSwitchOn"
    assert (ready(told)[0], told.fields["killSwitch"]) == ("True", True)
