"""A pinned model comes into a pod's folder: whole and checked, or not at all, with one line that says why."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pointsman.api.reasons import Reason
from pointsman.models.artifact import digest_of
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.port import ModelUri, RegistryUnreachable
from pointsman_operator.causes.containers import FETCH
from pointsman_serving.fetch import FetchFailed, asked, fetch

WRONG = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def registered(mlflow_server: Any, make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A version in a real MLflow: the address of its files, with their digest."""
    folder = make_model(tmp_path_factory.mktemp("fetch") / "model", bias=1.0)
    mlflow_server.publish("fetched", folder)
    with MlflowRegistry(mlflow_server.url) as registry:
        resolved = registry.resolve(ModelUri.parse("models:/fetched@champion"))
        copy = tmp_path_factory.mktemp("fetched")
        registry.fetch(resolved, copy)
    return resolved.artifact_uri, digest_of(copy)


def run(uri: str, folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pointsman_serving.fetch", uri, str(folder)]
    environment = {**os.environ, "POINTSMAN_REGISTRY_URL": url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_the_files_lie_in_the_folder_with_their_digest_and_leftovers_are_gone(
    registered: Any, mlflow_server: Any, tmp_path: Path
) -> None:
    source, digest = registered
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "over").write_text("of an attempt before")

    ran = run(f"{source}?name=fraud&version=1#{digest}", tmp_path, mlflow_server.url)

    assert ran.returncode == 0, ran.stderr
    assert digest_of(tmp_path) == digest


@pytest.mark.slow
def test_other_files_than_those_that_were_pinned_are_refused_and_the_folder_stays_empty(
    registered: Any, mlflow_server: Any, tmp_path: Path
) -> None:
    ran = run(f"{registered[0]}#{WRONG}", tmp_path, mlflow_server.url)

    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("DigestMismatch: the files at mlflow-artifacts:/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_place_without_files_is_said(mlflow_server: Any, tmp_path: Path) -> None:
    ran = run(f"mlflow-artifacts:/nowhere#{WRONG}", tmp_path, mlflow_server.url)

    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == 'ArtifactRefused: version 1 of "model" has no files'


@pytest.mark.slow
def test_a_repository_for_nvidias_triton_is_laid_out(registered: Any, mlflow_server: Any, tmp_path: Path) -> None:
    source, digest = registered
    query = "name=fraud&version=7&layout=triton&maxBatchSize=64&maxQueueDelayMicroseconds=100&instances=2"

    ran = run(f"{source}?{query}#{digest}", tmp_path, mlflow_server.url)

    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["fraud"]
    assert (tmp_path / "fraud" / "7" / "model.onnx").is_file()
    assert (tmp_path / "fraud" / "config.pbtxt").read_text().splitlines() == [
        'name: "fraud"',
        'backend: "onnxruntime"',
        "max_batch_size: 64",
        'input [ { name: "amount" data_type: TYPE_FP32 dims: [ 1 ] } ]',
        'output [ { name: "probability" data_type: TYPE_FP32 dims: [ 1 ] } ]',
        "instance_group [ { kind: KIND_GPU count: 2 } ]",
        "version_policy: { specific: { versions: [ 7 ] } }",
        "dynamic_batching { max_queue_delay_microseconds: 100 }",
    ]


def test_a_registry_that_does_not_answer_is_asked_again_for_half_a_minute(tmp_path: Path) -> None:
    waited = list[float]()
    with MlflowRegistry("http://127.0.0.1:1") as registry, pytest.raises(FetchFailed) as failed:
        fetch(asked(f"mlflow-artifacts:/1/m#{WRONG}"), registry, tmp_path, wait=waited.append)

    assert failed.value.reason == RegistryUnreachable.reason
    assert sum(waited) == 30
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_named(tmp_path: Path) -> None:
    class Full:
        def fetch(self, resolved: object, folder: Path) -> None:
            with open("/dev/full", "wb", buffering=0) as full:
                full.write(b"x")

    with pytest.raises(FetchFailed) as failed:
        fetch(asked(f"mlflow-artifacts:/1/m#{WRONG}"), Full(), tmp_path)  # type: ignore[arg-type]

    assert failed.value.reason == Reason.NoRoom


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (f"s3://bucket/model#{WRONG}", "is not mlflow-artifacts:/<path>"),
        ("mlflow-artifacts:/1/m", "does not end with #sha256:"),
        (f"mlflow-artifacts:/1/m?size=2#{WRONG}", '"size" is not known'),
        (f"mlflow-artifacts:/1/m?layout=tar#{WRONG}", "is not one of files, triton"),
        (f"mlflow-artifacts:/1/m?instances=many#{WRONG}", '"many" is no number'),
        (f"mlflow-artifacts:/1/m?name=../up#{WRONG}", "does not match"),
    ],
)
def test_an_address_that_is_not_ours_is_refused_with_what_is_wrong(uri: str, words: str) -> None:
    with pytest.raises(FetchFailed, match=words.replace("?", r"\?")):
        asked(uri)


def test_the_operator_knows_every_reason_that_is_named() -> None:
    named = {
        Reason.DigestMismatch,
        Reason.ArtifactRefused,
        Reason.NoRoom,
        Reason.FetchFailed,
        Reason.RegistryUnreachable,
    }

    assert named <= FETCH
