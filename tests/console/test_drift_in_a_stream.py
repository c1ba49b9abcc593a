"""A drift in a stream of the example: auditors tell what they saw, the band is demoted, and what follows goes to people."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from pointsman.decisions.engine import Submission
from pointsman.demo.drifting import Auditors, drift, judge
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.wave import with_wave
from pointsman.library import GraphLibrary
from pointsman.store.database import connect

pytestmark = pytest.mark.slow
SETTINGS = GeneratorSettings(customers=800, terminals=800, days=4, seed=9)
BEGINS = SETTINGS.day(2)
SHARE = 0.2


@pytest.fixture(scope="module")
def library(audited_library) -> GraphLibrary:
    """The fraud example with a large audit sample."""
    return audited_library("20%")


@pytest.fixture
def auditors(engine, address, key_of, database_url):
    uid = engine.graph.resolved.graph_uid
    with (
        connect(database_url) as connection,
        Auditors(connection, uid, f"{address}/v1/graphs/card-fraud/", key_of(), SHARE) as opened,
    ):
        yield opened


def test_a_wave_that_the_models_approve_demotes_the_band_and_is_kept_from_then_on(
    engine, auditors, database_url
) -> None:
    stream = with_wave(generate(SETTINGS), BEGINS, seed=1)

    def send(lines) -> None:
        events = [orjson.loads(line) for line in lines]
        engine.process([Submission(events=events, arrived=0.0, synchronous=False)])

    def demoted(band: str) -> bool:
        engine._certificates._due = 0.0
        return band not in {each.band for each in engine.bands() if each.live}

    sent, alarm = drift(auditors, send, stream, BEGINS, demoted)
    assert alarm is not None
    assert (alarm.band, alarm.wrong > 2, 0 < alarm.events <= 2000) == ("approve", True, True)
    with connect(database_url) as connection:
        found = judge(connection, engine.graph.resolved.graph_uid, stream, BEGINS, sent, alarm, auditors.heard)
    frauds = int(stream.fraud[found.before + alarm.events :].sum())
    assert found.wrong_after_alarm == 0
    assert found.wrong_until_alarm > 10 > found.wrong_before
    assert frauds * 0.8 < found.prevented <= frauds
    assert found.honest_to_people > 5 * found.prevented
    assert found.heard >= alarm.labelled > 100


def test_without_a_drift_no_band_is_demoted(engine, auditors) -> None:
    stream = generate(replace(SETTINGS, customers=300))

    def send(lines) -> None:
        engine.process([Submission(events=[*map(orjson.loads, lines)], arrived=0.0, synchronous=False)])

    sent, alarm = drift(auditors, send, stream, BEGINS, lambda band: True)
    assert (sent, alarm) == (len(stream), None)
    assert auditors.monitor("approve")["labelled"] == pytest.approx(len(stream) * SHARE, rel=0.2)
