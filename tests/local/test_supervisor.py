"""The supervisor on real parts: PostgreSQL, model servers, the embedded host, the accounts service; models from folders.

One runtime for all tests, which leave it as they found it: everything Ready.
"""

from __future__ import annotations

import copy
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx2
import orjson
import psutil
import psycopg
import pytest
from typer.testing import CliRunner

from harness.kafka import Broker
from harness.reading_host import records
from pointsman.api.documents import load, plain
from pointsman.cli.main import app
from pointsman.demo.publish import Description, Publisher
from pointsman.labels.importing import Truth
from pointsman.labels.store import import_labels
from pointsman.ledger.verify import verify
from pointsman.local.client import ControlClient, ControlError, NotRunning
from pointsman.local.home import Home
from pointsman.local.leftovers import end, marked
from pointsman.local.postgres import PostgresServer
from pointsman.local.secrets import FIRST_KEY, SecretStore
from pointsman.local.triton_here import why_not_triton
from pointsman.models.artifact import digest_of
from pointsman.store.database import connect
from pointsman_serving.bento.environment import ENVIRONMENT as BENTOML
from pointsman_serving.environments import Environment, EnvironmentFailed
from pointsman_serving.kserve_python.environment import ENVIRONMENT as KSERVE
from pointsman_serving.triton.environment import ENVIRONMENT as TRITON

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
SECONDS = 90
T = TypeVar("T")
Document = dict[str, Any]


def from_folder(document: Document, folder: Path) -> Document:
    """A deployment whose model lies in a folder."""
    changed = copy.deepcopy(document)
    changed["spec"]["model"] = {"uri": folder.as_uri(), "digest": digest_of(folder)}
    return changed


def documents() -> dict[str, Document]:
    """The example, by kind and name, on the embedded host and with models from their folders."""
    found = {f"{each.kind}/{each.name}": plain(each) for each in load(EXAMPLE)}
    for name in ("fraud-scorer", "card-sequence"):
        found[f"ModelDeployment/{name}"] = from_folder(found[f"ModelDeployment/{name}"], EXAMPLE / "models" / name)
    found["ModelDeployment/card-sequence"]["spec"]["runtime"] = {"type": "Native"}
    found["DecisionGraph/card-fraud"]["spec"]["runtime"] = {"type": "Embedded"}
    found["Secret/accounts-token"] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "accounts-token"},
        "stringData": {"token": "a-token-of-the-tests"},
    }
    return found


DOCUMENTS = documents()


CERTIFIED = copy.deepcopy(DOCUMENTS["DecisionGraph/card-fraud"])
"""With a promise that a few hundred labels can certify, and time for a machine that does much else"""
CERTIFIED["spec"]["deadline"] = "20s"
CERTIFIED["spec"]["certificates"] = "Required"
CERTIFIED["spec"]["bands"][0]["promise"]["maxError"] = "3%"


def pointsman(command: str) -> tuple[int, str]:
    """A command's exit code, and what it said on both streams."""
    result = CliRunner().invoke(app, command.split())
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def publish(mlflow: str, folder: Path) -> None:
    """A new version of the model of sequences, to which its alias moves."""
    said = Description(params={}, metrics={}, dataset_digest="sha256:ab", dataset_source="test")
    with Publisher(mlflow, "tests") as publisher:
        publisher.publish("card-sequence", folder, said, alias="champion")


def label_all(running: Running, events: Sequence[str]) -> None:
    """Ground truth for all of these: none was fraud."""
    now, uid = datetime.now(UTC), UUID(running.client.get("DecisionGraph", "card-fraud")["metadata"]["uid"])
    truth = [Truth(event_id=each, value=False, known_at=now) for each in events]
    with connect(PostgresServer(running.home).url("pointsman")) as connection:
        import_labels(connection, uid, truth, author="bank", source="all", replace=False, propensity=1.0, now=now)


def on_runtime(name: str, runtime: Document) -> Document:
    """A deployment of the example that something else runs."""
    changed = copy.deepcopy(DOCUMENTS[f"ModelDeployment/{name}"])
    changed["spec"]["runtime"] = runtime
    return changed


