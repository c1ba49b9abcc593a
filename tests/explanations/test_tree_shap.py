"""TreeSHAP against Shapley values by their definition, and against what the example's model answers."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import pytest

from pointsman.explanations.model import ExplainedModel
from pointsman.explanations.onnx_trees import tree_model
from pointsman.explanations.tree_shap import LEAF, LESS_OR_EQUAL, Trees, shapley, shares
from pointsman.models.artifact import digest_of
from pointsman.models.onnx_file import parsed

MODELS = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "models"


def grown(random: np.random.Generator, *, trees: int, depth: int, features: int) -> Trees:
    """Random trees whose paths may split on one feature several times."""
    rows = list[dict[str, float]]()

    def grow(parent: int, left: int) -> int:
        at = len(rows)
        inner = left > 0 and random.random() < 0.85
        rows.append(
            {"parent": parent, "feature": 0, "threshold": 0.0, "value": 0.0, "yes": -1, "no": -1, "inner": inner}
        )
        if inner:
            rows[at] |= {"feature": int(random.integers(features)), "threshold": float(random.normal())}
            rows[at]["yes"], rows[at]["no"] = grow(at, left - 1), grow(at, left - 1)
        else:
            rows[at]["value"] = float(random.normal())
        return at

    for _ in range(trees):
        grow(-1, depth)
    column = lambda name, type_: np.array([each[name] for each in rows], dtype=type_)  # noqa: E731
    return Trees(
        feature=column("feature", np.intp),
        mode=np.where(column("inner", np.bool_), LESS_OR_EQUAL, LEAF),
        threshold=column("threshold", np.float32),
        missing_is_true=random.random(len(rows)) < 0.5,
        when_true=column("yes", np.intp),
        when_false=column("no", np.intp),
        parent=column("parent", np.intp),
        value=column("value", np.float64),
        base=0.3,
    )


def by_definition(trees: Trees, row: np.ndarray, share: np.ndarray) -> tuple[float, list[float]]:
    """Every coalition's worth, walked down as Lundberg's EXPVALUE does, weighted by the definition of Shapley."""
    goes = trees.decisions(row[None, :])[0]

    def worth(node: int, known: set[int]) -> float:
        if trees.mode[node] == LEAF:
            return float(trees.value[node])
        yes, no = int(trees.when_true[node]), int(trees.when_false[node])
        if int(trees.feature[node]) in known:
            return worth(yes if goes[node] else no, known)
        return float(share[yes]) * worth(yes, known) + float(share[no]) * worth(no, known)

    roots = np.flatnonzero(trees.parent < 0).tolist()
    of = lambda known: trees.base + sum(worth(root, known) for root in roots)  # noqa: E731
    count, parts = len(row), list[float]()
    for feature in range(count):
        others, part = [each for each in range(count) if each != feature], 0.0
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for known in combinations(others, size):
                part += weight * (of({*known, feature}) - of(set(known)))
        parts.append(part)
    return of(set()), parts


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_shapley_value_of_the_papers_game(seed) -> None:
    random = np.random.default_rng(seed)
    trees = grown(random, trees=3, depth=5, features=4)
    background = random.normal(size=(9, 4)).astype(np.float32)
    row = random.normal(size=4).astype(np.float32)
    if seed == 5:
        row[1] = np.nan
    share = shares(trees, background)
    expected, parts = shapley(trees, row, share)
    wanted, wanted_parts = by_definition(trees, row, share)
    assert expected == pytest.approx(wanted, abs=1e-12)
    assert parts == pytest.approx(wanted_parts, abs=1e-12)
    assert expected + parts.sum() == pytest.approx(trees.predict(row[None, :])[0], abs=1e-12)


def test_a_feature_that_no_tree_asks_for_has_no_part() -> None:
    random = np.random.default_rng(1)
    trees = grown(random, trees=4, depth=4, features=3)
    background = random.normal(size=(20, 4)).astype(np.float32)
    _, parts = shapley(trees, background[0], shares(trees, background))
    assert parts[3] == 0
    assert abs(parts[:3]).min() > 0


@pytest.fixture(scope="module")
def scorer() -> ExplainedModel:
    folder = MODELS / "fraud-scorer"
    return ExplainedModel(folder, digest_of(folder))


def rows_of(model: ExplainedModel, count: int) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(7)
    return [
        {name: random.lognormal(3, 1.5, size=(1, 1)).astype(np.float32) for name in model.inputs} for _ in range(count)
    ]


def test_the_parts_of_the_examples_scorer_add_up_to_its_own_answer(scorer) -> None:
    background = rows_of(scorer, 64)
    for row in rows_of(scorer, 20):
        found = scorer.explain(row, background, "probability")
        assert (found.method, found.unit) == ("TreeSHAP", "log-odds")
        assert found.expected + sum(each.contribution for each in found.drivers) == pytest.approx(found.total)
        assert 1 / (1 + np.exp(-found.total)) == pytest.approx(found.output, abs=1e-5)
        sizes = [abs(each.contribution) for each in found.drivers]
        assert sizes == sorted(sizes, reverse=True)


def test_columns_that_the_model_makes_are_named_by_what_they_are_made_of(scorer) -> None:
    row = rows_of(scorer, 1)[0]
    found = scorer.explain(row, rows_of(scorer, 8), "probability")
    ratio = next(each for each in found.drivers if each.feature == "amount / (card_amount_mean_7d + 1)")
    assert ratio.of == ("amount", "card_amount_mean_7d")
    wanted = row["amount"][0, 0] / (row["card_amount_mean_7d"][0, 0] + 1)
    assert ratio.value == pytest.approx(wanted, rel=1e-6)


def test_the_average_over_the_background_of_what_trees_give_is_not_far_from_what_is_expected() -> None:
    random = np.random.default_rng(3)
    trees = grown(random, trees=1, depth=1, features=2)
    background = random.normal(size=(50, 2)).astype(np.float32)
    expected, _ = shapley(trees, background[0], shares(trees, background))
    assert expected == pytest.approx(trees.predict(background).mean())


def test_what_is_no_tree_ensemble_is_occluded_against_the_medians() -> None:
    folder = MODELS / "fraud-baseline"
    model = ExplainedModel(folder, digest_of(folder))
    background, row = rows_of(model, 9), rows_of(model, 10)[9]
    found = model.explain(row, background, "probability")
    assert (found.method, found.unit) == ("Occlusion", "output")
    strongest = found.drivers[0]
    middle = np.sort([each[strongest.feature][0, 0] for each in background])[4]
    without = {**row, strongest.feature: np.array([[middle]], dtype=np.float32)}
    again = model.explain(without, background, "probability")
    assert strongest.contribution == pytest.approx(found.output - again.output)


def test_a_forest_and_a_regressor_as_skl2onnx_writes_them_are_found() -> None:
    pytest.importorskip("skl2onnx")
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor

    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    for model, output, wanted in (
        (RandomForestClassifier(5, max_depth=4, random_state=0), "probabilities", lambda m: m.predict_proba(x)[:, 1]),
        (
            GradientBoostingClassifier(n_estimators=5, random_state=0),
            "probabilities",
            lambda m: m.predict_proba(x)[:, 1],
        ),
        (RandomForestRegressor(5, max_depth=4, random_state=0), "variable", lambda m: m.predict(x)),
    ):
        model.fit(x, y)
        graph = to_onnx(model, x, options={} if output == "variable" else {"zipmap": False}).graph
        if output == "probabilities":
            gather = graph.node.add(op_type="Gather", input=["probabilities", "one"], output=["probability"])
            gather.attribute.add(name="axis", type=2, i=1)
            graph.initializer.add(name="one", data_type=7, dims=[1], int64_data=[1])
            output = "probability"
        found = tree_model(graph, output, {"X": 3})
        assert found is not None, type(model)
        sums = found.trees.predict(x)
        assert [found.linked(each) for each in sums] == pytest.approx(wanted(model), abs=1e-5)


def test_no_ensemble_is_found_where_there_is_none() -> None:
    graph = parsed(MODELS / "card-sequence" / "model.onnx").graph
    assert tree_model(graph, graph.output[0].name, {"amount": 1, "amounts": 20, "gaps": 20}) is None


def test_a_missing_value_goes_where_the_split_says() -> None:
    row = np.array([[np.nan], [0.0], [2.0]], dtype=np.float32)
    for missing_is_true, wanted in ((True, [1.0, 1.0, 5.0]), (False, [5.0, 1.0, 5.0])):
        stump = Trees(
            feature=np.zeros(3, dtype=np.intp),
            mode=np.array([LESS_OR_EQUAL, LEAF, LEAF]),
            threshold=np.ones(3, dtype=np.float32),
            missing_is_true=np.full(3, missing_is_true),
            when_true=np.array([1, -1, -1]),
            when_false=np.array([2, -1, -1]),
            parent=np.array([-1, 0, 0]),
            value=np.array([0.0, 1.0, 5.0]),
            base=0.0,
        )
        assert stump.predict(row).tolist() == wanted
