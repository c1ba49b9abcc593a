"""The fraud example on a real node, applied with kubectl as it lies in the repository: from an event at the gateway to an account
that is frozen, and nothing lost or doubled whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import asked, pod_monitors, triton, yours
from harness import operator as harness
from harness.cluster import Cluster
from harness.example import EXAMPLE, GRAPH, Fraud, folder_of, transactions, with_store
from harness.kafka import Broker, broker
from harness.killing import kill
from harness.operator import MANIFESTS, NAMESPACE
from harness.prometheus import prometheus
from harness.waiting import wait_for
from pointsman.demo.publish import Description, Publisher
from pointsman.demo.streaming import Sent
from pointsman_images.build import build
from pointsman_images.cache import Missing

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]
GATEWAY = "pointsman-gateway"


@pytest.fixture(scope="module")
def fraud(
    real_node: Cluster,
    say: Callable[[str], None],
    mlflow_at: Callable[[str], AbstractContextManager[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fraud]:
    """Everything installed as a user does, the example applied, Ready, and certified."""
    assert real_node.host is not None
    folder = folder_of(real_node)
    for image in ("operator", "serving", "graph", "postgres"):
        built = build(image, folder, say=say).path
        real_node.load_image(built)
        built.unlink()
    tar = triton.build(folder, say, triton.NVIDIA)
    real_node.load_image(tar)
    tar.unlink()
    with mlflow_at(real_node.host) as server:
        subprocess.run([sys.executable, "-m", "pointsman.demo.register", "--tracking-uri", server.url], check=True)
        harness.installed(real_node)
        pod_monitors.define(real_node)
        for part in ("gateway", "monitoring"):
            real_node.kubectl("apply", "--server-side", "-k", str(MANIFESTS / part))
        settings = {
            "POINTSMAN_REGISTRY_URL": server.url,
            "POINTSMAN_REGISTRY_POLL_SECONDS": "1",
            "POINTSMAN_GRAPH_GATEWAY": f"{NAMESPACE}/pointsman",
        }
        harness.run_in_the_cluster(real_node, settings)
        real_node.kubectl("rollout", "status", f"deployment/{GATEWAY}", "-n", NAMESPACE, "--timeout=120s")
        name = "fraud"
        with_store(real_node, name)
        address = real_node.get("service", GATEWAY, NAMESPACE)["spec"]["clusterIP"]
        example = Fraud(cluster=real_node, namespace=name, gateway=f"http://{address}", registry=server.url)
        began = time.monotonic()
        example.apply()
        example.ready()
        say(f"the example is Ready {time.monotonic() - began:.0f} s after kubectl apply")
        began = time.monotonic()
        example.certify(tmp_path_factory.mktemp("history"))
        say(f"its bands are certified on history in {time.monotonic() - began:.0f} s")
        yield example
        real_node.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def take() -> Callable[[int], list[bytes]]:
    """The next events of a stream, in order of arrival."""
    lines = iter(transactions())

    def take(count: int) -> list[bytes]:
        taken = list(islice(lines, count))
        assert len(taken) == count, "the stream has ended: let it be longer"
        return taken

    return take


def test_events_are_decided_and_an_account_is_frozen_once(fraud: Fraud, take: Callable[[int], list[bytes]]) -> None:
    sent = fraud.send(take(3000))

    counted = fraud.counted()
    assert counted.broken() == ()
    assert counted.received == sent.received == 3000
    assert counted.observed > 0
    assert counted.most_applications_of_one_key == 1
    assert fraud.status()["revision"]


def test_the_bands_are_certified_and_the_status_says_until_when(fraud: Fraud) -> None:
    listed = json.loads(fraud.command("certificates", "list", GRAPH, "-o", "json").stdout)
    assert "approve" in [each["band"] for each in listed if each["state"] == "live"]
    if fraud.cluster.get("decisiongraph", GRAPH, fraud.namespace)["spec"]["certificates"] == "Required":
        bands = {each["band"]: each for each in fraud.status()["bands"]}
        assert {name: each["reason"] for name, each in bands.items()} == {
            "approve": "CertificatesLive",
            "freeze": "CertificatesLive",
        }
        assert all(each["expires"] > "2026" and each["bound"].endswith("%") for each in bands.values())


def test_a_person_claims_a_case_and_decides_it(fraud: Fraud) -> None:
    case = fraud.asked("POST", "/v1/reviews/claim", graph=GRAPH)
    before = fraud.counted()

    fraud.asked(
        "POST",
        f"/v1/reviews/{case['items'][0]['review_id']}/verdict",
        verdict="fraud",
        reason="seen by a test",
        scope="Item",
    )

    after = fraud.counted()
    assert (after.freezes, after.observed) == (before.freezes + 1, before.observed + 1)
    assert after.broken() == ()


@pytest.mark.parametrize(
    ("selector", "container", "namespace"),
    [
        pytest.param(f"pointsman.dev/graph={GRAPH},ray.io/node-type=head", "ray-head", None, id="head"),
        pytest.param(f"pointsman.dev/graph={GRAPH},ray.io/node-type=worker", "ray-worker", None, id="worker"),
        pytest.param("pointsman.dev/part=dispatcher", "dispatcher", None, id="dispatcher"),
        pytest.param("pointsman.dev/part=api", "api", None, id="api"),
        pytest.param("app.kubernetes.io/name=pointsman-postgres", "postgres", None, id="postgresql"),
        pytest.param("app.kubernetes.io/name=pointsman-operator", "operator", NAMESPACE, id="operator"),
    ],
)
def test_nothing_is_lost_or_doubled_where_one_part_is_killed(
    fraud: Fraud, take: Callable[[int], list[bytes]], selector: str, container: str, namespace: str | None
) -> None:
    before = fraud.counted()
    lines = take(2000)
    killing = threading.Timer(0.3, lambda: kill(fraud.cluster, namespace or fraud.namespace, selector, container))
    killing.start()

    sent = fraud.send(lines, batch=100)

    killing.join()
    fraud.ready()
    after = fraud.counted()
    assert after.broken() == ()
    assert after.received - before.received >= sent.received == len(lines)


def revisions(fraud: Fraud) -> list[tuple[str, int, int]]:
    """What has decided, in this order: the revision, and its first and last sequence number."""
    with fraud.store() as connection:
        rows = connection.execute("SELECT revision, min(seq), max(seq) FROM decisions GROUP BY 1 ORDER BY 2").fetchall()
    return [(str(revision), int(first), int(last)) for revision, first, last in rows]


def changed_under_the_stream(fraud: Fraud, lines: list[bytes], change: Callable[[], None]) -> None:
    """Make a change while events come, and see that the next revision decides, and that nothing is lost or doubled."""
    before, counted = fraud.status()["revision"], fraud.counted()
    sending = threading.Thread(target=lambda: sent.append(fraud.send(lines, batch=50, rate=100)))
    sent = list[Sent]()
    sending.start()
    change()
    wait_for(
        "another revision decides", lambda: fraud.status().get("revision") not in (None, before), seconds=240, every=0.5
    )
    sending.join()
    fraud.ready()
    fraud.send(lines[-50:])  # known already, whoever is asked
    after = fraud.counted()
    assert after.broken() == ()
    assert after.received - counted.received >= sent[0].received == len(lines)


def test_an_alias_that_moves_under_the_stream_changes_no_decision_half_way(
    fraud: Fraud, take: Callable[[int], list[bytes]]
) -> None:
    serving = fraud.status()["revision"]
    review = {"spec": {"onMissingCertificates": "Review"}}  # else the graph would wait until the new model is certified
    fraud.kubectl("patch", "decisiongraph", GRAPH, "--type=merge", "-p", json.dumps(review))
    wait_for(
        "that is taken over", lambda: fraud.status().get("revision") not in (None, serving), seconds=120, every=0.5
    )
    fraud.ready()
    fraud.send(take(50))
    before = revisions(fraud)

    def move() -> None:
        with Publisher(fraud.registry, "card-fraud") as publisher:
            folder = EXAMPLE / "models" / "fraud-baseline"
            publisher.publish("fraud-scorer", folder, Description(params={}, metrics={}), alias="champion")

    changed_under_the_stream(fraud, take(2000), move)

    *known, new = revisions(fraud)
    assert [each[0] for each in known] == [each[0] for each in before]
    assert known[-1][2] < new[1], "the old revision has decided after the new one"
    assert new[0] == fraud.status()["revision"]


def test_a_graph_that_needs_other_pods_gets_them_beside_the_old_ones(
    fraud: Fraud, take: Callable[[int], list[bytes]]
) -> None:
    old = fraud.status()["shape"]
    patch = {"spec": {"runtime": {"resources": {"requests": {"memory": "1200Mi"}}}, "deadline": "300ms"}}

    changed_under_the_stream(
        fraud,
        take(4000),
        lambda: fraud.kubectl("patch", "decisiongraph", GRAPH, "--type=merge", "-p", json.dumps(patch)) and None,
    )

    assert fraud.status()["shape"] != old
    gone = lambda: [each["metadata"]["name"] for each in fraud.cluster.list("rayservice", fraud.namespace)]  # noqa: E731
    wait_for("the old pods have drained", lambda: len(gone()) == 1, seconds=120, every=0.5)


TOPIC = "transactions"


@pytest.fixture(scope="module")
def kafka(fraud: Fraud, say: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker beside the node, and the example's stream read from its topic, as the README says."""
    stream = yaml.safe_load((MANIFESTS / "examples" / "kafka" / "transactions.yaml").read_text())
    try:
        with broker(tmp_path_factory.mktemp("kafka"), say, str(fraud.cluster.host)) as running:
            running.create(TOPIC, partitions=3)
            stream["spec"]["source"]["kafka"] |= {"bootstrapServers": [running.address], "topic": TOPIC}
            fraud.kubectl("apply", "-f", "-", stdin=json.dumps(stream))
            yield running
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no broker: {missing}", pytrace=False)
        pytest.skip(f"NOT TESTED: {missing}")


