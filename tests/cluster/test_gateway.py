"""The development gateway: real objects of a real control plane, a real HAProxy, and real servers as the endpoints."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from harness import gateway as harness
from harness import operator, yours
from harness.cluster import Cluster
from harness.gateway import Gateway, Host, host, route, rule, service
from harness.waiting import wait_for
from pointsman_operator.cluster import client
from pointsman_operator.gateway.gateway import GATEWAY

ADDRESS = harness.own_address()
CONTROLLER = "pointsman.dev/development-gateway"
DECISIONS = "/v1/graphs/fraud/decisions"

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
    pytest.mark.skipif(ADDRESS is None, reason="this machine has no address but loopback's"),
]


@pytest.fixture(scope="module")
def served(simulated: Cluster) -> Cluster:
    operator.installed(simulated)
    harness.installed(simulated)
    return simulated


@pytest.fixture(scope="module")
def gateway(served: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with harness.gateway(served, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    assert ADDRESS is not None
    with host("one", ADDRESS) as one, host("two", ADDRESS) as two:
        yield one, two


@pytest.fixture
def name(namespace: str) -> str:
    """A host of this test's own."""
    return f"{namespace}.example.com"


def conditions(cluster: Cluster, name: str, namespace: str) -> dict[str, dict[str, Any]]:
    parents = cluster.get("httproute", name, namespace).get("status", {}).get("parents", [])
    return {each["type"]: each for parent in parents for each in parent["conditions"]}


def answers(gateway: Gateway, path: str, name: str, by: str) -> None:
    wait_for(f"{path} is answered by {by}", lambda: gateway.get(path, name) == (200, by), every=0.02)


@contextmanager
def load(gateway: Gateway, path: str, name: str, clients: int = 4) -> Iterator[Counter[str]]:
    """Requests over connections that are kept, one after the other, while the block runs; what became of them, by answer.

    A connection that the gateway has closed is opened anew, as every client does.
    """
    over, told, lock = threading.Event(), Counter[str](), threading.Lock()

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        while not over.is_set():
            try:
                connection.request("POST", path, body=b"{}", headers={"host": name})
                answer = connection.getresponse()
                body = answer.read().decode()
                told_now = body if answer.status == 200 else f"{answer.status} {body}"
            except (OSError, HTTPException) as error:
                told_now = repr(error)
                connection.close()
            with lock:
                told[told_now] += 1
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for each in threads:
        each.start()
    try:
        yield told
    finally:
        over.set()
        for each in threads:
            each.join()


def more(told: Counter[str], by: str, count: int = 50) -> None:
    """Wait until so many more requests were answered."""
    wanted = told[by] + count
    wait_for(f"{count} more requests are answered by {by}", lambda: told[by] >= wanted, seconds=60)


def test_a_request_reaches_the_endpoint_and_the_statuses_say_so(
    served: Cluster, gateway: Gateway, namespace: str, name: str, hosts: tuple[Host, Host]
) -> None:
    served.apply(*service("fraud", namespace, hosts[0]), *service("pointsman-api", namespace, hosts[1]))
    served.apply(
        route("fraud", namespace, rule(DECISIONS, ("fraud", 1), exact=True), hostnames=(name,)),
        route("pointsman-api", namespace, rule("/", ("pointsman-api", 1)), hostnames=(name,)),
    )
    answers(gateway, DECISIONS, name, "one")
    answers(gateway, "/v1/decisions", name, "two")
    assert gateway.get(DECISIONS + "/more", name) == (200, "two")
    assert gateway.get("/", "elsewhere.example.com") == (404, '{"error":"no route is for this host and path"}')

    told = wait_for("the route is told", lambda: conditions(served, "fraud", namespace))
    assert {type_: each["status"] for type_, each in told.items()} == {"Accepted": "True", "ResolvedRefs": "True"}
    status = served.get("gateway", "pointsman", operator.NAMESPACE)["status"]
    assert {each["type"]: each["status"] for each in status["conditions"]} == {"Accepted": "True", "Programmed": "True"}
    assert "for development" in status["conditions"][0]["message"]
    address = served.get("service", "pointsman-gateway", operator.NAMESPACE)["spec"]["clusterIP"]
    assert status["addresses"] == [{"type": "IPAddress", "value": address}]
    assert status["listeners"][0]["attachedRoutes"] >= 2
    served.kubectl("wait", "gatewayclass/pointsman-development", "--for=condition=Accepted", "--timeout=5s")


