"""What training registers is what a pin holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.demo.generator import GeneratorSettings
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
