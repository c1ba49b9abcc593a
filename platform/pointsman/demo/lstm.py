"""Trains the fraud example's second model: an LSTM over a card's last twenty transactions. Needs the extra `lstm` (torch).

    python -m pointsman.demo.lstm --out manifests/examples/fraud/models/card-sequence

The file is small and lies in the repository, so that nothing but retraining needs torch. It takes what the graph gives it:
the transaction's amount, the card's last amounts and the seconds between them (oldest first, 0 where there are fewer), and
does its own scaling. It learns from the labels of generated history, and is judged on later days, as the boosted model is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pointsman.demo.dataset import build, load_example
from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.judging import BATCHES, TrainingFailed
from pointsman.demo.model_files import write_model
from pointsman.demo.sequence import SEQUENCE, Feed, feed, folder_of, record_of, score
from pointsman.demo.train import EXAMPLE, TrainingSettings, periods

HIDDEN, EPOCHS, ROWS, RATE, SEED = 16, 8, 512, 3e-3, 7
WEIGHT = 12.0
"""How much more a fraud counts than an honest purchase: fraud is rare."""
TILE = 4
"""Rows are filled up to a multiple of this: ONNX Runtime multiplies the last odd rows in another order, and a score must not
depend on its neighbours."""
TOLERANCE = 1e-5
"""The most that ONNX Runtime may differ from torch."""


@dataclass(frozen=True, kw_only=True)
class SequenceRecord:
    """What a training did. `average_precision` and `area_under_roc` are those of the held-out days."""

    seed: int
    rows: int
    frauds: int
    judged_rows: int
    judged_frauds: int
    dataset_digest: str
    average_precision: float
    area_under_roc: float
    difference_from_torch: float
    versions: dict[str, str]
    seconds: float


def train_sequence(out: Path, *, example: Path = EXAMPLE, history: GeneratorSettings | None = None) -> SequenceRecord:
    """Train, export, check, and write the model's folder with its record.

    Raises TrainingFailed where the file differs from what was trained or its scores depend on the batch, and
    ModuleNotFoundError without torch.
    """
    import torch
    from sklearn.metrics import average_precision_score, roc_auc_score

    began = time.perf_counter()
    settings = TrainingSettings(example=example, history=history or GeneratorSettings())
    documents = load_example(example)
    dataset = build(documents, generate(settings.history))
    learned, judged = (np.flatnonzero(each) for each in periods(dataset, settings))
    inputs = dict(documents.inputs(SEQUENCE))
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = _learned(torch, feed(dataset, inputs, learned), dataset.fraud[learned])
    few = {name: array[:5] for name, array in feed(dataset, inputs, learned).items()}
    write_model(out, _exported(torch, network, few), few, outputs=(("probability", "float32", (-1, 1)),))
    asked = feed(dataset, inputs, judged)
    scores = _checked(out, asked)
    with torch.no_grad():
        own = network(*(torch.from_numpy(array) for array in asked.values())).numpy().reshape(-1)
    difference = float(np.abs(own - scores).max())
    if difference > TOLERANCE:
        raise TrainingFailed(f"the ONNX file differs from torch by {difference:.2g}")
    return SequenceRecord(
        seed=SEED,
        rows=len(learned),
        frauds=int(dataset.fraud[learned].sum()),
        judged_rows=len(judged),
        judged_frauds=int(dataset.fraud[judged].sum()),
        dataset_digest=dataset.digest(),
        average_precision=float(average_precision_score(dataset.fraud[judged], scores)),
        area_under_roc=float(roc_auc_score(dataset.fraud[judged], scores)),
        difference_from_torch=difference,
        versions={name: version(name) for name in ("torch", "onnx", "onnxruntime", "numpy")},
        seconds=round(time.perf_counter() - began, 1),
    )


def _learned(torch: Any, given: Feed, fraud: npt.NDArray[np.bool_]) -> Any:
    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.remember = torch.nn.LSTM(2, HIDDEN, batch_first=True)
            self.compare = torch.nn.Linear(HIDDEN + 1, HIDDEN)
            self.judge = torch.nn.Linear(HIDDEN, 1)

        def forward(self, amount: Any, amounts: Any, gaps: Any) -> Any:
            rows = amount.shape[0]
            more = (0, 0, 0, (-rows) % TILE)
            amount, amounts, gaps = (torch.nn.functional.pad(each, more) for each in (amount, amounts, gaps))
            steps = torch.stack([torch.log1p(amounts) / 4, torch.log1p(gaps / 3600) / 4], dim=2)
            remembered, _ = self.remember(steps)
            now = torch.cat([remembered[:, -1], torch.log1p(amount) / 4], dim=1)
            return torch.sigmoid(self.judge(torch.tanh(self.compare(now))))[:rows]

    network, truth = Network(), torch.from_numpy(fraud.astype(np.float32)).reshape(-1, 1)
    tensors = [torch.from_numpy(array) for array in given.values()]
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    weights = torch.where(truth > 0, WEIGHT, 1.0)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(truth)).split(ROWS):
            optimiser.zero_grad()
            said = network(*(tensor[rows] for tensor in tensors))
            torch.nn.functional.binary_cross_entropy(said, truth[rows], weight=weights[rows]).backward()
            optimiser.step()
    return network.eval()


def _exported(torch: Any, network: Any, few: Feed) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the older exporter, and of a batch size that does vary
            _export(torch, network, few, file)
        return file.read_bytes()


def _export(torch: Any, network: Any, few: Feed, file: Path) -> None:
    names = list(few)
    torch.onnx.export(
        network,
        tuple(torch.from_numpy(array) for array in few.values()),
        str(file),
        input_names=names,
        output_names=["probability"],
        dynamic_axes={name: {0: "N"} for name in (*names, "probability")},
        opset_version=17,
        dynamo=False,
    )


def _checked(folder: Path, asked: Feed) -> npt.NDArray[np.float64]:
    """Scores by the file, the same to the bit in batches of any size."""
    scores = score(folder, asked)
    some = min(len(scores), max(BATCHES))
    for size in BATCHES:
        parts = [
            score(folder, {name: array[start : min(start + size, some)] for name, array in asked.items()})
            for start in range(0, some, size)
        ]
        if not np.array_equal(np.concatenate(parts), scores[:some]):
            raise TrainingFailed(f"the scores depend on the batch: they differ in batches of {size}")
    return scores


def main() -> None:
    """Train and write the folder."""
    parser = argparse.ArgumentParser(prog="pointsman.demo.lstm", description=__doc__)
    parser.add_argument("--out", type=Path, default=folder_of(EXAMPLE), help="the model's folder")
    parser.add_argument("--example", type=Path, default=EXAMPLE, help="the fraud example's folder")
    arguments = parser.parse_args()
    try:
        record = train_sequence(arguments.out, example=arguments.example)
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: training needs torch: pip install 'pointsman[lstm]'")
    text = json.dumps(asdict(record), indent=2) + "\n"
    record_of(arguments.out).write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
