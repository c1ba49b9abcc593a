"""The processes that stand for model deployments here, by runtime, and what each runtime honours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments.plan import Pinned
from pointsman.local.home import Home
from pointsman.local.model_runtimes import abilities, environment_process, environment_spec, server_spec
from pointsman.local.ports import Ports
from pointsman.local.processes import Restart
from pointsman.models.probe_answer import is_usable
from pointsman_serving.oip.codec import encode_response

URI = "models:/fraud@champion"
PINNED = Pinned(uri=URI, version="3", digest="sha256:" + "1" * 64)


def command(tmp_path: Path, **spec: Any) -> str:
    home = Home(tmp_path / "home").create()
    deployment = ModelDeployment.model_validate(
        {"metadata": {"name": "fraud"}, "spec": {"model": {"uri": URI}, **spec}}
    )
    found = server_spec(home, Ports(home), deployment, PINNED)
    assert found.name == "model-fraud-11111111"
    return " ".join(found.command)


def test_the_runtime_of_the_deployment_is_the_module_that_starts(tmp_path: Path) -> None:
    modules = {"Native": "native", "Triton": "triton", "KServePython": "kserve_python", "BentoML": "bento"}
    for type_, module in modules.items():
        text = command(tmp_path, runtime={"type": type_})
        assert f"-m pointsman_serving.{module} " in text
        assert ("--folder" in text) == (type_ != "Native")
        assert ("--grpc-port" in text) == (type_ != "BentoML"), "its gRPC is a protocol of its own"


def test_triton_gets_the_batching_and_instances_of_the_deployment(tmp_path: Path) -> None:
    text = command(
        tmp_path,
        runtime={"type": "Triton", "triton": {"instances": 2}},
        batching={"maxBatchSize": 64, "maxQueueDelayMicroseconds": 500},
    )
    for option in ("--max-batch-size 64", "--max-queue-delay-microseconds 500", "--instances 2", "--metrics-port "):
        assert option in text


def test_batching_is_honoured_by_triton_in_part_by_bentoml_and_set_aside_by_the_others(tmp_path: Path) -> None:
    def set_aside(runtime: str) -> list[str]:
        return [path for path in abilities(runtime).sets_aside if path.startswith("spec.batching")]

    assert (set_aside("Triton"), set_aside("BentoML")) == ([], ["spec.batching.maxQueueDelayMicroseconds"])
    assert set_aside("Native") == set_aside("KServePython") == ["spec.batching"]
    text = command(tmp_path, runtime={"type": "BentoML"}, batching={"maxBatchSize": 64})
    assert "--max-batch-size 64" in text


def test_a_runtime_with_an_environment_of_its_own_has_a_process_that_builds_it_and_ends() -> None:
    assert [environment_process(each) for each in ("Native", "Container", "Triton", "KServePython", "BentoML")] == [
        None,
        None,
        "environment-triton",
        "environment-kservepython",
        "environment-bentoml",
    ]
    assert environment_spec("Triton").restart is Restart.ON_FAILURE


def answer(*, binary: bool, **outputs: Any) -> tuple[bytes, str | None]:
    body, length = encode_response(
        name="m", version="1", id_=None, outputs=outputs, binary=None if binary else frozenset()
    )
    return body, None if length is None else str(length)


@pytest.mark.parametrize("binary", [True, False])
def test_an_answer_is_usable_where_every_float_is_finite(binary: bool) -> None:
    label, score = np.array([1], np.int64), np.array([[0.5]], np.float32)
    assert is_usable(*answer(binary=binary, label=label, score=score))
    assert not is_usable(*answer(binary=binary, label=label, score=score * np.nan))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"outputs": []}', b'{"outputs": [1]}', b"nothing"])
def test_what_is_no_answer_is_not_usable(body: bytes) -> None:
    assert not is_usable(body, None)
    assert not is_usable(orjson.dumps({"outputs": [{"datatype": "FP32"}]}), None)
