"""Models that are not in the registry, on a real node: from every kind of address into pods that answer, or with the cause."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import operator as harness
from harness import triton, yours
from harness.cluster import Cluster
from harness.model_deployments import condition, seen
from harness.operator import model_deployment
from harness.stores import BUCKET, KEY, SECRET, TOKEN, Stores, stores
from harness.waiting import wait_for
from pointsman.models.artifact import digest_of
from pointsman_images import archive, debian
from pointsman_images.build import base
from pointsman_serving.oip.client import HttpModel

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]
WRONG = "sha256:" + "0" * 64
IMAGE = "localhost/models/fraud:1"
SMALL = {"requests": {"cpu": "20m", "memory": "384Mi"}}
ACCOUNT = {"spec": {"serviceAccountName": "reader"}}


@pytest.fixture(scope="module")
def models(make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A model as it is registered, and a repository of Triton's own with that model in it."""
    folder = tmp_path_factory.mktemp("models")
    fraud, repository = make_model(folder / "fraud", bias=0.0), folder / "repository"
    (repository / "repository" / "1").mkdir(parents=True)
    shutil.copy(next(fraud.rglob("*.onnx")), repository / "repository" / "1" / "model.onnx")
    (repository / "repository" / "config.pbtxt").write_text(
        'backend: "onnxruntime"\n'
        'input [ { name: "amount" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]\n'
        'output [ { name: "probability" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]\n'
    )
    return {"fraud": fraud, "repository": repository}


@pytest.fixture(scope="module")
def places(
    real_node: Cluster,
    models: Mapping[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    on_the_node: Callable[[str], None],
    say: Callable[[str], None],
) -> Iterator[Stores]:
    """The servers, and a node with the operator, set up for them as an administrator does it."""
    assert real_node.host is not None
    assert real_node.webhook is not None
    folder = tmp_path_factory.mktemp("places")
    for name in ("operator", "serving", "storage", "triton"):
        on_the_node(name)
    real_node.load_image(_image(models["fraud"], folder, say))
    with stores(real_node.host, folder, dict(models), real_node.webhook, say) as running:
        harness.installed(real_node)
        harness.run_in_the_cluster(real_node, {"POINTSMAN_REGISTRY_URL": "http://127.0.0.1:9"})
        given = {"STORAGE_EMULATOR_HOST": running.gcs, "HF_ENDPOINT": running.hub}
        added = [
            {"op": "add", "path": "/spec/container/env/-", "value": {"name": n, "value": v}} for n, v in given.items()
        ]
        patch = ("patch", "clusterstoragecontainer", "pointsman-storage", "--type=json", "-p", json.dumps(added))
        real_node.kubectl(*patch)
        with _authority_is_trusted(real_node, real_node.webhook.authority.read_text()):
            yield running


def _image(model: Path, folder: Path, say: Callable[[str], None]) -> Path:
    """The model in an image, below /models, with a shell beside it."""
    root, tar = folder / "image", folder / "image.tar"
    shutil.copytree(model, root / "models")
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "cp").symlink_to("busybox")
    layers = [base(debian.PYTHON_IMAGE, say), root]
    archive.write(tar, archive.Image(name=IMAGE, layers=layers, command=["sh"]))
    return tar


@contextmanager
def _authority_is_trusted(cluster: Cluster, certificate: str) -> Iterator[None]:
    """KServe's own way to an authority of one's own: its setting names a ConfigMap, which it copies into every namespace."""
    bundle = {"cabundle.crt": certificate}
    metadata = {"name": "authorities", "namespace": "kserve"}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": bundle})
    before = cluster.get("configmap", "inferenceservice-config", "kserve")["data"]["storageInitializer"]

    def write(settings: str) -> None:
        patch = json.dumps({"data": {"storageInitializer": settings}})
        cluster.kubectl("patch", "configmap", "inferenceservice-config", "-n", "kserve", "--type=merge", "-p", patch)

    write(json.dumps({**json.loads(before), "caBundleConfigMapName": "authorities"}))
    try:
        yield
    finally:
        write(before)


