"""A namespace with the fraud example as the operator sees it, without a cluster: what is decided is carried out on objects here.

town = Town()
town.settle()  # until nothing is written any more
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from harness import graphs
from pointsman.graphs.definitions import Definitions
from pointsman.planning import written
from pointsman_operator import names
from pointsman_operator.graphs import documents
from pointsman_operator.graphs.decide import decide
from pointsman_operator.graphs.observe import activities, sources
from pointsman_operator.graphs.seen import DOCUMENTS, MADE, Answer, SeenNamespace
from pointsman_operator.graphs.situation import Decision, Situation
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.seen import POD, Installed, Raw

NAMESPACE, GRAPH = "risk", "card-fraud"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGESTS = {"fraud-scorer": "sha256:" + "1" * 64, "card-sequence": "sha256:" + "2" * 64}


class Town:
    """One namespace, and the API server that keeps it. `objects` is by kind and name."""

    def __init__(self) -> None:
        self.objects = dict[tuple[str, str], dict[str, Any]]()
        self.pods = list[dict[str, Any]]()
        self.hosts = dict[str, Answer]()
        self.dispatcher: Answer | None = None
        self.installed = Installed(kuberay=True, gateway=True)
        self.now = NOW
        self.definitions = Definitions(sources_elsewhere={})
        for each in graphs.documents(NAMESPACE, "EventStream", "FeatureView", "ActionTarget", "DecisionGraph"):
            self.put(each)
        for name, digest in DIGESTS.items():
            self.put(deployment(name, digest))

    def put(self, document: Mapping[str, Any]) -> None:
        key = (str(document["kind"]), str(document["metadata"]["name"]))
        known = self.objects.get(key, {})
        raw = {**known, **deepcopy(dict(document))}
        generation = known.get("metadata", {}).get("generation", 0) + (raw.get("spec") != known.get("spec"))
        raw["metadata"] = {
            **raw["metadata"], "namespace": NAMESPACE, "generation": generation, "resourceVersion": "1",
            "uid": known.get("metadata", {}).get("uid", f"u-{key[0]}-{key[1]}"),
        }  # fmt: skip
        self.objects[key] = raw

    def drop(self, kind: str, name: str) -> None:
        del self.objects[kind, name]

    def change(self, **of_spec: Any) -> None:
        graph = self.objects["DecisionGraph", GRAPH]
        self.put({**graph, "spec": {**graph["spec"], **of_spec}})

    def seen(self) -> SeenNamespace:
        def of(kind: str) -> list[Raw]:
            return [raw for (each, _), raw in sorted(self.objects.items()) if each == kind]

        return SeenNamespace(
            name=NAMESPACE,
            objects={kind.name: of(kind.name) for kind in (*DOCUMENTS, *MADE)} | {POD.name: self.pods},
            deployments=of("ModelDeployment"),
            hosts=self.hosts,
            dispatcher=self.dispatcher,
            installed=self.installed,
            now=self.now,
        )

    def decide(self) -> Decision:
        seen = self.seen()
        read = documents.read(seen)
        return decide(
            Situation(
                documents=read,
                seen=seen,
                platform=Platform(installed=self.installed),
                drain=timedelta(seconds=30),
                checked=lambda resolved: (),
                definitions=self.definitions.decide(read, sources(seen), activities(seen), read.status),
            )
        )

    def step(self) -> int:
        """Carry out what is decided now; how much was written."""
        decided, count = self.decide(), 0
        for writes in (decided.shared, *(each.writes for each in decided.graphs.values())):
            for child in writes.apply:
                self.put(child.document)
            for kind, raw in writes.delete:
                self.drop(kind.name, raw["metadata"]["name"])
            count += len(writes.apply) + len(writes.delete)
        for key, told in decided.told.items():
            raw = self.objects[key]
            before = raw.get("status") or {}
            status = written(told, before, generation=raw["metadata"]["generation"], now=self.now)
            if status != before:
                self.objects[key] = {**raw, "status": status}
                count += 1
        return count

    def settle(self) -> None:
        for _ in range(10):
            if self.step() == 0:
                return
        raise AssertionError("it is written again and again")

    def prepared(self) -> None:
        """The store's Job has ended well."""
        for (kind, name), raw in list(self.objects.items()):
            if kind == "Job":
                self.objects[kind, name] = {**raw, "status": {"succeeded": 1}}

    def revision(self, host: str) -> str:
        """What a host is to decide with."""
        config = json.loads(self.objects["RayService", host]["spec"]["serveConfigV2"])
        return str(config["applications"][0]["deployments"][0]["user_config"]["resolved"]["revision"])

    def decides(self, host: str, revision: str | None = None, **more: Any) -> None:
        body = {"ready": True, "revision": revision or self.revision(host), "reason": "HostServing", "message": ""}
        self.hosts[host] = Answer(status=200, body={**body, **more})

    def made(self, kind: str) -> list[str]:
        return [name for each, name in sorted(self.objects) if each == kind]

    def condition(self, type_: str = "Ready", kind: str = "DecisionGraph", name: str = GRAPH) -> tuple[str, str, str]:
        conditions = self.objects[kind, name]["status"]["conditions"]
        found = next(each for each in conditions if each["type"] == type_)
        return found["status"], found["reason"], found["message"]


def deployment(name: str, digest: str) -> dict[str, Any]:
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        "observedGeneration": 1, "uri": f"models:/{name}@champion", "version": "1", "digest": digest, "shape": "abc",
        "source": f"mlflow-artifacts:/1/{name}", "revision": "12345678", "replicas": 1, "conditions": [ready],
    }  # fmt: skip
    spec = {"model": {"uri": f"models:/{name}@champion"}}
    return {"kind": "ModelDeployment", "metadata": {"name": name}, "spec": spec, "status": status}


def waiting_pod(part: str, waiting: Mapping[str, str]) -> dict[str, Any]:
    """A pod of a part whose container is not made, and why."""
    state = {"name": part, "ready": False, "image": "graph", "state": {"waiting": dict(waiting)}}
    return {
        "metadata": {"name": f"{part}-0", "uid": f"u-{part}", "labels": {names.PART: part}},
        "status": {"phase": "Pending", "containerStatuses": [state]},
    }
