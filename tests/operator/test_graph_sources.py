"""What the hosts in a cluster say of the sources that they read and of their decisions, by graph."""

from __future__ import annotations

from datetime import UTC, datetime

from pointsman.api.reasons import Reason
from pointsman.graphs.activity import QUIET, Activity
from pointsman.ingest.report import SourceReport
from pointsman_operator import names
from pointsman_operator.graphs.observe import activities, sources
from pointsman_operator.graphs.seen import Answer, SeenNamespace
from pointsman_operator.seen import DEPLOYMENT, RAY_SERVICE, Kind, Raw

READ = {"reached": True, "lag": 7, "deadLetters": 1}
AWAY = {"reached": False, "reason": "SourceUnreachable", "cause": "Kafka at b:9092 does not answer"}


def host(kind: Kind, name: str, graph: str) -> Raw:
    return {"kind": kind.name, "metadata": {"name": name, "uid": name, "labels": {names.GRAPH: graph}}}


def seen(**answers: Answer) -> SeenNamespace:
    objects = {
        RAY_SERVICE.name: [host(RAY_SERVICE, "old", "fraud"), host(RAY_SERVICE, "new", "fraud")],
        DEPLOYMENT.name: [host(DEPLOYMENT, "other", "content")],
    }
    return SeenNamespace(name="team", objects=objects, hosts=answers, now=datetime(2026, 3, 2, tzinfo=UTC))


def test_the_host_that_reads_speaks_for_its_graph_and_one_that_stands_by_does_not() -> None:
    said = sources(
        seen(
            old=Answer(status=200, body={"source": READ}),
            new=Answer(status=200, body={"source": None}),
            other=Answer(status=200, body={"source": AWAY}),
        )
    )
    assert said == {
        "fraud": SourceReport(reached=True, lag=7, dead_letters=1),
        "content": SourceReport(reason=Reason.SourceUnreachable, cause="Kafka at b:9092 does not answer"),
    }


def test_a_host_that_decides_nothing_says_nothing_of_its_source() -> None:
    assert sources(seen(old=Answer(status=503, body={"source": READ}), other=Answer(cause="no answer"))) == {}


def test_the_host_that_decides_speaks_for_its_graph_and_one_that_stands_by_does_not() -> None:
    said = activities(
        seen(
            old=Answer(status=200, body={"standby": False, "activity": {"automaticPercent": 87}}),
            new=Answer(status=200, body={"standby": True, "activity": {"automaticPercent": None}}),
            other=Answer(status=200, body={}),  # of a release that tells nothing
        )
    )
    assert said == {"fraud": Activity(automatic_percent=87), "content": QUIET}


def test_what_a_host_of_another_release_says_in_another_form_is_not_told_and_nothing_else_suffers() -> None:
    strange = Answer(status=200, body={"source": {"lag": "much"}, "activity": {"automaticPercent": "most"}})
    said = seen(old=strange, other=Answer(status=200, body={"source": READ, "activity": {"automaticPercent": 87}}))

    assert sources(said) == {"content": SourceReport(reached=True, lag=7, dead_letters=1)}
    assert activities(said) == {"fraud": QUIET, "content": Activity(automatic_percent=87)}