def built(environment: Environment) -> Path:
    """Where an environment lies, built once in the user's cache. In CI it must be; elsewhere its test is skipped."""
    if environment.cannot is not None:
        pytest.skip(environment.cannot)
    try:
        environment.build(lambda line: None)
    except EnvironmentFailed as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"NOT TESTED: {error}")
    return environment.folder


def remove_data(home: Home) -> None:
    """A database that runs as another user lies outside of its home."""
    server = PostgresServer(home)
    shutil.rmtree(server.data.parent if server.user else server.data, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Running:
    """A supervised home in which the example is Ready."""

    home: Home
    client: ControlClient
    process: subprocess.Popen[bytes]
    cache: Path

    def until(self, ask: Callable[[], T], seconds: float = SECONDS) -> T:
        """Wait for a fact; a supervisor that is away for a moment does not count."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = ask()
            except (NotRunning, ControlError, httpx2.HTTPError):
                answer = None  # type: ignore[assignment]
            if answer:
                return answer
            assert time.monotonic() < deadline, f"it did not come true: {self.client.status()}"
            time.sleep(0.05)

    def ready(self) -> None:
        assert self.client.wait_ready(SECONDS), self.client.status()["waitingFor"]

    def component(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.client.status()["components"] if each["name"] == name), None)

    def pid(self, name: str) -> int:
        found = self.component(name)
        assert found is not None
        return int(found["pid"])

    def condition(self, kind: str, name: str, type_: str = "Ready") -> tuple[str, str, str]:
        for each in self.client.get(kind, name).get("status", {}).get("conditions", ()):
            if each["type"] == type_:
                return each["status"], each["reason"], each["message"]
        return "-", "-", ""

    def revision(self) -> str:
        return str(self.client.get("DecisionGraph", "card-fraud")["status"].get("revision"))

    def decide(self) -> dict[str, Any]:
        """A decision on a new event. Raises httpx2.HTTPError where none is given."""
        found: dict[str, Any] = self._post(a_purchase())
        return found

    def decide_many(self, count: int) -> list[str]:
        """Decisions on so many new events; the events' ids."""
        events = [a_purchase() for _ in range(count)]
        assert self._post({"events": events})["decided"] == count
        return [each["transaction_id"] for each in events]

    def _post(self, body: Document) -> Any:
        url = self.client.get("DecisionGraph", "card-fraud")["status"]["url"]
        key = SecretStore(self.home.secrets).get(*FIRST_KEY)
        headers = {"authorization": f"Bearer {key}"}
        answer = httpx2.post(url, json=body, headers=headers, trust_env=False, timeout=10)
        answer.raise_for_status()
        return answer.json()


def a_purchase() -> dict[str, str]:
    return {
        "transaction_id": uuid4().hex,
        "occurred_at": "2026-11-03T12:00:00Z",
        "amount": "12.50",
        "card_id": "c",
        "terminal_id": "t",
        "card_account": "a",
    }


def cache_of(home: Home) -> Path:
    """Where this home's runtimes have their environments."""
    return home.root.parent / "cache"


@contextmanager
def supervised(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    with (home.logs / "started.log").open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "pointsman.local.supervisor", "--home", str(home.root)],
            stdout=stream,
            stderr=stream,
            env={**os.environ, "XDG_CACHE_HOME": str(cache_of(home))},
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = Home(tmp_path_factory.mktemp("supervised") / "home").create()
    try:
        with supervised(home) as process:
            runtime = Running(home=home, client=ControlClient(home), process=process, cache=cache_of(home))
            runtime.until(lambda: runtime.client.apply(list(DOCUMENTS.values())))
            runtime.ready()
            yield runtime
    finally:
        end(home.instance, term_seconds=1)
        remove_data(home)


@pytest.fixture(autouse=True)
def _everything_is_as_it_was(running: Running) -> Iterator[None]:
    yield
    running.client.apply(list(DOCUMENTS.values()))
    running.ready()


def test_it_decides_once_everything_is_ready_and_can_explain_it(running: Running) -> None:
    answer = running.decide()
    assert answer["revision"] == running.revision()
    record = running.client.explain_decision(answer["decision"][:12])
    assert record["decision"]["decision"] == answer["decision"]
    explained = running.client.explain("DecisionGraph", "card-fraud")
    assert (explained["tree"]["state"], explained["reason"]) == ("Ready True: Ready", "Ready")
    assert "process graph-card-fraud" in [each["what"] for each in explained["tree"]["below"]]
    running.until(lambda: running.client.get("DecisionGraph", "card-fraud")["status"].get("automaticShare"))
    view = lambda: running.client.get("FeatureView", "card-activity")["status"]  # noqa: E731
    running.until(lambda: view().get("freshness") == "2026-11-03T12:00:00Z")


def test_a_topic_is_decided_though_store_host_and_broker_are_killed_meanwhile(running: Running, kafka: Broker) -> None:
    (stream,) = map(plain, load(EXAMPLE.parent / "kafka"))
    stream["spec"]["source"]["kafka"]["bootstrapServers"] = [kafka.address]
    topic, produced = stream["spec"]["source"]["kafka"]["topic"], 0
    kafka.create(topic, partitions=3)
    running.client.apply([stream])
    running.ready()
    assert running.condition("EventStream", "transactions", "SourceReachable")[:2] == ("True", "SourceReachable")
    url = PostgresServer(running.home).url("pointsman")

    def read() -> int:
        with connect(url) as connection:
            (row,) = connection.execute("SELECT coalesce(sum(next_offset), 0)::int FROM source_offsets").fetchall()
        return int(row[0])

    for killed in ("postgres", "graph-card-fraud"):
        kafka.produce(topic, records(2000))
        produced += 2000
        running.until(lambda wanted=produced: read() > wanted - 2000)
        os.kill(running.pid(killed), signal.SIGKILL)
        running.until(lambda wanted=produced: answered(read) == wanted)
    kafka.kill()
    try:
        gone = ("False", "SourceUnreachable")
        running.until(lambda: running.condition("EventStream", "transactions")[:2] == gone)
        assert running.condition("DecisionGraph", "card-fraud")[:2] == ("Unknown", "WaitingForStream")
    finally:
        kafka.start()
    running.ready()
    running.until(lambda: running.client.get("EventStream", "transactions")["status"].get("lag") == 0)
    with connect(url) as connection:
        (counts,) = connection.execute(
            "SELECT (SELECT sum(received) FROM graph_heads)::int, (SELECT count(*) FROM decisions)::int, "
            "(SELECT count(*) FROM dead_letters)::int, (SELECT sum(duplicates) FROM graph_heads)::int, "
            "(SELECT count(DISTINCT event_id) FROM decisions)::int"
        ).fetchall()
    received, decided, dead, duplicates, events = counts
    assert received == decided + dead + duplicates
    assert decided == events
    assert duplicates == 0


def answered(ask: Callable[[], T]) -> T | None:
    """None while the database does not answer."""
    try:
        return ask()
    except psycopg.OperationalError:
        return None


def test_what_children_are_told_is_for_their_owner_alone(running: Running) -> None:
    for name in ("dispatcher.json", "graph-card-fraud.json"):
        assert (running.home.config / name).stat().st_mode & 0o077 == 0


def test_applying_the_same_again_starts_nothing_and_writes_nothing(running: Running) -> None:
    before = {each["name"]: each["pid"] for each in running.client.status()["components"]}
    objects = running.client.objects()
    assert {each["result"] for each in running.client.apply(list(DOCUMENTS.values()))} == {"unchanged"}
    assert running.client.objects() == objects
    assert {each["name"]: each["pid"] for each in running.client.status()["components"]} == before


@pytest.mark.parametrize("name", ["accounts", "dispatcher", "graph-card-fraud", "model-card-sequence"])
def test_a_process_that_is_killed_comes_back_and_everything_is_ready_again(name: str, running: Running) -> None:
    full = next(each["name"] for each in running.client.status()["components"] if each["name"].startswith(name))
    pid = running.pid(full)
    os.kill(pid, signal.SIGKILL)
    running.until(lambda: (running.component(full) or {}).get("pid") not in (pid, None))
    running.ready()
    running.until(running.decide)


def test_a_database_that_is_killed_comes_back_and_what_is_applied_meanwhile_is_not_lost(running: Running) -> None:
    os.kill(running.pid("postgres"), signal.SIGKILL)
    labelled = copy.deepcopy(DOCUMENTS["FeatureView/card-activity"])
    labelled["metadata"]["labels"] = {"killed": "once"}
    running.until(lambda: running.client.apply([labelled]))
    running.ready()
    running.until(running.decide)
    assert running.client.get("FeatureView", "card-activity")["metadata"]["labels"] == {"killed": "once"}


def test_another_model_is_switched_to_in_the_running_host_while_it_goes_on_deciding(
    running: Running, tmp_path: Path
) -> None:
    host, before = running.pid("graph-card-fraud"), running.revision()
    old = running.client.get("ModelDeployment", "card-sequence")["status"]
    folder = tmp_path / "another"
    shutil.copytree(EXAMPLE / "models" / "card-sequence", folder)
    (folder / "notes.txt").write_text("other bytes\n")
    running.client.apply([from_folder(DOCUMENTS["ModelDeployment/card-sequence"], folder)])

    revisions = list[str]()

    def switched() -> bool:
        revisions.append(running.decide()["revision"])
        return revisions[-1] != before

    running.until(switched)
    running.ready()
    assert running.pid("graph-card-fraud") == host, "the same process decides on"
    status = running.client.get("ModelDeployment", "card-sequence")["status"]
    assert status["digest"] == digest_of(folder)
    assert [each["digest"] for each in status["history"]][-2:] == [old["digest"], status["digest"]]
    with connect(PostgresServer(running.home).url("pointsman", "pointsman_app")) as connection:
        bodies = connection.execute("SELECT body FROM model_changes ORDER BY seq DESC LIMIT 2").fetchall()
        connection.commit()
        assert verify(connection).holds
    recorded = [orjson.loads(body)["model"]["digest"] for (body,) in bodies]
    assert recorded[0] == status["digest"], "what has begun to serve is in the ledger"
    running.until(lambda: running.component(f"model-card-sequence-{old['revision']}") is None)
    running.decide()


def test_a_model_that_cannot_be_had_is_named_while_the_old_one_serves_and_the_graph_decides(running: Running) -> None:
    broken = copy.deepcopy(DOCUMENTS["ModelDeployment/card-sequence"])
    broken["spec"]["model"] = {"uri": "file:///no/such/folder", "digest": "sha256:" + "0" * 64}
    running.client.apply([broken])
    running.until(lambda: running.condition("ModelDeployment", "card-sequence")[0] == "False")
    status, reason, message = running.condition("ModelDeployment", "card-sequence")
    assert (status, reason, message) == ("False", "InvalidReference", 'no such folder: "file:///no/such/folder"')
    assert running.condition("DecisionGraph", "card-fraud")[0] == "True"
    running.decide()
    explained = running.client.explain("ModelDeployment", "card-sequence")
    [guilty] = [each for each in explained["tree"]["below"] if each["mark"]]
    assert (guilty["what"], guilty["state"]) == ("condition Resolved", f"False InvalidReference: {message}")


def test_a_graph_says_what_is_missing_and_becomes_ready_by_itself(running: Running) -> None:
    running.client.delete("FeatureView", "terminal-activity", force=True)
    running.until(lambda: running.condition("DecisionGraph", "card-fraud")[1] == "ViewNotFound")
    running.decide()
    running.client.apply([DOCUMENTS["FeatureView/terminal-activity"]])
    running.ready()
    running.decide()


def test_a_graph_that_does_not_bind_to_its_model_says_where_and_the_old_one_decides(running: Running) -> None:
    wrong = copy.deepcopy(DOCUMENTS["DecisionGraph/card-fraud"])
    inputs = next(each for each in wrong["spec"]["nodes"] if each["name"] == "boosted")["model"]["inputs"] = dict(
        wrong["spec"]["nodes"][2]["model"]["inputs"]
    )
    inputs["amuont"] = inputs.pop("amount")
    before = running.revision()
    running.client.apply([wrong])
    running.until(lambda: running.condition("DecisionGraph", "card-fraud")[1] == "InputsDoNotBind")
    message = running.condition("DecisionGraph", "card-fraud")[2]
    assert "spec.nodes[boosted]" in message
    assert 'did you mean "amount"?' in message
    assert running.decide()["revision"] == before


def test_a_secret_that_is_gone_makes_its_target_unready_and_a_new_value_reaches_the_process(running: Running) -> None:
    pid = running.pid("accounts")
    running.client.delete("Secret", "accounts-token", force=True)
    running.until(lambda: running.condition("ActionTarget", "accounts")[1] == "SecretNotFound")
    running.until(lambda: running.condition("DecisionGraph", "card-fraud")[1] == "WaitingForSecrets")
    assert running.condition("Deployment", "accounts")[:2] == ("False", "SecretNotFound")
    running.client.apply([{**DOCUMENTS["Secret/accounts-token"], "stringData": {"token": "another-token-here"}}])
    running.ready()
    assert running.pid("accounts") != pid


def test_a_deleted_graph_ends_its_host_and_a_new_one_of_its_name_starts_another(running: Running) -> None:
    host = running.pid("graph-card-fraud")
    uid = running.client.get("DecisionGraph", "card-fraud")["metadata"]["uid"]
    running.client.delete("DecisionGraph", "card-fraud")
    running.until(lambda: running.component("graph-card-fraud") is None)
    assert not (running.home.config / "graph-card-fraud.json").exists()
    running.client.apply([DOCUMENTS["DecisionGraph/card-fraud"]])
    running.ready()
    assert running.pid("graph-card-fraud") != host
    assert running.client.get("DecisionGraph", "card-fraud")["metadata"]["uid"] != uid
    running.decide()


def test_a_runtime_that_cannot_run_here_is_not_ready_and_ends_what_ran(running: Running) -> None:
    running.client.apply([on_runtime("fraud-scorer", {"type": "Container", "container": {"image": "a/b:1"}})])
    running.until(lambda: running.condition("ModelDeployment", "fraud-scorer")[1] == "NotHonouredHere")
    assert '"Container" cannot run here: choose BentoML or' in running.condition("ModelDeployment", "fraud-scorer")[2]
    running.until(lambda: running.condition("DecisionGraph", "card-fraud")[1] == "WaitingForModels")
    running.decide()


@pytest.mark.parametrize(
    ("environment", "type_", "server"),
    [(TRITON, "Triton", "tritonserver"), (KSERVE, "KServePython", "python"), (BENTOML, "BentoML", "python")],
)
def test_a_runtime_is_installed_first_and_what_served_before_serves_until_it_answers(
    running: Running, monkeypatch: pytest.MonkeyPatch, environment: Environment, type_: str, server: str
) -> None:
    real = built(environment)
    monkeypatch.setenv("XDG_CACHE_HOME", str(running.cache))
    place = environment.folder
    place.parent.mkdir(parents=True, exist_ok=True)
    name = next(each["name"] for each in running.client.status()["components"] if "card-sequence" in each["name"])
    native = running.pid(name)
    with place.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as if another process were building it
        running.client.apply([on_runtime("card-sequence", {"type": type_})])
        waits = ("Unknown", "Progressing")
        running.until(lambda: running.condition("ModelDeployment", "card-sequence", "RuntimeInstalled")[:2] == waits)
        assert f'"{type_}" is being installed' in running.condition("ModelDeployment", "card-sequence")[2]
        assert running.pid(name) == native
        running.decide()
        place.symlink_to(real)
    running.ready()
    running.until(lambda: psutil.Process(running.pid(name)).name() == server)
    running.until(running.decide)
    assert running.condition("ModelDeployment", "card-sequence", "RuntimeInstalled") == ("-", "-", "")


def test_a_runtime_that_cannot_be_installed_says_what_stands_in_the_way(running: Running) -> None:
    if why_not_triton() is not None:
        pytest.skip("Triton is not tried here")
    kept = running.cache / "pointsman"
    shutil.rmtree(kept, ignore_errors=True)
    kept.write_text("a file where a folder is needed")
    try:
        running.client.apply([on_runtime("card-sequence", {"type": "Triton"})])
        running.until(lambda: running.condition("ModelDeployment", "card-sequence")[1] == "RuntimeNotFound")
        message = running.condition("ModelDeployment", "card-sequence")[2]
        assert '"Triton" cannot be installed here: exit code 1' in message
        assert "set XDG_CACHE_HOME" in message
    finally:
        running.client.apply([DOCUMENTS["ModelDeployment/card-sequence"]])
        running.until(lambda: running.component("environment-triton") is None)
        kept.unlink()


def test_a_moved_alias_waits_for_certificates_while_what_is_certified_goes_on_deciding_automatically(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alias of a remote model moves mid-stream, then a line of the score is edited: no item goes to a person for either, though
    the host is killed while it waits.
    """
    monkeypatch.setenv("POINTSMAN_HOME", str(running.home.root))
    running.until(lambda: (running.component("mlflow") or {}).get("state") == "Ready")
    mlflow = (running.component("mlflow") or {})["address"]
    publish(mlflow, EXAMPLE / "models" / "card-sequence")
    sequence, graph = copy.deepcopy(DOCUMENTS["ModelDeployment/card-sequence"]), copy.deepcopy(CERTIFIED)
    sequence["spec"]["model"] = {"uri": "models:/card-sequence@champion"}
    running.client.apply([sequence, graph])
    running.until(lambda: running.condition("DecisionGraph", "card-fraud", "Certified")[1] == "NoLiveCertificate")
    running.ready()
    assert running.decide()["outcome"] == "review"
    label_all(running, running.decide_many(600))
    for command in (f"keygen {tmp_path / 'key.pem'}", f"trust {tmp_path / 'key.pub.pem'}"):
        assert pointsman(f"certificates {command}")[0] == 0
    key = f"--key {tmp_path / 'key.pem'}"
    assert "approve" in pointsman(f"certify card-fraud {key}")[1]
    running.until(lambda: running.decide()["outcome"] == "approve")

    challenger = tmp_path / "challenger"
    shutil.copytree(EXAMPLE / "models" / "card-sequence", challenger)
    (challenger / "README.md").write_text("The same network, in other files.")
    edited = copy.deepcopy(graph)
    edited["spec"]["score"] = graph["spec"]["score"].replace("0.7", "0.71")
    for change, option in (
        (lambda: publish(mlflow, challenger), "--model card-sequence=models:/card-sequence/2"),
        (lambda: running.client.apply([edited]), "--revision [0-9a-f]{8}"),
    ):
        before, answers = running.revision(), list[Document]()

        def decided(answers: list[Document] = answers) -> None:
            answers.append(running.decide())

        def awaits(decided: Callable[[], None] = decided) -> str:
            decided()
            status, reason, message = running.condition("DecisionGraph", "card-fraud")
            return message if (status, reason) == ("Unknown", "AwaitingCertificate") else ""

        change()
        message = running.until(awaits)
        command = re.search(f"pointsman (certify card-fraud {option});", message)
        assert command is not None, message
        assert message.startswith(f"revision {before[7:15]} goes on deciding with its certificates")
        os.kill(running.pid("graph-card-fraud"), signal.SIGKILL)
        running.until(lambda decided=decided: decided() or True)
        running.until(awaits)
        assert "1 certificates issued" in pointsman(f"{command[1]} {key}")[1]
        running.until(lambda decided=decided, before=before: decided() or running.revision() != before)
        decided()
        running.ready()
        assert [each for each in answers if each["outcome"] != "approve"] == []
        revisions = [each["revision"] for each in answers]
        assert revisions == sorted(revisions, key=[before, running.revision()].index), (
            "it switched once, and never back"
        )
        assert set(revisions) == {before, running.revision()}


def test_it_stops_everything_and_after_a_restart_serves_by_its_pins(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    client = ControlClient(home)
    try:
        with supervised(home) as process:
            runtime = Running(home=home, client=client, process=process, cache=cache_of(home))
            runtime.until(lambda: client.apply(list(DOCUMENTS.values())))
            runtime.ready()
            before, answer = client.objects(), runtime.decide()
            client.down()
            assert process.wait(SECONDS) == 0
        assert marked(home.instance) == []
        assert not home.control_socket.exists()
        shutil.rmtree(home.config)
        home.create()
        with supervised(home) as process:
            runtime = Running(home=home, client=client, process=process, cache=cache_of(home))
            runtime.until(lambda: client.status()["ready"])
            assert runtime.decide()["revision"] == answer["revision"]
            assert [each["metadata"] for each in client.objects()] == [each["metadata"] for each in before]
        assert marked(home.instance) == []
    finally:
        end(home.instance, term_seconds=1)
        remove_data(home)
