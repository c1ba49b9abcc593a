"""The registry adapter and pins against a real MLflow server."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import httpx2
import pytest

from pointsman.models.artifact import digest_of, open_artifact
from pointsman.models.session import OnnxSession
from pointsman.registry.mlflow_rest import Limits, MlflowRegistry
from pointsman.registry.pins import pin
from pointsman.registry.port import AliasNotFound, FilesRefused, ModelNotFound, ModelUri, RegistryUnreachable

pytestmark = pytest.mark.slow


@pytest.fixture
def registry(mlflow_server):
    with MlflowRegistry(mlflow_server.url) as registry:
        yield registry


def test_a_registered_model_is_resolved_by_alias_and_by_version(mlflow_server, registry, model_folder):
    version = mlflow_server.publish("by-name", model_folder)
    aliased = registry.resolve(ModelUri.parse("models:/by-name@champion"))
    numbered = registry.resolve(ModelUri.parse(f"models:/by-name/{version}"))
    assert (aliased.name, aliased.version, aliased.alias) == ("by-name", version, "champion")
    assert (numbered.version, numbered.alias) == (version, None)
    assert aliased.artifact_uri == numbered.artifact_uri
    assert aliased.run_id


def test_a_moved_alias_is_noticed_by_the_next_question(mlflow_server, registry, make_model, tmp_path):
    uri = ModelUri.parse("models:/moving@champion")
    first = mlflow_server.publish("moving", make_model(tmp_path / "1", bias=1.0))
    before = pin(registry, uri, tmp_path / "pins")
    second = mlflow_server.publish("moving", make_model(tmp_path / "2", bias=2.0))
    after = pin(registry, uri, tmp_path / "pins", known=before)
    assert (before.version, after.version) == (first, second)
    assert before.digest != after.digest
    assert before.folder.is_dir()


def test_a_pinned_folder_holds_the_registered_bytes_named_by_their_digest(
    mlflow_server, registry, model_folder, tmp_path
):
    mlflow_server.publish("pinned", model_folder)
    pinned = pin(registry, ModelUri.parse("models:/pinned@champion"), tmp_path / "pins")
    assert pinned.digest == digest_of(model_folder) == digest_of(pinned.folder)
    assert pinned.folder == tmp_path / "pins" / pinned.digest.removeprefix("sha256:")
    assert pinned.uri == "models:/pinned@champion"
    assert OnnxSession(open_artifact(pinned.folder, expected_digest=pinned.digest)).probe().batch_invariant
    modes = {stat.S_IMODE(file.stat().st_mode) for file in pinned.folder.rglob("*") if file.is_file()}
    assert modes == {0o444}


def test_the_same_content_in_two_versions_is_one_folder(mlflow_server, registry, model_folder, tmp_path):
    uri, pins = ModelUri.parse("models:/again@champion"), tmp_path / "pins"
    first = mlflow_server.publish("again", model_folder)
    before = pin(registry, uri, pins)
    second = mlflow_server.publish("again", model_folder)
    after = pin(registry, uri, pins)
    assert first != second
    assert before.folder == after.folder
    assert [folder.name for folder in pins.iterdir()] == [before.folder.name]


def test_folders_below_a_model_are_fetched_too(mlflow_server, registry, model_folder, tmp_path):
    (model_folder / "notes" / "deep").mkdir(parents=True)
    (model_folder / "notes" / "deep" / "card with space.md").write_text("a model card")
    mlflow_server.publish("deep", model_folder)
    pinned = pin(registry, ModelUri.parse("models:/deep@champion"), tmp_path / "pins")
    assert pinned.digest == digest_of(model_folder)


def test_an_absent_alias_is_named_with_the_nearest_one(mlflow_server, registry, model_folder):
    mlflow_server.publish("aliased", model_folder)
    with pytest.raises(AliasNotFound, match='model "aliased" has no alias "champoin"; did you mean "champion"'):
        registry.resolve(ModelUri.parse("models:/aliased@champoin"))


@pytest.mark.parametrize("reference", ["models:/frud-scorer@champion", "models:/frud-scorer/1"])
def test_an_absent_model_is_named_with_the_nearest_one(mlflow_server, registry, model_folder, reference):
    mlflow_server.publish("fraud-scorer", model_folder)
    with pytest.raises(ModelNotFound, match='no model "frud-scorer"; did you mean "fraud-scorer"'):
        registry.resolve(ModelUri.parse(reference))


def test_an_absent_version_is_named(mlflow_server, registry, model_folder):
    mlflow_server.publish("versions", model_folder)
    with pytest.raises(ModelNotFound, match='model "versions" has no version 99'):
        registry.resolve(ModelUri.parse("models:/versions/99"))


def test_a_server_that_is_down_is_unreachable_and_worth_asking_again():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with MlflowRegistry(url) as registry, pytest.raises(RegistryUnreachable, match="does not answer") as refused:
            registry.resolve(ModelUri.parse("models:/any@champion"))
    assert refused.value.retry
    assert not AliasNotFound.retry


def test_files_that_are_gone_are_refused_and_leave_nothing_behind(mlflow_server, registry, model_folder, tmp_path):
    mlflow_server.publish("gone", model_folder)
    resolved = registry.resolve(ModelUri.parse("models:/gone@champion"))
    for file in (mlflow_server.artifacts / resolved.artifact_uri.removeprefix("mlflow-artifacts:/")).iterdir():
        file.unlink()
    with pytest.raises(FilesRefused, match="has no files"):
        pin(registry, ModelUri.parse("models:/gone@champion"), tmp_path / "pins")
    assert list((tmp_path / "pins").iterdir()) == []


@pytest.mark.parametrize("limits", [Limits(total_bytes=300), Limits(files=2)])
def test_more_than_the_limits_is_refused_and_leaves_nothing_behind(mlflow_server, model_folder, tmp_path, limits):
    mlflow_server.publish("large", model_folder)
    with MlflowRegistry(mlflow_server.url, limits=limits) as registry, pytest.raises(FilesRefused, match="more than"):
        pin(registry, ModelUri.parse("models:/large@champion"), tmp_path / "pins")
    assert list((tmp_path / "pins").iterdir()) == []


def test_mlflows_own_client_reads_what_was_registered(mlflow_server, model_folder, tmp_path):
    """In a process of its own: importing MLflow warns, and takes seconds."""
    import subprocess
    import sys

    mlflow_server.publish("for-mlflow", model_folder)
    program = (
        "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]);"
        "info = mlflow.models.get_model_info('models:/for-mlflow@champion');"
        "model = mlflow.onnx.load_model('models:/for-mlflow@champion');"
        "version = mlflow.MlflowClient().get_model_version_by_alias('for-mlflow', 'champion');"
        "run = mlflow.get_run(version.run_id);"
        "print(info.signature.inputs.input_names(), [node.op_type for node in model.graph.node], run.data.metrics)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, mlflow_server.url], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "['amount'] ['Add', 'Sigmoid'] {'average_precision': 0.5}" in answer.stdout, answer.stderr[-2000:]


def test_a_server_that_keeps_files_on_this_machine_is_read_below_the_root_that_was_allowed(
    mlflow_server, model_folder, tmp_path
):
    kept, experiment = tmp_path / "kept here", "on-this-machine"
    place = {"name": experiment, "artifact_location": kept.as_uri()}
    made = httpx2.post(f"{mlflow_server.url}/api/2.0/mlflow/experiments/create", json=place, trust_env=False)
    assert made.status_code == 200
    mlflow_server.publish("local-files", model_folder, experiment=experiment)
    uri = ModelUri.parse("models:/local-files@champion")
    with MlflowRegistry(mlflow_server.url, local_root=kept) as registry:
        assert pin(registry, uri, tmp_path / "pins").digest == digest_of(model_folder)
    with MlflowRegistry(mlflow_server.url) as registry, pytest.raises(FilesRefused, match="may not name it"):
        pin(registry, uri, tmp_path / "others")


def test_files_of_this_machine_are_read_only_below_the_root_that_was_allowed(tmp_path: Path, model_folder):
    from pointsman.registry.port import ResolvedModel

    def copy(allowed: Path | None) -> Path:
        target = tmp_path / f"copy-{allowed.name if allowed else 'none'}"
        target.mkdir()
        uri = model_folder.as_uri()
        with MlflowRegistry("http://127.0.0.1:9", local_root=allowed) as registry:
            resolved = ResolvedModel(name="m", version="1", alias=None, artifact_uri=uri, run_id="")
            registry.fetch(resolved, target)
        return target

    assert digest_of(copy(model_folder.parent)) == digest_of(model_folder)
    (tmp_path / "elsewhere").mkdir()
    for allowed in (None, tmp_path / "elsewhere"):
        with pytest.raises(FilesRefused, match="may not name it"):
            copy(allowed)