@pytest.fixture
def credentials(real_node: Cluster, namespace: str, places: Stores) -> None:
    """A ServiceAccount with the credentials of S3 and Hugging Face, as KServe takes them, and one whose secret is wrong."""
    s3 = {"s3-endpoint": places.s3, "s3-usehttps": "0", "s3-region": "us-east-1"}
    annotations = {f"serving.kserve.io/{name}": value for name, value in s3.items()}
    made = list[dict[str, Any]]()
    for account, secret in (("reader", SECRET), ("stranger", "guessed")):
        named = {"s3": {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": secret}, "hub": {"HF_TOKEN": TOKEN}}
        for name, data in named.items():
            metadata = {"name": f"{account}-{name}", "namespace": namespace, "annotations": annotations}
            made.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
        metadata = {"name": account, "namespace": namespace}
        secrets = [{"name": f"{account}-{name}"} for name in named]
        made.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "secrets": secrets})
    real_node.apply(*made)


@pytest.fixture
def claim(real_node: Cluster, namespace: str, models: Mapping[str, Path]) -> None:
    """A claim "models", bound to a volume of the node in which the models lie."""
    path = models["fraud"].parent
    path.chmod(0o755)
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    bound = {"name": "models", "namespace": namespace}
    volume = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": str(path)}, "claimRef": bound, **common}
    real_node.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": volume},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": bound,
            "spec": {"volumeName": namespace, "resources": {"requests": {"storage": "1Gi"}}, **common},
        },
    )


def addresses(places: Stores) -> dict[str, str]:
    return {
        "s3": f"s3://{BUCKET}/fraud",
        "gs": f"gs://{BUCKET}/fraud",
        "hf": "hf://risk/fraud",
        "https": f"{places.web}/fraud.tar.gz",
        "pvc": "pvc://models/fraud",
        "oci": f"oci://{IMAGE}",
    }


def deployment(namespace: str, name: str, uri: str, digest: str, **spec: Any) -> dict[str, Any]:
    model = {"uri": uri, "digest": digest, **spec.pop("model", {})}
    defaults = {"resources": SMALL, "podTemplate": ACCOUNT}
    return model_deployment(name, namespace, model=model, **{**defaults, **spec})


