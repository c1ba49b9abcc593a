"""A thousand ModelDeployments on a real API server, beside a raw client and a stock kopf operator: `make bench`.

The raw client writes what the operator wrote, with as many requests under way, and decides nothing. Every arm has a control plane
of its own with KServe's definitions and without its controller, which would take a quarter of a second for each model. The time
is the API server's own, from its audit log. Writes benchmarks/results/operator.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine import machine, write

from harness import operator as harness
from harness.api import Api
from harness.audit import Audit, Write
from harness.cluster import Cluster, KubectlFailed
from harness.operator import as_the_operator, installed, model_deployment
from harness.parts import KUBERNETES
from harness.simulated import unattended
from harness.waiting import wait_for
from pointsman_operator.cluster.client import Cluster as Client
from pointsman_operator.operator import WORKERS
from pointsman_operator.seen import DISRUPTION_BUDGET, INFERENCE_SERVICE, MADE, MODEL_DEPLOYMENT, NETWORK_POLICY, Kind
from pointsman_serving.environments import Environment

KOPF = Environment(name="kopf", lock=Path(__file__).parent / "peers" / "kopf.txt", module="benchmarks")
NAMESPACE = "default"
ARMS = ("operator", "raw", "kopf", "raw-again")
KINDS: Mapping[str, Kind] = {kind.plural: kind for kind in MADE}
TICKS = os.sysconf("SC_CLK_TCK")

Figures = dict[str, float]


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    KOPF.build(say)
    rounds, recorded = list[dict[str, Figures]](), list[Write]()
    with tempfile.TemporaryDirectory(prefix="pmb") as folder:
        for number in range(options.rounds):
            found = dict[str, Figures]()
            order = ARMS if not number else (*ARMS[number % 4 :], *ARMS[: number % 4])
            for arm in order:
                found[arm] = measured(arm, options.models, recorded, Path(folder))
                say(f"round {number + 1}, {arm}: {found[arm]}")
            rounds.append(found)
    result = summary(rounds, options.models, recorded)
    write("operator", result)
    say(json.dumps(result["times_raw"]))


def measured(arm: str, models: int, recorded: list[Write], folder: Path) -> Figures:
    """One arm on a control plane of its own. The first run of the operator is recorded for the others."""
    with unattended(say) as cluster:
        installed(cluster)
        wait_for("ModelDeployments are there to be listed", lambda: is_served(cluster))
        audit = Audit(cluster)
        if arm == "operator":
            empty = asyncio.run(operated(cluster, folder, 0))
            asyncio.run(made(cluster, models))
            figures = asyncio.run(operated(cluster, folder, models))
            writes = of_models(audit.since(0))
            recorded[:] = recorded or writes
            more = differing(figures, empty)
            return {**more, "seconds": spanned(children(writes)), "cpu_of_all": more["cpu"] + more["cpu_of_servers"]}
        if arm == "kopf":
            (folder / "children.json").write_text(json.dumps(asked_for(recorded, "model-0000")))
            empty = asyncio.run(kopf_ran(cluster, folder, 0))
            asyncio.run(made(cluster, models))
            return differing(asyncio.run(kopf_ran(cluster, folder, models)), empty)
        asyncio.run(made(cluster, models))
        before = time.process_time() + of_servers(cluster)
        asyncio.run(replayed(cluster, folder, recorded))
        cpu = time.process_time() + of_servers(cluster) - before
        writes = of_models(audit.since(0))
        assert Counter(map(content, writes)) == Counter(map(content, recorded)), "the same is written"
        return {"seconds": spanned(children(writes)), "with_status_seconds": spanned(writes), "cpu_of_all": cpu}


async def made(cluster: Cluster, models: int) -> None:
    """All ModelDeployments, of one model."""
    model = {"uri": "s3://models/fraud", "digest": f"sha256:{1:064x}", "format": "ONNX"}
    left = [model_deployment(f"model-{number:04}", NAMESPACE, model=model) for number in range(models)]

    async def make(api: Api) -> None:
        while left:
            await api.create(MODEL_DEPLOYMENT, left.pop())

    async with Api(cluster.kubeconfig) as api:
        await asyncio.gather(*(make(api) for _ in range(16)))


async def operated(cluster: Cluster, folder: Path, models: int) -> Figures:
    """What our operator takes until everything is written, its start included."""
    before = of_servers(cluster)
    with harness.operator(cluster, folder, registry="http://127.0.0.1:9", probes="http://127.0.0.1:9") as running:
        await until(lambda: running.written().get("ModelDeployment status", 0) >= models)
        await until(lambda: running.reconciled() >= models)
        return {**used(running.process.pid), "cpu_of_servers": of_servers(cluster) - before}


async def kopf_ran(cluster: Cluster, folder: Path, models: int) -> Figures:
    """What kopf takes until everything is written and it has noted so, its start included."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        alive = f"http://127.0.0.1:{probe.getsockname()[1]}/healthz"
    command = [str(KOPF.python), "-m", "kopf", "run", "--standalone", "-A", "--quiet", f"--liveness={alive}"]
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "CHILDREN": str(folder / "children.json"),
    }
    handlers = Path(__file__).parent / "peers" / "kopf_operator.py"
    with (folder / "kopf.log").open("ab") as log:
        process = subprocess.Popen([*command, str(handlers)], env=environment, stdout=log, stderr=log)
    began = time.monotonic()
    try:
        await until(lambda: answers(alive))
        async with Api(cluster.kubeconfig) as api:
            while sum(map(noted, await api.list(MODEL_DEPLOYMENT))) < models:
                assert process.poll() is None, (folder / "kopf.log").read_text()[-2000:]
                await asyncio.sleep(1)
            for kind in (INFERENCE_SERVICE, DISRUPTION_BUDGET, NETWORK_POLICY):
                assert await api.count(kind, NAMESPACE) == models, f"{kind.name}: {folder / 'kopf.log'}"
        return {**used(process.pid), "seconds": time.monotonic() - began}
    finally:
        process.kill()
        process.wait()


