"""The whole thing on real parts: the demo on Ray Serve, then faults, a moved alias, and the embedded host."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import orjson
import psutil
import pytest

from harness import asked
from harness.certified import certify_bands
from harness.prometheus import prometheus
from pointsman.api.documents import load, plain
from pointsman.certifying import serving
from pointsman.demo.conservation import PENDING, conservation
from pointsman.demo.days import DRIFT_DAYS, FULL, HISTORY_DAYS, STREAM_DAYS
from pointsman.demo.generator import generate
from pointsman.demo.outcome import Outcome
from pointsman.demo.report import business
from pointsman.demo.run import run
from pointsman.demo.start import TOKEN, Stage
from pointsman.demo.streaming import send
from pointsman.demo.transactions import as_json_lines
from pointsman.local.client import ControlClient, NotRunning
from pointsman.local.home import Home
from pointsman.local.keeper import keeper_of
from pointsman.local.leftovers import CHILD, marked
from pointsman.local.postgres import PostgresServer
from pointsman.local.secrets import FIRST_KEY, SecretStore
from pointsman.local.up import down, up
from pointsman.store.database import APP_ROLE, OWNER_ROLE, connect

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
AT = "2026-05-20T01:00:00Z"
"""After what the demo has streamed"""
SILENT = Stage(begin=lambda name, total: None, advance=lambda count: None)


def until(fact: Callable[[], bool], seconds: float = 120, *, what: object = "it did not become so in time") -> None:
    """Wait for a fact; `what` is said where it does not come."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("home"))
    yield home
    down(home)
    server = PostgresServer(home)
    if server.user:
        shutil.rmtree(server.data.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def outcome(home: Home) -> Outcome:
    return run(home, SILENT)


@pytest.fixture(scope="module")
def demoted(home: Home, outcome: Outcome) -> dict[str, object]:
    """What an event was answered when the demo had ended. From then on the band that the demo's drift has demoted acts again."""
    client = ControlClient(home)
    assert client.wait_ready(180)
    decide(client, home, "first")  # whose features are stale, where the alarm came days before
    answer: dict[str, object] = decide(client, home, "demoted").json()
    certify(home)
    pointsman(home, "bands", "rearm", "approve", "-m", "the wave is over")
    until(lambda: decide(client, home, f"armed-{time.time_ns()}").json()["outcome"] == "approve")
    return answer


@pytest.fixture
def client(home: Home, demoted: dict[str, object]) -> ControlClient:
    client = ControlClient(home)
    assert client.wait_ready(180)
    return client


def certify(home: Home) -> None:
    """Let all bands of the revision that decides act."""
    server = PostgresServer(home)
    with connect(server.url("pointsman", APP_ROLE)) as connection:
        resolved = serving(connection, "card-fraud")
    certify_bands(resolved, server.url("pointsman", APP_ROLE), server.url("pointsman", OWNER_ROLE))


def post(client: ControlClient, home: Home, **body: object) -> httpx2.Response:
    """Sends something to the graph, through the gateway, with the home's key."""
    url = client.get("DecisionGraph", "card-fraud")["status"]["url"]
    key = SecretStore(home.secrets).get(*FIRST_KEY)
    return httpx2.post(url, headers={"authorization": f"Bearer {key}"}, timeout=30, trust_env=False, **body)


def component(client: ControlClient, name: str) -> dict[str, object]:
    try:
        return next((each for each in client.status()["components"] if each["name"].startswith(name)), {})
    except NotRunning:
        return {}


def decide(client: ControlClient, home: Home, event_id: str, card: str = "card-x", at: str = AT) -> httpx2.Response:
    event = {
        "transaction_id": event_id,
        "occurred_at": at,
        "amount": "12.50",
        "card_id": card,
        "terminal_id": "terminal-x",
        "card_account": "account-x",
    }
    return post(client, home, json=event)


def test_the_demo_decides_its_stream_and_nothing_is_lost_or_doubled(outcome: Outcome) -> None:
    assert outcome.conservation.broken() == ()
    assert outcome.saturated.decided + outcome.paced.decided == len(outcome.recorded) >= 50_000
    shares = {each.outcome: each for each in business(outcome.recorded, outcome.truth).outcomes}
    assert shares["approve"].share > 0.9
    assert shares["decline"].error is not None
    assert shares["decline"].error < 0.1
    assert outcome.conservation.freezes == outcome.conservation.observed > 100


def test_deciding_the_same_days_once_a_night_gives_the_same_decisions_and_loses_more(outcome: Outcome) -> None:
    found = outcome.comparison
    assert found.agreed == found.compared == len(outcome.recorded)
    assert found.continuous.measured.lost_cents < found.nightly.measured.lost_cents
    assert found.continuous.cost.cpu_seconds > found.nightly.cost.cpu_seconds > 0


def test_both_bands_are_certified_on_history_and_a_drift_is_noticed_and_stopped(
    outcome: Outcome, demoted: dict[str, object]
) -> None:
    assert {each.band: (each.certified, each.bound <= each.promise) for each in outcome.certificates} == {
        "approve": (True, True),
        "freeze": (True, True),
    }
    assert all(each.needed for each in outcome.certificates)
    found, alarm = outcome.drift, outcome.drift.alarm
    assert alarm is not None
    assert (alarm.band, alarm.wrong > 2) == ("approve", True)
    assert (found.wrong_before < 20, found.wrong_until_alarm > 100, found.wrong_after_alarm) == (True, True, 0)
    assert found.prevented > 100
    assert demoted["reasons"] == ["BandDemoted"]


def test_people_see_less_than_with_one_threshold_and_no_more_money_is_lost(outcome: Outcome) -> None:
    found = outcome.by_hand
    assert found.bands.items < found.by_hand.items
    assert found.bands.lost_cents < found.by_hand.lost_cents


def test_every_object_is_ready_and_says_what_is_certified(client: ControlClient) -> None:
    def conditions() -> dict[str, tuple[str, str]]:
        graph = client.get("DecisionGraph", "card-fraud")
        return {each["type"]: (each["status"], each["reason"]) for each in graph["status"]["conditions"]}

    until(lambda: conditions()["Certified"] == ("True", "CertificatesLive"))
    assert conditions()["Ready"][0] == "True"
    assert client.get("ModelDeployment", "fraud-scorer")["status"]["digest"].startswith("sha256:")


def test_a_decision_can_be_explained_down_to_the_observed_freeze(client: ControlClient, outcome: Outcome) -> None:
    record = client.explain_decision(str(outcome.example_decision))
    assert record["ledger"]["holds"]
    assert record["actions"][0]["effects"][-1]["state"] == "observed"
    assert record["revision"]["models"]["boosted"]["placement"] == "Inline"
    assert record["revision"]["models"]["sequence"]["placement"] == "Remote"


def test_one_event_is_answered_and_bad_input_is_told_where(client: ControlClient, home: Home) -> None:
    assert decide(client, home, "sync-1").json()["outcome"] == "approve"
    assert decide(client, home, "sync-1").json()["duplicate"] is True
    broken = post(client, home, json={"transaction_id": "sync-2"})
    assert broken.status_code == 422
    assert "occurred_at" in broken.json()["error"]
    assert post(client, home, content=b"{").status_code == 400
    assert post(client, home, content=b" " * (8 * 1024 * 1024 + 1)).status_code == 413


def pointsman(home: Home, *arguments: str, code: int = 0) -> str:
    """Runs a command against the home; its standard output, and its errors where it should fail."""
    environment = {**os.environ, "POINTSMAN_HOME": str(home.root)}
    command = [sys.executable, "-c", "from pointsman.cli.main import run; run()", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_reviewer_works_the_queue_from_the_command_line(client: ControlClient, home: Home) -> None:
    (first,) = orjson.loads(pointsman(home, "reviews", "list", "--limit", "1", "-o", "json"))
    held = orjson.loads(pointsman(home, "reviews", "claim", "-o", "json"))
    assert first["review_id"] in {each["review_id"] for each in held}
    pointsman(home, "reviews", "decide", first["review_id"], "fraud", "--reason", "the holder was asked")
    shown = orjson.loads(pointsman(home, "reviews", "show", first["review_id"], "-o", "json"))
    assert (shown["state"], shown["verdict"], shown["reviewer"]) == ("decided", "fraud", "local-admin")
    freeze = {each["name"]: each for each in shown["behind"]["actions"]}["freeze"]
    assert freeze["parameters"]["account"].startswith("a")
    again = pointsman(home, "reviews", "decide", held[-1]["review_id"], "legitimate", "-r", "another mind", code=1)
    assert "the item has ended: fraud by local-admin" in again


NOT_HERE = re.compile("pointsman_(source|operator)_")
"""The example's events are posted, and no operator runs here: tests of Kafka and of the operator look at those"""


def test_prometheus_finds_data_for_every_query_of_the_dashboards_and_for_every_alert(
    client: ControlClient, home: Home, tmp_path: Path
) -> None:
    configuration = orjson.loads((home.config / "prometheus.yml").read_bytes())
    often = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(asked.RULES)]}
    here = {place: query for place, query in asked.in_good_times().items() if not NOT_HERE.search(query)}
    address = client.get("DecisionGraph", "card-fraud")["status"]["url"].partition("/v1/")[0]
    headers = {"authorization": f"Bearer {SecretStore(home.secrets).get(*FIRST_KEY)}"}
    with prometheus(configuration | often, tmp_path) as server:
        until(lambda: server.targets() == {each["job_name"]: {"up"} for each in configuration["scrape_configs"]})
        asked.answered(server, here, lambda: asked.work(address, headers, AT))
        rules = [rule for group in server.get("/rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}, rules


def test_a_listed_card_is_stopped_within_seconds_and_without_a_rollout(client: ControlClient, home: Home) -> None:
    revision = client.get("DecisionGraph", "card-fraud")["status"]["revision"]
    assert decide(client, home, "listed-0", "card-l").json()["outcome"] == "approve"
    assert "added" in pointsman(home, "lists", "add", "stolen_cards", "card-l", "-m", "phoned in", "--expires", "1h")
    assert "card-l" in pointsman(home, "lists", "show")
    deadline, number = time.monotonic() + 5, 1
    while (answer := decide(client, home, f"listed-{number}", "card-l").json())["outcome"] == "approve":
        assert time.monotonic() < deadline, "the list is not in effect within 5 s"
        number += 1
    assert (answer["reasons"], answer["revision"]) == (["StolenCard"], revision)
    assert "removed" in pointsman(home, "lists", "remove", "stolen_cards", "card-l")
    assert "has no list" in pointsman(home, "lists", "add", "nothing", "x", code=4)


def test_a_file_is_sent_and_what_broke_in_it_is_corrected(client: ControlClient, home: Home, tmp_path: Path) -> None:
    good = {
        "transaction_id": "file-1",
        "occurred_at": AT,
        "amount": "12.50",
        "card_id": "card-f",
        "terminal_id": "terminal-f",
        "card_account": "account-f",
    }
    file = tmp_path / "events.jsonl"
    file.write_bytes(orjson.dumps(good) + b"\n" + orjson.dumps({**good, "transaction_id": "file-2", "amount": "a lot"}))
    assert "1 events broke the contract" in pointsman(home, "events", "send", str(file), code=1)
    (letter,) = [
        each
        for each in orjson.loads(pointsman(home, "deadletters", "list", "--limit", "500", "-o", "json"))
        if each["event_id"] == "file-2"
    ]
    corrected = tmp_path / "corrected.json"
    corrected.write_bytes(orjson.dumps({**good, "transaction_id": "file-2"}))
    assert "amount" in pointsman(home, "deadletters", "replay", letter["id"], code=1)
    pointsman(home, "deadletters", "replay", letter["id"], "--event", str(corrected))
    assert "file-2" in pointsman(home, "decisions", "show", "file-2")
    assert "1 duplicates" in pointsman(home, "events", "send", str(corrected))


def test_nobody_decides_without_a_key(client: ControlClient, home: Home) -> None:
    url = client.get("DecisionGraph", "card-fraud")["status"]["url"]
    assert httpx2.post(url, json={}, trust_env=False).status_code == 401
    viewer = pointsman(home, "keys", "create", "eve", "--role", "viewer").strip()
    deadline = time.monotonic() + 10
    while (status := httpx2.post(url, json={}, headers={"authorization": f"Bearer {viewer}"}).status_code) == 401:
        assert time.monotonic() < deadline
    assert status == 403


@pytest.mark.parametrize(
    "name",
    ["model-card-sequence", "dispatcher", "accounts", "mlflow", "postgres", "pointsman-api", "pointsman-gateway"],
)
def test_a_process_that_is_killed_comes_back(client: ControlClient, name: str, home: Home) -> None:
    before = component(client, name)
    os.kill(int(str(before["pid"])), signal.SIGKILL)
    until(lambda: component(client, name).get("pid") not in (None, before["pid"]))
    assert client.wait_ready(120)
    assert decide(client, home, f"after-{name}").status_code == 200


def processes(home: Home, child: str, part: str) -> list[psutil.Process]:
    """The home's processes of a supervised child, by its name's beginning and a part of the command."""
    found = list[psutil.Process]()
    for each in marked(home.instance):
        try:
            fits = each.environ().get(CHILD, "").startswith(child) and part in " ".join(each.cmdline()).split(" -f ")[0]
        except psutil.Error:
            continue
        if fits:
            found.append(each)
    return found


@pytest.mark.parametrize("part", ["ray::ServeReplica", "haproxy", "raylet", "pointsman_serving.ray_host"])
def test_the_graph_decides_again_whatever_of_ray_is_killed(client: ControlClient, home: Home, part: str) -> None:
    def alive() -> list[psutil.Process]:
        return processes(home, "graph-card-fraud", part)

    def answer() -> dict[str, object]:
        try:
            answered = decide(client, home, f"event-{part}")
        except (httpx2.TransportError, NotRunning):
            return {}
        return answered.json() if answered.status_code == 200 else {}

    until(lambda: bool(alive() and answer()), 180)  # what was killed before may be coming back
    (victim, *_) = alive()
    victim.kill()
    until(lambda: any(each.pid != victim.pid for each in alive()), 180)
    until(lambda: answer().get("duplicate") is True, 180)


VICTIMS = (
    ("model-card-sequence", ""),
    ("dispatcher", ""),
    ("accounts", ""),
    ("postgres", ""),
    ("pointsman-api", ""),
    ("pointsman-gateway", ""),
    ("graph-card-fraud", "ray::ServeReplica"),
    ("graph-card-fraud", "haproxy"),
    ("", "pointsman.local.supervisor"),
)
"""The supervised child that a process belongs to, and a part of its command."""


def test_whatever_is_killed_at_random_moments_of_a_stream_nothing_is_lost_or_doubled(
    client: ControlClient, home: Home
) -> None:
    seed = time.time_ns()
    chance = random.Random(seed)
    lines = as_json_lines(generate(FULL).split(FULL.day(HISTORY_DAYS + STREAM_DAYS + DRIFT_DAYS))[1])[:16_000]
    wanted = {id_ for line in lines if isinstance(id_ := orjson.loads(line).get("transaction_id"), str)}
    url = client.get("DecisionGraph", "card-fraud")["status"]["url"]
    headers = {"authorization": f"Bearer {SecretStore(home.secrets).get(*FIRST_KEY)}"}

    def is_whole() -> bool:
        try:
            return client.wait_ready(1)
        except NotRunning:
            return False

    with ThreadPoolExecutor(max_workers=1) as thread:
        sending = thread.submit(send, url, lines, headers=headers, batch=100, rate=400, patience_seconds=300)
        for child, part in chance.sample(VICTIMS, 3):
            time.sleep(chance.uniform(0.5, 4))  # a random moment, and not a wait for anything
            processes(home, child, part)[0].kill()
            until(is_whole, 240)
        sent = sending.result()
    server = PostgresServer(home)
    with connect(server.url("pointsman", APP_ROLE)) as connection:

        def is_drained() -> bool:
            with connection.transaction():
                row = connection.execute(PENDING).fetchone()
            return row == (0,)

        accounts = client.get("ActionTarget", "accounts")["status"]["address"]

        def is_back() -> bool:
            try:
                return httpx2.get(accounts, trust_env=False).status_code < 500
            except httpx2.TransportError:
                return False

        until(is_back)  # it may have been the last one killed, and nothing asked it since
        until(is_drained, 120)
        token = SecretStore(home.secrets).get(*TOKEN) or ""
        found = conservation(connection, accounts=accounts, token=token)
        with connection.transaction():
            rows = connection.execute(
                "SELECT event_id FROM decisions UNION SELECT event_id FROM dead_letters WHERE event_id IS NOT NULL"
            ).fetchall()
    assert found.broken() == (), f"seed {seed}"
    assert wanted <= {id_ for (id_,) in rows}, f"seed {seed}: events are lost"
    assert sent.decided + sent.duplicates + sent.dead_letters == len(lines)


def test_a_moved_alias_makes_a_new_revision_without_a_gap(client: ControlClient, home: Home) -> None:
    before = client.get("DecisionGraph", "card-fraud")["status"]["revision"]
    version = client.get("ModelDeployment", "fraud-scorer")["status"]["version"]
    mlflow = component(client, "mlflow")["address"]
    api = f"{mlflow}/api/2.0/mlflow"
    found = httpx2.get(f"{api}/model-versions/get", params={"name": "fraud-baseline", "version": "1"}).json()
    known = found["model_version"]
    source = {"source": known["source"], "run_id": known["run_id"], "model_id": known["source"].rpartition("/")[2]}
    made = httpx2.post(
        f"{api}/model-versions/create",
        json={"name": "fraud-scorer", **source},
        timeout=30,
    ).json()["model_version"]["version"]
    httpx2.post(f"{api}/registered-models/alias", json={"name": "fraud-scorer", "alias": "champion", "version": made})

    def switched() -> bool:
        assert decide(client, home, f"moving-{time.time_ns()}").status_code == 200
        return bool(client.get("DecisionGraph", "card-fraud")["status"]["revision"] != before)

    until(switched, 60)
    certify(home)
    after = client.get("ModelDeployment", "fraud-scorer")["status"]
    assert (version, after["version"]) == ("1", made)
    assert [each["version"] for each in after["history"]] == ["1", made]
    old, new = after["history"]
    assert old["servedUntil"] == new["servedFrom"] >= new["proposedAt"]

    def tag(number: str) -> str:
        asked = {"name": "fraud-scorer", "version": number}
        tags = httpx2.get(f"{api}/model-versions/get", params=asked).json()["model_version"].get("tags", ())
        return next((each["value"] for each in tags if each["key"] == "pointsman.dev/local.fraud-scorer"), "")

    until(lambda: tag(made) == f"serving since {new['servedFrom']} as revision {new['revision']}")
    until(
        lambda: tag("1") == f"served from {old['servedFrom']} until {old['servedUntil']} as revision {old['revision']}"
    )


def test_the_embedded_host_takes_over_the_same_graph(client: ControlClient, tmp_path: Path, home: Home) -> None:
    assert decide(client, home, "on-ray").status_code == 200
    documents = [plain(each) for each in load(EXAMPLE)]
    for each in documents:
        if each["kind"] == "DecisionGraph":
            each["spec"] |= {"certificates": "Required", "runtime": {"type": "Embedded"}}
    client.apply(documents)
    until(lambda: client.get("DecisionGraph", "card-fraud")["status"].get("runtime") == "Embedded")
    assert client.wait_ready(60)
    assert decide(client, home, "on-ray").json()["duplicate"] is True
    answer = decide(client, home, "embedded-1", "card-y", at="2026-05-21T20:00:00Z").json()
    assert (answer["outcome"], answer["reasons"]) == ("approve", [])


def test_a_killed_supervisor_is_replaced_and_everything_with_it(client: ControlClient, home: Home) -> None:
    keeper = keeper_of(home)
    assert keeper is not None
    (supervisor,) = [each for each in keeper.children() if "pointsman.local.supervisor" in each.cmdline()]
    supervisor.kill()
    until(lambda: not psutil.pid_exists(supervisor.pid))
    until(lambda: bool(component(client, "postgres").get("pid")))
    assert client.wait_ready(120)
    assert decide(client, home, "after-supervisor").status_code == 200


def test_after_down_nothing_is_left_and_up_brings_all_of_it_back(client: ControlClient, home: Home) -> None:
    assert decide(client, home, "before-down").status_code == 200
    assert down(home)
    assert marked(home.instance) == []
    with pytest.raises(NotRunning):
        client.status()
    assert up(home, timeout=120)
    assert decide(ControlClient(home), home, "before-down").json()["duplicate"] is True


def test_deleting_what_is_still_referred_to_is_refused(home: Home, outcome: Outcome) -> None:
    from pointsman.local.client import ControlError

    client = ControlClient(home)
    with pytest.raises(ControlError, match="still referred to"):
        client.delete("EventStream", "transactions")


def test_the_files_of_a_home_are_for_its_owner_alone(home: Home, outcome: Outcome) -> None:
    assert home.root.stat().st_mode & 0o077 == 0
    config = home.config / "graph-card-fraud.json"
    assert config.stat().st_mode & 0o077 == 0
    assert orjson.loads(config.read_bytes())["controlToken"]
