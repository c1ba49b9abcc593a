"""Trains two of the fraud example's models on generated history, checks their files, and registers or exports them; the
third, an LSTM, is registered as it lies in the repository (`pointsman.demo.lstm` trains it).

    python -m pointsman.demo.train --tracking-uri http://127.0.0.1:5000     registers them in MLflow as `champion`
    python -m pointsman.demo.train --export manifests/examples/fraud/models  writes them as files, with their pins

The demo calls `train` with the history of the generator run whose later days it then streams. What is learned from ends
before what is judged on, by as long as the bank needs to learn the truth; no label is a feature.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import yaml

from pointsman.demo.dataset import Dataset, Example, build, load_example
from pointsman.demo.generator import GeneratorSettings, Transactions, generate
from pointsman.demo.judging import BandRecord, CheckedModel, TrainingFailed, bands, check, metrics
from pointsman.demo.model_files import write_model
from pointsman.demo.publish import Description, Publisher
from pointsman.demo.sequence import SEQUENCE, description, feed, folder_of, score
from pointsman.models.artifact import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.demo.scorers import Scorer

EXAMPLE = Path("manifests/examples/fraud")
"""Where the example lies, seen from the repository."""

# The baseline is registered to be compared with; the example serves the other two.
BOOSTED, BASELINE, ALIAS = "fraud-scorer", "fraud-baseline", "champion"

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What to train on and where the models go; with neither `tracking_uri` nor `export` they are only checked."""

    example: Path = EXAMPLE
    history: GeneratorSettings = field(default_factory=GeneratorSettings)
    """its days are the history; the last `judged_days` of them are held out"""
    judged_days: int = 5
    iterations: int = 150
    tracking_uri: str | None = None
    experiment: str = "card-fraud"
    export: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A trained model. `version` is None where it was not registered; `difference` is the largest from scikit-learn."""

    name: str
    version: str | None
    digest: str
    file_bytes: int
    metrics: Mapping[str, float]
    difference: float


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What a training did: rows and frauds learned from and judged on, the models, the bands, seconds by stage."""

    rows: int
    frauds: int
    judged_rows: int
    judged_frauds: int
    dataset_digest: str
    models: tuple[ModelRecord, ...]
    bands: tuple[BandRecord, ...]
    seconds: Mapping[str, float]