async def replayed(cluster: Cluster, folder: Path, recorded: Sequence[Write]) -> None:
    """Write the same children, then the same statuses; models in their order, those of one model one after the other."""
    async with Api(cluster.kubeconfig) as api:
        uids = {raw["metadata"]["name"]: raw["metadata"]["uid"] for raw in await api.list(MODEL_DEPLOYMENT)}
    async with Client.configured(str(as_the_operator(cluster, folder))) as client:

        async def work(left: Iterator[list[Write]]) -> None:
            for of_one in left:
                for each in of_one:
                    if each.resource == "modeldeployments/status":
                        await client.merge(MODEL_DEPLOYMENT, each.namespace, each.name, each.body, part="/status")
                        continue
                    owner = each.body["metadata"]["ownerReferences"][0]
                    owner["uid"] = uids[owner["name"]]
                    await client.apply(KINDS[each.resource], each.body, force=False)

        statuses = [each for each in recorded if each.resource == "modeldeployments/status"]
        for part in (children(recorded), statuses):
            left = iter(by_model(part))
            await asyncio.gather(*(work(left) for _ in range(WORKERS)))


def by_model(writes: Sequence[Write]) -> list[list[Write]]:
    found = dict[str, list[Write]]()
    for each in writes:
        name = each.name if each.resource == "modeldeployments/status" else model_of(each)
        found.setdefault(name, []).append(each)
    return list(found.values())


def model_of(child: Write) -> str:
    return str(child.body["metadata"]["ownerReferences"][0]["name"])


def asked_for(writes: Sequence[Write], model: str) -> list[Any]:
    """The children of one model."""
    return [each.body for each in children(writes) if model_of(each) == model]


def children(writes: Sequence[Write]) -> list[Write]:
    return [each for each in writes if each.resource in KINDS]


