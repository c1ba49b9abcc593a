"""What is registered is what a pin holds: by training, and of what lies in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pointsman.demo.generator import GeneratorSettings
from pointsman.demo.register import main
from pointsman.demo.train import TrainingSettings, train
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.pins import pin
from pointsman.registry.port import ModelUri

FRAUD = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"


@pytest.mark.slow
def test_a_trained_model_is_pinned_with_the_digest_that_training_told(mlflow_server, tmp_path):
    settings = TrainingSettings(
        example=FRAUD,
        history=GeneratorSettings(customers=900, terminals=900, days=24, seed=11),
        iterations=20,
        tracking_uri=mlflow_server.url,
        experiment="training",
    )
    record = train(settings)
    assert "register" in record.seconds
    with MlflowRegistry(mlflow_server.url) as registry:
        for model in record.models:
            pinned = pin(registry, ModelUri.parse(f"models:/{model.name}@champion"), tmp_path)
            assert (pinned.version, pinned.digest) == (model.version, model.digest)


@pytest.mark.slow
def test_the_models_of_the_repository_are_registered_as_its_pins_say(mlflow_server, tmp_path, capsys):
    pins = yaml.safe_load((FRAUD / "models" / "pins.yaml").read_text())["pins"]

    assert main(["--tracking-uri", mlflow_server.url, "--example", str(FRAUD)]) == 0

    said = capsys.readouterr().out.splitlines()
    with MlflowRegistry(mlflow_server.url) as registry:
        for reference, line in zip(sorted(pins), said, strict=True):
            pinned = pin(registry, ModelUri.parse(reference), tmp_path)
            assert pinned.digest == pins[reference]["digest"]
            assert line == f"{reference} is version {pinned.version}"


def test_a_registry_that_does_not_answer_is_named(capsys):
    assert main(["--tracking-uri", "http://127.0.0.1:1", "--example", str(FRAUD)]) == 1
    assert capsys.readouterr().err == "error: MLflow at http://127.0.0.1:1 does not answer: ConnectError\n"
