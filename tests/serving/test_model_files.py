"""A host's models come from the registry where they are not there yet: a real MLflow, real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pointsman.graphs.resolve import ResolvedModel
from pointsman.models.artifact import digest_of
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.port import ModelUri
from pointsman_serving.graph.model_files import FilesMissing, ModelFiles

WRONG = "sha256:" + "0" * 64


def model(**changes: Any) -> ResolvedModel:
    plain = {"deployment": "d", "name": "scorer", "version": "1", "digest": WRONG, "folder": "/nowhere"}
    return ResolvedModel(**{**plain, "placement": "Inline", **changes})


@pytest.fixture(scope="module")
def registered(
    mlflow_server: Any, make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> ResolvedModel:
    """A model that lies in a real MLflow alone."""
    folder = make_model(tmp_path_factory.mktemp("hosted") / "model", bias=1.0)
    mlflow_server.publish("hosted", folder)
    with MlflowRegistry(mlflow_server.url) as registry:
        resolved = registry.resolve(ModelUri.parse("models:/hosted@champion"))
        copy = tmp_path_factory.mktemp("hosted-copy")
        registry.fetch(resolved, copy)
    return model(digest=digest_of(copy), source=resolved.artifact_uri)


@pytest.mark.slow
def test_what_is_nowhere_is_fetched_once_and_lies_under_its_digest(
    registered: ResolvedModel, mlflow_server: Any, tmp_path: Path
) -> None:
    files = ModelFiles(folder=tmp_path / "models", registry_url=mlflow_server.url)

    folder = files.of(registered)

    assert folder == tmp_path / "models" / registered.digest.removeprefix("sha256:")
    assert digest_of(folder) == registered.digest
    assert list(folder.parent.iterdir()) == [folder]
    assert ModelFiles(folder=tmp_path / "models", registry_url="http://127.0.0.1:1").of(registered) == folder


@pytest.mark.slow
def test_other_files_than_those_that_were_pinned_are_refused_and_nothing_is_left(
    registered: ResolvedModel, mlflow_server: Any, tmp_path: Path
) -> None:
    files = ModelFiles(folder=tmp_path / "models", registry_url=mlflow_server.url)

    with pytest.raises(FilesMissing, match='model "scorer", version 1: DigestMismatch'):
        files.of(registered.model_copy(update={"digest": WRONG}))

    assert list((tmp_path / "models").iterdir()) == []


def test_a_folder_that_is_there_is_taken_as_it_is(tmp_path: Path) -> None:
    assert ModelFiles().of(model(folder=str(tmp_path))) == tmp_path


@pytest.mark.parametrize(
    ("source", "registry", "says"),
    [
        (None, "http://registry", 'are not in "/nowhere"'),
        ("mlflow-artifacts:/1/m", None, "POINTSMAN_REGISTRY_URL names no registry"),
    ],
)
def test_what_cannot_be_fetched_is_said(tmp_path: Path, source: str | None, registry: str | None, says: str) -> None:
    with pytest.raises(FilesMissing, match=says):
        ModelFiles(folder=tmp_path, registry_url=registry).of(model(source=source))


def test_what_no_node_asks_for_any_more_goes_and_nothing_else_does(tmp_path: Path) -> None:
    for name in ("a" * 64, "b" * 64, "kept by somebody"):
        (tmp_path / name).mkdir()

    ModelFiles(folder=tmp_path).keep({"sha256:" + "a" * 64})

    assert {each.name for each in tmp_path.iterdir()} == {"a" * 64, "kept by somebody"}