def of_models(writes: Sequence[Write]) -> list[Write]:
    """Without what the operator writes once for itself: its webhook's certificate."""
    return [each for each in writes if each.resource in KINDS or each.resource == "modeldeployments/status"]


def content(each: Write) -> tuple[str, str]:
    """What was written to; that statuses hold the moment, and owners an id, sets their bodies apart."""
    return each.resource, each.name


def spanned(writes: Sequence[Write]) -> float:
    return (max(each.ended for each in writes) - min(each.began for each in writes)).total_seconds()


def used(pid: int) -> Figures:
    """CPU seconds so far, and megabytes now."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"cpu": cpu_of(Path(f"/proc/{pid}")), "megabytes": resident / 1e6}


def cpu_of(process: Path) -> float:
    """CPU seconds so far; none where it has ended."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def of_servers(cluster: Cluster) -> float:
    """CPU seconds of the API server and etcd so far."""
    assert cluster.log_folder is not None
    mark = str(cluster.log_folder.parent).encode()
    servers = [
        each.parent
        for each in Path("/proc").glob("[0-9]*/cmdline")
        if mark in (told := read(each)) and (b"kube-apiserver" in told or b"--data-dir" in told)
    ]
    return sum(map(cpu_of, servers))


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def differing(figures: Figures, empty: Figures) -> Figures:
    """What the models took, beyond the start with none."""
    more = {name: round(value - empty[name], 3) for name, value in figures.items() if name != "seconds"}
    return {**figures, **more, "megabytes_with_none": round(empty["megabytes"], 1)}


def is_served(cluster: Cluster) -> bool:
    try:
        cluster.list("modeldeployments")
    except KubectlFailed:
        return False
    return True


def noted(raw: Mapping[str, Any]) -> bool:
    return "kopf.zalando.org/last-handled-configuration" in raw["metadata"].get("annotations", {})


def answers(url: str) -> bool:
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


async def until(fact: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_for, "the arm is done", fact, seconds=900, every=0.5)


def summary(rounds: Sequence[Mapping[str, Figures]], models: int, recorded: Sequence[Write]) -> dict[str, Any]:
    """Medians over the rounds, with least and most."""

    def over(arm: str, name: str, factor: float = 1.0) -> dict[str, float]:
        return spread([each[arm][name] * factor for each in rounds])

    def ratio(arm: str, name: str = "seconds") -> dict[str, float]:
        return spread([each[arm][name] / each["operator"]["seconds"] for each in rounds])

    each_one = {
        arm: {
            "seconds": over(arm, "seconds"),
            "cpu_ms": over(arm, "cpu", 1e3 / models),
            "kilobytes": over(arm, "megabytes", 1e3 / models),
            "megabytes_with_none": over(arm, "megabytes_with_none"),
        }
        for arm in ("operator", "kopf")
    }
    return {
        **machine(),
        "versions": {"kubernetes": KUBERNETES, "kopf": kopf_version(), "aiohttp": version("aiohttp")},
        "models": models,
        "rounds": len(rounds),
        "workers": WORKERS,
        "writes": dict(Counter(each.resource for each in recorded)),
        "arms": {**each_one, "raw": {"seconds": over("raw", "seconds")}},
        "times_raw": ratio("raw"),
        "times_raw_with_status": ratio("raw", "with_status_seconds"),
        "times_raw_cpu": spread([each["raw"]["cpu_of_all"] / each["operator"]["cpu_of_all"] for each in rounds]),
        "raw_again": spread([each["raw-again"]["seconds"] / each["raw"]["seconds"] for each in rounds]),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        name: round(which(values), 3) for name, which in (("median", statistics.median), ("min", min), ("max", max))
    }


def kopf_version() -> str:
    line = next(line for line in KOPF.lock.read_text().splitlines() if line.startswith("kopf=="))
    return line.removeprefix("kopf==").split()[0]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