def scored(cluster: Cluster, namespace: str, name: str) -> float:
    """Once it is Ready: what it says of an amount of 0, through its Service."""

    def is_ready() -> bool:
        return condition(seen(cluster, namespace, name)).get("status") == "True"

    try:
        wait_for(f"{name} is Ready", is_ready, seconds=180, every=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {seen(cluster, namespace, name).get('status')}") from None
    client = HttpModel(f"http://{cluster.get('service', name, namespace)['spec']['clusterIP']}", name)
    try:
        return float(client.infer({"amount": np.zeros((1, 1), np.float32)})["probability"][0, 0])
    finally:
        client.close()


def test_a_model_at_any_address_becomes_ready_and_answers(
    real_node: Cluster, namespace: str, places: Stores, models: Mapping[str, Path], credentials: None, claim: None
) -> None:
    wanted, digest = addresses(places), digest_of(models["fraud"])
    real_node.apply(*(deployment(namespace, name, uri, digest) for name, uri in wanted.items()))

    assert {name: scored(real_node, namespace, name) for name in wanted} == dict.fromkeys(wanted, 0.5)


def test_triton_gets_a_model_laid_out_and_a_repository_of_its_own_as_it_is(
    real_node: Cluster, namespace: str, places: Stores, models: Mapping[str, Path], credentials: None, claim: None
) -> None:
    runtime = {"type": "Triton", "triton": {"image": triton.IMAGE}}
    fraud, repository = digest_of(models["fraud"]), digest_of(models["repository"])
    own, uri = {"format": "TritonRepository"}, "pvc://models/repository"
    real_node.apply(
        deployment(namespace, "fraud", f"s3://{BUCKET}/fraud", fraud, runtime=runtime),
        deployment(namespace, "repository", uri, repository, runtime=runtime, model=own),
        deployment(namespace, "other", uri, repository, runtime=runtime, model=own),
        deployment(namespace, "wrong", uri, WRONG, runtime=runtime, model=own),
    )

    assert scored(real_node, namespace, "fraud") == 0.5
    assert scored(real_node, namespace, "repository") == 0.5
    told = says(real_node, namespace, "other", "ArtifactRefused")
    assert 'the repository has "repository": name the model\'s folder "other"' in told
    assert f"have the digest {repository}, not {WRONG}" in says(real_node, namespace, "wrong", "DigestMismatch")


def says(cluster: Cluster, namespace: str, name: str, reason: str) -> str:
    """Wait until Ready is False for this reason; the message."""

    def said() -> str | None:
        found = condition(seen(cluster, namespace, name))
        return str(found["message"]) if (found.get("status"), found.get("reason")) == ("False", reason) else None

    try:
        return wait_for(f"{name} is not Ready for {reason}", said, seconds=120, every=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {condition(seen(cluster, namespace, name))}") from None


def test_what_keeps_the_files_from_coming_is_named_with_what_to_do(
    real_node: Cluster, namespace: str, places: Stores, models: Mapping[str, Path], credentials: None, claim: None
) -> None:
    good, stranger = digest_of(models["fraud"]), {"podTemplate": {"spec": {"serviceAccountName": "stranger"}}}
    broken: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
        "s3-none": (f"s3://{BUCKET}/none", good, {}, "ModelNotFound", "correct spec.model.uri"),
        "s3-key": (f"s3://{BUCKET}/fraud", good, stranger, "FetchFailed", "Secret of the pods' ServiceAccount"),
        "hf-key": ("hf://risk/fraud", good, {"podTemplate": {}}, "FetchFailed", "Secret of the pods' ServiceAccount"),
        "folder": ("pvc://models/none", good, {}, "ModelNotFound", "has no such folder"),
        "claim": ("pvc://nobody/fraud", good, {}, "ModelNotFound", 'the PersistentVolumeClaim "nobody" does not exist'),
        "image": ("oci://registry.invalid/none:1", good, {}, "ImagePullFailed", '"registry.invalid/none:1" cannot be'),
    }
    real_node.apply(
        *(deployment(namespace, name, uri, digest, **spec) for name, (uri, digest, spec, _, _) in broken.items())
    )

    for name, (_, _, _, reason, words) in broken.items():
        assert words in says(real_node, namespace, name, reason)


def test_files_with_another_digest_are_named_within_ten_seconds_and_serve_nothing(
    real_node: Cluster, namespace: str, places: Stores, credentials: None
) -> None:
    real_node.apply(deployment(namespace, "fraud", f"{places.web}/fraud.tar.gz", WRONG))

    assert "put them back, or correct the digest" in says(real_node, namespace, "fraud", "DigestMismatch")

    assert seconds_until_it_was_said(real_node, namespace, "fraud") <= 10
    assert seen(real_node, namespace, "fraud")["status"]["replicas"] == 0


def seconds_until_it_was_said(cluster: Cluster, namespace: str, name: str) -> float:
    """From the first end of the container that fetches until the condition said so."""
    said = condition(seen(cluster, namespace, name))["lastTransitionTime"]
    [pod] = cluster.list("pod", namespace, f"pointsman.dev/modeldeployment={name}")
    ended = [
        state["terminated"]["finishedAt"]
        for status in pod["status"].get("initContainerStatuses", ())
        for state in (status.get("lastState", {}), status["state"])
        if state.get("terminated", {}).get("exitCode")
    ]
    return (datetime.fromisoformat(said) - datetime.fromisoformat(min(ended))).total_seconds()