def test_weights_share_requests_between_services(
    served: Cluster, gateway: Gateway, namespace: str, name: str, hosts: tuple[Host, Host]
) -> None:
    served.apply(*service("old", namespace, hosts[0]), *service("new", namespace, hosts[1]))
    served.apply(route("split", namespace, rule("/", ("old", 80), ("new", 20)), hostnames=(name,)))
    answers(gateway, "/", name, "one")
    counted = Counter(gateway.get("/", name)[1] for _ in range(500))
    assert counted.keys() == {"one", "two"}
    assert 50 < counted["two"] < 150


def test_a_graph_that_another_host_takes_over_loses_no_request(
    served: Cluster, gateway: Gateway, namespace: str, name: str, hosts: tuple[Host, Host]
) -> None:
    """The old host answers 503 from the moment on at which the new one was asked first."""
    old, new = hosts
    new.on_request = lambda: setattr(old, "taken_over", True)
    served.apply(*service("fraud", namespace, old))
    served.apply(route("fraud", namespace, rule(DECISIONS, ("fraud", 1), exact=True), hostnames=(name,)))
    answers(gateway, DECISIONS, name, "one")
    with load(gateway, DECISIONS, name) as told:
        more(told, "one")
        served.apply(*service("fraud", namespace, new))
        more(told, "two")
    assert told.keys() == {"one", "two"}


def test_routes_that_change_lose_no_request(
    served: Cluster, gateway: Gateway, namespace: str, name: str, hosts: tuple[Host, Host]
) -> None:
    served.apply(*service("old", namespace, hosts[0]), *service("new", namespace, hosts[1]))
    served.apply(route("moving", namespace, rule("/", ("old", 1)), hostnames=(name,)))
    answers(gateway, "/", name, "one")
    with load(gateway, "/", name) as told:
        for to, by in (("new", "two"), ("old", "one"), ("new", "two")):
            more(told, "two" if by == "one" else "one")
            served.apply(route("moving", namespace, rule("/", (to, 1)), hostnames=(name, f"{to}.{name}")))
            more(told, by)
    assert told.keys() == {"one", "two"}


def test_haproxy_comes_back_when_its_processes_are_killed(
    served: Cluster, gateway: Gateway, namespace: str, name: str, hosts: tuple[Host, Host]
) -> None:
    served.apply(*service("fraud", namespace, hosts[0]))
    served.apply(route("fraud", namespace, rule("/", ("fraud", 1)), hostnames=(name,)))
    answers(gateway, "/", name, "one")
    for which in ("master", "worker"):
        master, worker = gateway.haproxy()
        os.kill(master if which == "master" else worker, signal.SIGKILL)
        wait_for(f"the {which} is gone", lambda gone={master, worker}: not gone & set(gateway.haproxy()))
        answers(gateway, "/", name, "one")


