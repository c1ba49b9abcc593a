"""Where the pods of a model outside the registry get its files: the address that KServe hands on, and what stands beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pointsman.deployments.plan import Pinned
from pointsman_operator.resources import runtimes, source
from pointsman_serving.fetch import asked

KSERVE = ("gs://", "s3://", "hdfs://", "hf://", "webhdfs://")
KSERVE_PATTERNS = (r"https://(.+?).blob.core.windows.net/(.+)", r"https?://(.+)/(.+)")
"""What KServe's own storage container takes, wherever in an address the patterns are found"""
ADDRESSES = [
    "s3://models/fraud/v1",
    "gs://models/fraud",
    "hf://risk/fraud:main",
    "https://models.blob.core.windows.net/models/fraud.tar.gz?signature=a%2Fb&until=1#top",
    "pvc://claim/models/fraud",
    "oci://registry.example:5000/fraud@sha256:0a",
]


def made(world: Callable[..., Any], uri: str, **spec: Any) -> tuple[str, dict[str, Any]]:
    """The address in the InferenceService, and the pods' fields."""
    served = world(**spec)
    pinned: Pinned = replace(served.pinned, uri=uri, source=uri)
    beside = source.beside(pinned)
    return source.address(served.deployment, pinned), beside


@pytest.mark.parametrize("uri", ADDRESSES)
def test_our_container_alone_takes_an_address_and_reads_it_as_it_was_written(
    world: Callable[..., Any], uri: str
) -> None:
    address, _ = made(world, uri)

    prefixes = {
        name: document["spec"]["supportedUriFormats"][0]["prefix"]
        for name, document in runtimes.documents().items()
        if document["kind"] == "ClusterStorageContainer"
    }
    takes = [name for name, prefix in prefixes.items() if address.startswith(prefix)]
    assert takes == ["pointsman-volume" if uri.startswith(("pvc", "oci")) else "pointsman-storage"]
    assert not address.startswith(KSERVE)
    assert not any(re.search(pattern, address) for pattern in KSERVE_PATTERNS)
    read = asked(address)
    assert (read.source, read.digest, read.name, read.layout) == (uri, "sha256:" + "1" * 64, "fraud", "files")


@pytest.mark.parametrize(
    ("format_", "layout"), [(None, "triton"), ("ONNX", "triton"), ("TritonRepository", "repository")]
)
def test_triton_gets_one_model_laid_out_and_a_repository_as_it_is(
    world: Callable[..., Any], format_: str | None, layout: str
) -> None:
    model = {"uri": "s3://models/fraud", "digest": "sha256:" + "1" * 64} | ({"format": format_} if format_ else {})

    address, _ = made(world, "s3://models/fraud", runtime={"type": "Triton"}, model=model)

    assert asked(address).layout == layout


def test_a_claim_is_mounted_for_reading_and_an_image_copies_its_files(world: Callable[..., Any]) -> None:
    _, claim = made(world, "pvc://claim/models/fraud")
    _, image = made(world, "oci://registry.example:5000/fraud:1")

    [volume] = claim["volumes"]
    assert volume == {"name": source.VOLUME, "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}}
    [copies] = image["initContainers"]
    assert (copies["image"], copies["name"]) == ("registry.example:5000/fraud:1", source.IMAGE)
    assert copies["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [each["name"] for each in image["volumes"]] == [source.VOLUME]
    assert made(world, "s3://models/fraud")[1] == {}
