"""KServe, KubeRay and the Gateway API: their definitions, and on a cluster that is up controllers and webhooks.

Definitions and settings come from the modules the controllers are built from, so that they always fit. They are made
once into one JSON file in the cache: parsing nine megabytes of YAML would cost each start some seconds.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.certificates import Authority
from harness.cluster import Cluster, KubectlFailed
from harness.control_plane import Start
from harness.parts import GOMODS, go, go_version
from harness.runs import Run
from pointsman_images.cache import cache_folder, key, locked

NAMESPACE = "kserve"
_WEBHOOK_CERTIFICATES = ("k8s-webhook-server", "serving-certs")  # under TMPDIR: controller-runtime's default

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the controllers listen on the loopback that they share with the API server."""

    webhooks: int
    kserve_metrics: int
    kserve_health: int
    kuberay_metrics: int | None = None  # None: KubeRay's definitions alone, without its controller
    kuberay_health: int | None = None


def manifests() -> Mapping[str, Any]:
    """`definitions`, KServe's `settings` and its `webhooks`: from the cache, or made now."""
    folder = cache_folder() / f"serving-{made_by()}"
    path = folder / "manifests.json"
    with locked(folder):
        if not path.exists():
            fresh = path.with_suffix(".part")
            fresh.write_text(json.dumps(_from_modules()))
            fresh.rename(path)
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found


def made_by() -> str:
    """A key that changes with the modules and with what is made of them here."""
    pinned = (path.read_bytes() for module in ("kserve", "kuberay") for path in sorted((GOMODS / module).iterdir()))
    return key(go_version(), Path(__file__).read_bytes(), *pinned)


def install(
    cluster: Cluster, run: Run, programs: Mapping[str, Path], authority: Authority, ports: Ports, launch: Start
) -> None:
    """Start the controllers and point KServe's webhooks at them; returns when they answer.

    The definitions are there already: they come with the etcd that the cluster was started on (`seed.py`).
    """
    made = manifests()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.create(namespace, made["settings"])
    shown = authority.server("kserve-webhook", ["127.0.0.1"])
    looked_in = run.path("tmp", *_WEBHOOK_CERTIFICATES)
    looked_in.mkdir(parents=True)
    shutil.copy(shown.certificate, looked_in / "tls.crt")
    shutil.copy(shown.key, looked_in / "tls.key")
    environment = [
        "env",
        f"KUBECONFIG={cluster.kubeconfig}",
        f"TMPDIR={run.path('tmp')}",
        f"POD_NAMESPACE={NAMESPACE}",
        "ENABLE_WEBHOOKS=false",  # KubeRay's; KServe does not read it
    ]
    launch(
        "kserve",
        [
            *environment,
            programs["kserve-manager"],
            f"--webhook-port={ports.webhooks}",
            f"--metrics-addr=127.0.0.1:{ports.kserve_metrics}",
            f"--health-probe-addr=127.0.0.1:{ports.kserve_health}",
        ],
    )
    if ports.kuberay_metrics is not None:
        launch(
            "kuberay",
            [
                *environment,
                programs["kuberay-operator"],
                "--enable-leader-election=false",
                f"--metrics-addr=127.0.0.1:{ports.kuberay_metrics}",
                f"--health-probe-bind-address=127.0.0.1:{ports.kuberay_health}",
            ],
        )
    bundle = base64.b64encode(authority.files.certificate.read_bytes()).decode()
    cluster.create(*(_at_url(webhook, ports.webhooks, bundle) for webhook in made["webhooks"]))
    run.wait("KServe's webhooks answer the API server", lambda: _webhooks_answer(cluster), of="kserve", seconds=60)


def _webhooks_answer(cluster: Cluster) -> bool:
    """Whether a runtime that is never made passes KServe's validator: the API server's own path to it."""
    runtime = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "probe", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "kserve-container", "image": "none"}]},
    }
    try:
        cluster.kubectl("create", "--dry-run=server", "--validate=false", "-f", "-", stdin=json.dumps(runtime))
    except KubectlFailed:
        return False
    return True


def _at_url(webhooks: Document, port: int, bundle: str) -> Document:
    """The webhook configuration with a URL on the API server's loopback in place of a Service."""

    def moved(webhook: Document) -> Document:
        path = webhook["clientConfig"]["service"]["path"]
        return {**webhook, "clientConfig": {"url": f"https://127.0.0.1:{port}{path}", "caBundle": bundle}}

    return {**webhooks, "webhooks": [moved(webhook) for webhook in webhooks["webhooks"]]}


def _from_modules() -> Document:
    kserve = _source("kserve", "github.com/kserve/kserve")
    kuberay = _source("kuberay", "github.com/ray-project/kuberay/ray-operator")
    gateway = _source("kserve", "sigs.k8s.io/gateway-api")  # of the version that KServe is built against
    crds = kserve / "config" / "crd" / "full"
    files = [
        *sorted(crds.glob("serving.kserve.io_*.yaml")),
        *sorted(crds.glob("clusterstoragecontainer/serving.kserve.io_*.yaml")),
        *sorted((kuberay / "config" / "crd" / "bases").glob("*.yaml")),
        *sorted((gateway / "config" / "crd" / "standard").glob("*.yaml")),
    ]
    definitions = [document for file in files for document in _documents(file)]
    settings = next(_documents(kserve / "config" / "configmap" / "inferenceservice.yaml"))
    webhooks = list(_documents(kserve / "config" / "webhook" / "manifests.yaml"))
    return {
        "definitions": [_undescribed(one) for one in definitions if one["kind"] == "CustomResourceDefinition"],
        "settings": _settings(settings),
        "webhooks": [{**one, "metadata": {"name": one["metadata"]["name"]}} for one in webhooks],
    }


def _settings(shipped: Document) -> Document:
    """KServe's ConfigMap with its shipped values, for Standard mode and without Ingresses: the route is ours."""
    data = {name: json.loads(text) for name, text in shipped["data"].items() if name != "_example"}
    data["deploy"] = {"defaultDeploymentMode": "Standard"}
    data["ingress"] = {**data["ingress"], "disableIngressCreation": True}
    metadata = {"name": shipped["metadata"]["name"], "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {name: json.dumps(value) for name, value in data.items()},
    }


def _source(module: str, path: str) -> Path:
    """Where the module's source lies, downloaded first where it is not there."""
    go("mod", "download", path, module=module)
    return Path(go("list", "-m", "-f", "{{.Dir}}", path, module=module))


def _documents(file: Path) -> Iterator[Document]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where PyYAML was built with it
    with file.open() as text:
        yield from (document for document in yaml.load_all(text, Loader=loader) if document)


def _undescribed(value: Any) -> Any:
    """The definition without its prose, two thirds of its bytes; a field named `description` keeps its schema."""
    if isinstance(value, dict):
        prose = {name for name, one in value.items() if name == "description" and isinstance(one, str)}
        return {name: _undescribed(one) for name, one in value.items() if name not in prose}
    if isinstance(value, list):
        return [_undescribed(one) for one in value]
    return value
