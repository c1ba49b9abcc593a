"""A ModelDeployment as the API server has it, with a cluster in which it serves: one good default, and what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments import plan
from pointsman.deployments.plan import Pinned, Plan
from pointsman.planning import written
from pointsman_operator import names
from pointsman_operator.desired import Desired, desired
from pointsman_operator.observe import observe
from pointsman_operator.reading import read
from pointsman_operator.resources.inference_service import shape
from pointsman_operator.seen import DEPLOYMENT, INFERENCE_SERVICE, POD, Child, Installed, Probe, Reference, Seen

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
URI = "models:/fraud@champion"
SOURCE = "mlflow-artifacts:/1/models/m-1/artifacts"
DIGEST = "sha256:" + "1" * 64
KNOWN = Reference(uri=URI, version="1", digest=DIGEST, source=SOURCE)
RUNTIMES = frozenset({"/pointsman-native", "/pointsman-triton", "/pointsman-kserve-python", "/pointsman-bento"})
DRAIN = timedelta(seconds=30)


class World:
    """A cluster with one ModelDeployment, brought step by step to what the operator wants of it."""

    def __init__(self, **spec: Any) -> None:
        self.now = NOW
        self.reference = KNOWN
        self.installed = Installed(kserve=("v1beta1",))
        self.runtimes = RUNTIMES
        self.objects = dict[str, dict[str, dict[str, Any]]]()
        self.probes = dict[str, Probe]()
        self.raw: dict[str, Any] = {
            "apiVersion": "pointsman.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "fraud", "namespace": "risk", "uid": "u-1", "generation": 1, "resourceVersion": "1"},
            "spec": {"model": {"uri": URI}, **spec},
        }

    @property
    def deployment(self) -> ModelDeployment:
        found = read(self.raw, ModelDeployment)
        assert isinstance(found, ModelDeployment), found
        return found

    def change(self, **spec: Any) -> None:
        """Another spec."""
        self.raw = {**self.raw, "spec": {"model": {"uri": URI}, **spec}}
        self.raw["metadata"] = {**self.raw["metadata"], "generation": self.raw["metadata"]["generation"] + 1}

    def version(self, number: int) -> None:
        """The alias has moved."""
        digit = str(number)
        self.reference = replace(KNOWN, version=digit, digest="sha256:" + digit * 64)

    @property
    def pinned(self) -> Pinned:
        known = self.reference
        assert known.version is not None
        assert known.digest is not None
        return Pinned(
            uri=URI, version=known.version, digest=known.digest, source=SOURCE, shape=shape(self.deployment.spec)
        )

    def seen(self) -> Seen:
        objects = {kind: tuple(named.values()) for kind, named in self.objects.items()}
        return Seen(
            deployment=self.raw,
            objects=objects,
            runtimes=self.runtimes,
            probes=self.probes,
            installed=self.installed,
            now=self.now,
        )

    def plan(self) -> Plan:
        return plan.decide(observe(self.deployment, self.seen(), self.reference), self.now)

    def desired(self) -> Desired:
        return desired(self.deployment, self.plan(), self.seen(), drain=DRAIN)

    def child(self, kind: str) -> Child:
        return next(each for each in self.desired().children if each.kind.name == kind)

    def step(self) -> None:
        """Carry out what is wanted, all at once, and write the status."""
        decided, wanted = self.plan(), self.desired()
        for child in wanted.children:
            self.objects.setdefault(child.kind.name, {})[child.name] = dict(child.document)
        known = {(child.kind.name, child.name) for child in wanted.children}
        for kind, named in self.objects.items():
            for name, raw in list(named.items()):
                revision = raw["metadata"].get("labels", {}).get(names.REVISION)
                if (
                    (kind, name) not in known
                    and revision not in wanted.kept
                    and kind not in (POD.name, DEPLOYMENT.name)
                ):
                    del named[name]
        generation = self.raw["metadata"]["generation"]
        status = written(decided.told, self.raw.get("status", {}), generation=generation, now=self.now)
        self.raw = {**self.raw, "status": status}

    def answer(self, *, ready: bool = True) -> None:
        """A pod of every InferenceService, which answers its probe inference."""
        for name, raw in self.objects.get(INFERENCE_SERVICE.name, {}).items():
            status = "True" if ready else "False"
            self.objects.setdefault(POD.name, {})[name] = {
                "metadata": {"name": name, "uid": name, "labels": raw["metadata"]["labels"]},
                "spec": {"containers": []},
                "status": {"conditions": [{"type": "Ready", "status": status}]},
            }
            self.probes[name] = Probe(answered=ready)

    def serve(self) -> World:
        """Until it is Ready."""
        self.step()
        self.answer()
        self.step()
        return self


@pytest.fixture
def world() -> Callable[..., World]:
    return World