def source(fraud: Fraud) -> tuple[str, str]:
    """Whether the stream's source is reached, and the reason."""
    conditions = {each["type"]: each for each in fraud.status("eventstream", "transactions").get("conditions", ())}
    found = conditions.get("SourceReachable", {})
    return str(found.get("status")), str(found.get("reason"))


def test_a_topic_is_decided_once_though_its_broker_is_killed(
    fraud: Fraud, kafka: Broker, take: Callable[[int], list[bytes]]
) -> None:
    before = fraud.counted()

    def produce(count: int) -> None:
        kafka.produce(TOPIC, [(str(json.loads(line).get("card_id")), line) for line in take(count)])

    def read() -> int:
        with fraud.store() as connection:
            row = connection.execute("SELECT sum(next_offset) FROM source_offsets").fetchone()
        return 0 if row is None or row[0] is None else int(row[0])

    wait_for("the topic is reached", lambda: source(fraud)[0] == "True", seconds=120, every=0.5)
    produce(4000)
    wait_for("some of it is decided", lambda: read() > 0, seconds=60)
    kafka.kill()
    wait_for("the status says so", lambda: source(fraud) == ("False", "SourceUnreachable"), seconds=60, every=0.5)
    kafka.start()
    produce(1000)

    wait_for("everything is decided", lambda: read() == 5000, seconds=120)
    after = fraud.counted()
    assert after.broken() == ()
    assert after.received - before.received == 5000
    fraud.ready("eventstream", "transactions")
    fraud.ready()


