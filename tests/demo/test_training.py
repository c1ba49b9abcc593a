"""Training looks neither ahead nor at labels, its files are what was trained, and the committed models are sound."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from pointsman.demo.dataset import build, load_example
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.judging import TrainingFailed, bands, check
from pointsman.demo.model_files import write_model
from pointsman.demo.scorers import logistic
from pointsman.demo.sequence import SEQUENCE, feed, folder_of, record_of, score
from pointsman.demo.train import TrainingSettings, periods, train
from pointsman.demo.transactions import DAY_US, Kind
from pointsman.models.artifact import digest_of, open_artifact
from pointsman.models.session import OnnxSession

FRAUD = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
SMALL = GeneratorSettings(customers=900, terminals=900, days=24, seed=11)
MODELS = ("fraud-scorer", "fraud-baseline")
KNOWN = {
    "amount": [[12.5], [800.0]],
    "amounts": [[0.0] * 17 + [20.0, 15.0, 30.0], [0.0] * 16 + [500.0, 650.0, 700.0, 720.0]],
    "gaps": [[0.0] * 17 + [86400.0, 43200.0, 7200.0], [0.0] * 16 + [600.0, 300.0, 240.0, 120.0]],
}
SCORES = [5.355477e-05, 0.9997867]
"""What the committed LSTM says of a quiet card, and of one that is emptied."""


@pytest.fixture(scope="module")
def example():
    return load_example(FRAUD)


@pytest.fixture(scope="module")
def transactions():
    return generate(SMALL)


@pytest.fixture(scope="module")
def dataset(example, transactions):
    return build(example, transactions)


@pytest.mark.slow
def test_features_are_the_same_whatever_the_labels_say(example, transactions, dataset):
    turned = build(example, dataclasses.replace(transactions, fraud=~transactions.fraud))
    for name, column in dataset.columns.items():
        assert np.array_equal(column.values, turned.columns[name].values)
    assert turned.digest() != dataset.digest()


@pytest.mark.slow
def test_features_of_a_row_do_not_change_with_what_arrives_after_it(example, transactions, dataset):
    history, _ = transactions.split(SMALL.day(12))
    earlier = build(example, history)
    for name, column in earlier.columns.items():
        assert np.array_equal(column.values, dataset.columns[name].values[: len(earlier)])


def test_rows_that_are_known_too_late_have_no_features_and_are_not_learned_from(transactions, dataset):
    some = transactions.take(transactions.accepted())
    beyond = some.known_at - some.occurred_at > DAY_US // 24 * 2
    assert beyond.any()
    assert not dataset.complete[beyond].any()
    assert dataset.complete[some.kind == Kind.NORMAL].all()


def test_what_is_learned_from_was_known_before_what_is_judged_on_began(dataset):
    learned, judged = periods(dataset, TrainingSettings(history=SMALL, judged_days=5))
    start = SMALL.day(19)
    assert dataset.label_known_at[learned].max() <= start <= dataset.occurred_at[judged].min()
    assert dataset.occurred_at[learned].max() < start - 7 * DAY_US
    assert learned.sum() > judged.sum() > 0


def test_a_history_that_is_too_short_to_learn_from_is_refused(dataset):
    with pytest.raises(TrainingFailed, match="take more days"):
        periods(dataset, TrainingSettings(history=dataclasses.replace(SMALL, days=11)))


@pytest.mark.slow
def test_training_writes_models_that_can_be_opened_and_their_pins(tmp_path, example, transactions):
    stages: list[str] = []
    settings = TrainingSettings(example=FRAUD, history=SMALL, iterations=20, export=tmp_path)
    record = train(settings, stages.append, history=transactions)
    assert stages == ["features", "libraries", "train", "check"]
    pins = yaml.safe_load((tmp_path / "pins.yaml").read_text())["pins"]
    assert {model.name for model in record.models} == set(MODELS)
    for model in record.models:
        pin = pins[f"models:/{model.name}@champion"]
        artifact = open_artifact(tmp_path / pin["folder"], expected_digest=pin["digest"])
        assert pin["digest"] == model.digest
        assert {tensor.name for tensor in artifact.inputs} == set(example.inputs("fraud-scorer"))
        assert model.difference < 1e-5
        assert model.metrics["average_precision"] > 0.7
    assert sum(band.share for band in record.bands) == pytest.approx(1)


def a_logistic_model(names=("amount", "card_count_1h")):
    rng = np.random.default_rng(3)
    matrix = rng.exponential(50, (2_000, len(names))).astype(np.float32)
    return logistic(names, matrix, matrix[:, 0] > 90), matrix


@pytest.mark.slow
def test_a_file_that_scores_other_than_what_was_trained_is_refused(tmp_path):
    scorer, matrix = a_logistic_model()
    write_model(tmp_path / "m", scorer.onnx, {"amount": matrix[:2, [0]], "card_count_1h": matrix[:2, [1]]})
    names = ["amount", "card_count_1h"]
    assert check(tmp_path / "m", names, matrix, scorer.reference).difference < 1e-6
    with pytest.raises(TrainingFailed, match="differs from scikit-learn"):
        check(tmp_path / "m", names, matrix, lambda rows: scorer.reference(rows) + 0.01)


def test_a_file_whose_scores_depend_on_the_batch_is_refused(tmp_path):
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["amount"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["amount", "mean"], ["probability"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in ("amount", "probability")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    matrix = np.linspace(0, 1, 600, dtype=np.float32).reshape(-1, 1)
    write_model(tmp_path / "m", model.SerializeToString(), {"amount": matrix[:2]})
    with pytest.raises(TrainingFailed, match="depend on the batch"):
        check(tmp_path / "m", ["amount"], matrix, lambda rows: (rows - rows.mean())[:, 0])


def committed(name: str) -> OnnxSession:
    pin = yaml.safe_load((FRAUD / "models" / "pins.yaml").read_text())["pins"][f"models:/{name}@champion"]
    return OnnxSession(open_artifact(FRAUD / "models" / pin["folder"], expected_digest=pin["digest"]))


@pytest.mark.parametrize("name", MODELS)
def test_a_committed_model_is_its_pin_small_and_takes_what_the_graph_gives(example, name):
    session = committed(name)
    artifact = session.artifact
    assert [(each.name, each.dtype, each.shape) for each in artifact.inputs] == [
        (each, "FP32", (-1, 1)) for each in example.inputs("fraud-scorer")
    ]
    assert ("probability", "FP32", (-1, 1)) in [(each.name, each.dtype, each.shape) for each in artifact.outputs]
    assert artifact.example_is_given
    assert session.probe().batch_invariant
    assert artifact.onnx_path.stat().st_size < 600_000


@pytest.mark.parametrize("name", MODELS)
def test_a_committed_model_holds_nothing_of_the_time_and_place_it_was_made(name):
    described = (FRAUD / "models" / name / "MLmodel").read_text()
    assert not set(yaml.safe_load(described)) & {"run_id", "model_uuid", "model_id", "utc_time_created"}


QUIET = {
    "amount": 24.5,
    "card_count_1h": 0,
    "card_count_24h": 1,
    "card_count_7d": 12,
    "card_amount_sum_24h": 31,
    "card_amount_mean_7d": 29,
    "card_amount_max_7d": 55,
    "card_since_last": 30_000,
    "terminal_count_1h": 0,
    "terminal_count_24h": 3,
    "terminal_amount_mean_24h": 33,
    "terminal_amount_mean_7d": 35,
}


def but(**changes: float) -> dict[str, float]:
    return QUIET | changes


@pytest.mark.parametrize(
    ("row", "low", "high"),
    [
        pytest.param(QUIET, 0.0, 0.01, id="a usual purchase"),
        pytest.param(but(amount=620), 0.7, 1.0, id="twenty times the usual amount"),
        pytest.param(
            but(amount=290, card_count_1h=5, card_count_24h=6, card_since_last=90, card_amount_sum_24h=1_500)
            | {"card_amount_mean_7d": 100, "card_amount_max_7d": 350, "card_count_7d": 17},
            0.7,
            1.0,
            id="a burst of large purchases with one card",
        ),
        pytest.param(
            but(amount=240, terminal_count_1h=8, terminal_count_24h=10, terminal_amount_mean_24h=210)
            | {"terminal_amount_mean_7d": 120},
            0.7,
            1.0,
            id="a burst of large purchases at one terminal",
        ),
    ],
)
def test_the_committed_scorer_tells_fraud_from_habit(row, low, high):
    inputs = {name: np.array([[value]], dtype=np.float32) for name, value in row.items()}
    (score,) = committed("fraud-scorer").infer(inputs)["probability"].reshape(-1)
    assert low <= score <= high


@pytest.mark.slow
def test_the_committed_models_keep_the_promises_of_the_bands_on_transactions_of_another_seed(example):
    settings = GeneratorSettings(customers=3_000, terminals=3_000, days=21, seed=99)
    dataset = build(example, generate(settings))
    rows = np.flatnonzero(dataset.complete & (dataset.occurred_at >= settings.day(8)))
    inputs = example.inputs("fraud-scorer")
    matrix = dataset.matrix(inputs, rows)
    answer = committed("fraud-scorer").infer({each: matrix[:, [at]] for at, each in enumerate(inputs)})
    scores = {
        "fraud-scorer": answer["probability"].reshape(-1).astype(np.float64),
        SEQUENCE: score(folder_of(FRAUD), feed(dataset, example.inputs(SEQUENCE), rows)),
    }
    found = {band.name: band for band in bands(dataset.fraud[rows], scores, example)}
    assert found["approve"].share > 0.95
    assert found["approve"].fraud_share < 0.001
    assert 0.004 < found["review"].share < 0.04
    assert found["freeze"].fraud_share > 0.97
    assert found["freeze"].recall > 0.6


def test_the_committed_files_are_listed_by_digest_and_nothing_else_lies_beside_them():
    pins = yaml.safe_load((FRAUD / "models" / "pins.yaml").read_text())["pins"]
    assert set(pins) == {f"models:/{name}@champion" for name in (*MODELS, SEQUENCE)}
    assert {path.name for path in (FRAUD / "models").iterdir()} == {
        *MODELS,
        SEQUENCE,
        record_of(folder_of(FRAUD)).name,
        "pins.yaml",
    }
    for pin in pins.values():
        assert digest_of(FRAUD / "models" / pin["folder"]) == pin["digest"]


def test_the_committed_sequence_model_is_the_one_that_was_trained(example, dataset):
    folder = folder_of(FRAUD)
    pin = yaml.safe_load((FRAUD / "models" / "pins.yaml").read_text())["pins"][f"models:/{SEQUENCE}@champion"]
    artifact = open_artifact(folder, expected_digest=pin["digest"])
    assert {tensor.name: tensor.shape for tensor in artifact.inputs} == {
        "amount": (-1, 1),
        "amounts": (-1, 20),
        "gaps": (-1, 20),
    }
    rows = np.flatnonzero(dataset.complete)[:400]
    given = feed(dataset, example.inputs(SEQUENCE), rows)
    scores = score(folder, given)
    for size in (1, 3, 64):
        parts = [
            score(folder, {name: each[at : at + size] for name, each in given.items()}) for at in range(0, 60, size)
        ]
        assert np.array_equal(np.concatenate(parts)[:60], scores[:60])
    assert scores[dataset.fraud[rows]].mean() > 10 * scores[~dataset.fraud[rows]].mean()
    known = score(folder, {name: np.array(value, np.float32) for name, value in KNOWN.items()})
    assert known == pytest.approx(SCORES, abs=1e-5)


@pytest.mark.slow
def test_training_the_sequence_model_again_gives_one_as_good(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed: pip install 'pointsman[lstm]' to retrain")
    from pointsman.demo.lstm import train_sequence

    record = train_sequence(tmp_path / SEQUENCE, example=FRAUD)
    committed = json.loads(record_of(folder_of(FRAUD)).read_text())
    assert record.dataset_digest == committed["dataset_digest"]
    assert record.average_precision == pytest.approx(committed["average_precision"], abs=0.01)
    assert record.difference_from_torch < 1e-5