def train(
    settings: TrainingSettings, on_progress: Progress = lambda _: None, *, history: Transactions | None = None
) -> TrainingRecord:
    """Generate (unless a history is given), compute features, train, check, and register or export.

    `history` is what arrived in the days of `settings.history`, such as the first part of a longer run's `split`.
    `on_progress` is called with each stage's name before it begins, the last being `register`: a caller may wait in it
    until the server answers. Raises TrainingFailed, publish.PublishingFailed.
    """
    clock = _Clock(on_progress)
    if history is None:
        with clock("generate"):
            history = generate(settings.history)
    with clock("features"):
        example = load_example(settings.example)
        dataset = build(example, history)
        learned, judged = periods(dataset, settings)
    with clock("libraries"):
        import onnxruntime  # noqa: F401
        import skl2onnx  # noqa: F401
    with clock("train"):
        scorers = _train(example, dataset, learned, settings)
    with tempfile.TemporaryDirectory() as temporary:
        root = settings.export or Path(temporary)
        with clock("check"):
            fraud, checked = dataset.fraud[judged], dict[str, CheckedModel]()
            for name, scorer in scorers.items():
                inputs = example.inputs(BOOSTED)
                few = dataset.matrix(inputs, np.flatnonzero(learned)[:: max(1, int(learned.sum()) // 5)][:5])
                write_model(root / name, scorer.onnx, {each: few[:, [at]] for at, each in enumerate(inputs)})
                matrix = dataset.matrix(inputs, np.flatnonzero(judged))
                checked[name] = check(root / name, list(inputs), matrix, scorer.reference)
            scores = {BOOSTED: checked[BOOSTED].scores}
            sequence = feed(dataset, example.inputs(SEQUENCE), np.flatnonzero(judged))
            scores[SEQUENCE] = score(folder_of(settings.example), sequence)
            found = {name: metrics(fraud, each.scores, example) for name, each in checked.items()}
            digest = dataset.digest()
        versions = _publish(settings, clock, root, found, digest, int(learned.sum()))
    record = TrainingRecord(
        rows=int(learned.sum()),
        frauds=int(dataset.fraud[learned].sum()),
        judged_rows=int(judged.sum()),
        judged_frauds=int(fraud.sum()),
        dataset_digest=digest,
        models=tuple(
            ModelRecord(
                name=name,
                version=versions.get(name),
                digest=each.digest,
                file_bytes=each.file_bytes,
                metrics=found[name],
                difference=each.difference,
            )
            for name, each in checked.items()
        ),
        bands=bands(fraud, scores, example),
        seconds=clock.seconds,
    )
    if settings.export is not None:
        _write_pins(settings.export, record)
    return record


class _Clock:
    """Tells of each stage and keeps its seconds."""

    def __init__(self, on_progress: Progress) -> None:
        self._tell = on_progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._tell(stage)
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started


def periods(dataset: Dataset, settings: TrainingSettings) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The rows to learn from and those to judge on; between them lie the days whose truth was not known yet."""
    start = settings.history.day(settings.history.days - settings.judged_days)
    end = start - round(settings.history.label_delay_days * 86_400_000_000)
    learned = dataset.complete & (dataset.occurred_at < end) & (dataset.label_known_at <= start)
    judged = dataset.complete & (dataset.occurred_at >= start)
    if not dataset.fraud[learned].any() or not dataset.fraud[judged].any():
        raise TrainingFailed(f"no fraud to learn from or to judge on in {settings.history.days} days: take more days")
    return learned, judged


def _train(
    example: Example, dataset: Dataset, learned: npt.NDArray[np.bool_], settings: TrainingSettings
) -> Mapping[str, Scorer]:
    from threadpoolctl import threadpool_limits

    from pointsman.demo.scorers import boosted, logistic

    rows = np.flatnonzero(learned)
    with threadpool_limits(limits=1):  # a second thread spins at its barriers while other processes need the core
        inputs = example.inputs(BOOSTED)
        matrix = dataset.matrix(inputs, rows)
        trees = boosted(list(inputs), matrix, dataset.fraud[rows], iterations=settings.iterations)
        return {BOOSTED: trees, BASELINE: logistic(list(inputs), matrix, dataset.fraud[rows])}


def _publish(
    settings: TrainingSettings,
    clock: _Clock,
    root: Path,
    found: Mapping[str, Mapping[str, float]],
    digest: str,
    rows: int,
) -> Mapping[str, str]:
    if settings.tracking_uri is None:
        return {}
    params = {
        "rows": str(rows),
        "seed": str(settings.history.seed),
        "days": str(settings.history.days),
        "customers": str(settings.history.customers),
        "iterations": str(settings.iterations),
    }
    with clock("register"), Publisher(settings.tracking_uri, settings.experiment) as publisher:
        folder = folder_of(settings.example)
        publisher.publish(SEQUENCE, folder, description(folder), alias=ALIAS)
        return {
            name: publisher.publish(
                name,
                root / name,
                Description(
                    params=params,
                    metrics=values,
                    dataset_digest=digest,
                    dataset_source=f"pointsman.demo.generator, seed {settings.history.seed}",
                ),
                alias=ALIAS,
            )
            for name, values in found.items()
        }


def _write_pins(folder: Path, record: TrainingRecord) -> None:
    """What each reference stands for where there is no registry."""
    pins = {
        f"models:/{model.name}@{ALIAS}": {"version": "1", "digest": model.digest, "folder": model.name}
        for model in record.models
    }
    if (folder / SEQUENCE).is_dir():
        pin = {"version": "1", "digest": digest_of(folder / SEQUENCE), "folder": SEQUENCE}
        pins[f"models:/{SEQUENCE}@{ALIAS}"] = pin
    (folder / "pins.yaml").write_text(
        "# Which files stand for the models' references where no registry is asked. Written by pointsman.demo.train.\n"
        + yaml.safe_dump({"pins": pins}, sort_keys=True)
    )


def _say(record: TrainingRecord) -> str:
    lines = [f"learned from {record.rows} rows with {record.frauds} frauds, data {record.dataset_digest[:19]}"]
    lines += [f"judged on {record.judged_rows} later rows with {record.judged_frauds} frauds"]
    for model in record.models:
        version = f"version {model.version}" if model.version else "not registered"
        lines.append(f"{model.name}: {version}, {model.digest[:19]}, {model.file_bytes} bytes")
        lines += [f"  {name} {value:.4f}" for name, value in model.metrics.items()]
        lines.append(f"  largest difference from scikit-learn {model.difference:.1e}")
    for band in record.bands:
        lines.append(
            f"band {band.name}: {band.share:.2%} of rows, {band.fraud_share:.3%} of them fraud, "
            f"{band.recall:.1%} of all fraud"
        )
    lines.append("seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in record.seconds.items()))
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pointsman.demo.train", description="Train the fraud example.")
    defaults = TrainingSettings()
    parser.add_argument("--tracking-uri", help="the MLflow server that the models are registered in")
    parser.add_argument("--export", type=Path, help="the folder that the models and pins.yaml are written to")
    parser.add_argument("--example", type=Path, default=defaults.example, help="the example's folder")
    parser.add_argument("--seed", type=int, default=defaults.history.seed)
    parser.add_argument("--days", type=int, default=defaults.history.days)
    parser.add_argument("--customers", type=int, default=defaults.history.customers)
    given = parser.parse_args(arguments)
    settings = TrainingSettings(
        example=given.example,
        history=GeneratorSettings(
            seed=given.seed, days=given.days, customers=given.customers, terminals=given.customers
        ),
        tracking_uri=given.tracking_uri,
        export=given.export,
    )

    def tell(stage: str) -> None:
        sys.stderr.write(f"{stage}\n")

    record = train(settings, tell)
    sys.stdout.write(_say(record))


if __name__ == "__main__":
    main()