def test_the_controllers_end_is_not_noticed_and_the_next_one_goes_on_with_its_haproxy(
    served: Cluster, namespace: str, name: str, hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    served.apply(*service("fraud", namespace, hosts[0]))
    served.apply(route("fraud", namespace, rule(DECISIONS, ("fraud", 1), exact=True), hostnames=(name,)))
    with harness.gateway(served, tmp_path) as first:
        answers(first, DECISIONS, name, "one")
        master, _ = first.haproxy()
        with load(first, DECISIONS, name) as told:
            first.process.kill()
            first.process.wait()
            more(told, "one")
            served.apply(*service("fraud", namespace, hosts[1]))
            with harness.gateway(served, tmp_path, first) as second:
                more(told, "two")
                assert second.haproxy()[0] == master
                over = dict(told)
        assert over.keys() == {"one", "two"}
    assert harness.asked(first.port, DECISIONS, name)[0] == 0, "ended with the second one"


def test_in_a_pod_the_cluster_is_found_by_what_every_pod_is_told(
    served: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = urlsplit(yaml.safe_load(served.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    root = served.kubectl("get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data['ca\\.crt']}")
    (tmp_path / "ca.crt").write_text(root)
    token = served.kubectl("create", "token", harness.ACCOUNT, "-n", operator.NAMESPACE).strip()
    (tmp_path / "token").write_text(token)
    monkeypatch.setattr(client, "ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))

    async def look() -> tuple[int, str]:
        async with client.Cluster.configured() as cluster:
            found, _ = await cluster.list(GATEWAY, {})
            with pytest.raises(client.Refused) as refused:
                await cluster.get("/api/v1/secrets")
            return len(found), str(refused.value)

    gateways, refusal = asyncio.run(look())
    assert gateways >= 1
    assert f"system:serviceaccount:{operator.NAMESPACE}:{harness.ACCOUNT}" in refusal


def test_what_is_not_honoured_is_named_and_nothing_else_suffers(
    served: Cluster, gateway: Gateway, namespace: str, name: str, hosts: tuple[Host, Host]
) -> None:
    filters = [{"type": "URLRewrite", "urlRewrite": {"hostname": "elsewhere.example.com"}}]
    served.apply(*service("fraud", namespace, hosts[0]))
    served.apply(
        route("rewritten", namespace, {**rule("/rewritten", ("fraud", 1)), "filters": filters}, hostnames=(name,)),
        route(
            "in-part",
            namespace,
            rule("/plain", ("fraud", 1)),
            {**rule("/timed", ("fraud", 1)), "timeouts": {"request": "10s"}},
            hostnames=(name,),
        ),
        route("to-nobody", namespace, rule("/nobody", ("nobody", 1)), hostnames=(name,)),
    )
    answers(gateway, "/plain", name, "one")
    wait_for("a Service that is not there is said", lambda: gateway.get("/nobody", name)[0] == 500)
    assert gateway.get("/rewritten", name)[0] == 404
    assert gateway.get("/timed", name)[0] == 404

    def told(of: str, type_: str) -> tuple[str, str, str]:
        found = wait_for(f"{of} is told", lambda: conditions(served, of, namespace))[type_]
        return found["status"], found["reason"], found["message"]

    assert told("rewritten", "Accepted") == (
        "False",
        "UnsupportedValue",
        'the development gateway does not honour spec.rules[0].filters: "URLRewrite"',
    )
    assert told("in-part", "Accepted")[0] == "True"
    assert told("in-part", "PartiallyInvalid") == (
        "True",
        "UnsupportedValue",
        "Dropped Rule: the development gateway does not honour spec.rules[1].timeouts",
    )
    assert told("to-nobody", "ResolvedRefs") == (
        "False",
        "BackendNotFound",
        f'there is no Service "nobody" in "{namespace}"',
    )
    served.apply(*service("nobody", namespace, hosts[1]))
    answers(gateway, "/nobody", name, "two")
    wait_for("it is told", lambda: told("to-nobody", "ResolvedRefs")[0] == "True")


def test_a_restart_writes_nothing(
    served: Cluster, gateway: Gateway, namespace: str, name: str, hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    served.apply(*service("fraud", namespace, hosts[0]))
    served.apply(route("fraud", namespace, rule("/", ("fraud", 1)), hostnames=(name,)))
    wait_for("the route is told", lambda: conditions(served, "fraud", namespace))

    def versions() -> list[str]:
        objects = [served.get("gateway", "pointsman", operator.NAMESPACE), served.get("httproute", "fraud", namespace)]
        return [each["metadata"]["resourceVersion"] for each in objects]

    before = versions()
    with harness.gateway(served, tmp_path) as another:
        answers(another, "/", name, "one")
        served.apply(route("second", namespace, rule("/second", ("fraud", 1)), hostnames=(f"second.{name}",)))
        wait_for("it is told", lambda: conditions(served, "second", namespace))
        assert versions()[1] == before[1]