def test_prometheus_counts_what_was_sent_and_answers_every_query_of_the_dashboards_and_alerts(
    fraud: Fraud, kafka: Broker, take: Callable[[int], list[bytes]], tmp_path: Path
) -> None:
    configs = pod_monitors.scrape_configs(fraud.cluster)
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration = {"global": often, "rule_files": [str(asked.RULES)], "scrape_configs": configs}
    headers = fraud.headers
    with prometheus(configuration, tmp_path) as server:
        everybody = {each["job_name"]: {"up"} for each in configs}
        wait_for("everybody is read", lambda: server.targets() == everybody, seconds=60, every=0.5)

        def counted() -> dict[str, float]:
            asked_for = {
                "events": "sum(pointsman_graph_events_total)",
                "decisions": "sum(pointsman_graph_decisions_total)",
                "others": "sum(pointsman_graph_dead_letters_total) + sum(pointsman_graph_duplicates_total)",
                "in the store": "max(pointsman_events_received_total)",
            }
            return {name: sum(server.ask(query)) for name, query in asked_for.items()}

        before = counted()
        sent = fraud.send(take(10_000), batch=1000)
        assert sent.retries == 0

        def more() -> dict[str, float]:
            return {name: value - before[name] for name, value in counted().items()}

        others = sent.dead_letters + sent.duplicates
        expected = {"events": 10_000, "decisions": sent.decided, "others": others, "in the store": 10_000}
        wait_for("Prometheus has counted what was sent", lambda: more() == expected, seconds=60, every=0.5)
        assert server.ask("pointsman_ledger_missing_leaves") == [0.0, 0.0]
        asked.answered(server, asked.in_good_times(), lambda: asked.work(fraud.gateway, headers))
