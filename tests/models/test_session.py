"""A loaded model binds inputs by name, refuses what it does not take, and is probed before it is trusted."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from pointsman.models.inline import InlineModel
from pointsman.models.session import InvalidInput, ProbeFailed, RunFailed

COLUMN = (TensorProto.FLOAT, ["N", 1])


def column(*values, dtype=np.float32):
    return np.array(values, dtype=dtype).reshape(-1, 1)


def test_the_order_of_the_inputs_does_not_matter(session):
    model = session()
    amount, count = column(3, 1), column(1, 3)
    one = model.infer({"amount": amount, "count": count})["probability"]
    other = model.infer({"count": count, "amount": amount})["probability"]
    swapped = model.infer({"amount": count, "count": amount})["probability"]
    assert one.tobytes() == other.tobytes()
    assert one[0, 0] > 0.8 > 0.2 > swapped[0, 0]


def test_a_column_cut_out_of_a_matrix_is_taken_as_it_is(session):
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    cut = session().infer({"amount": matrix[:, :1], "count": matrix[:, 1:]})
    whole = session().infer({"amount": matrix[:, :1].copy(), "count": matrix[:, 1:].copy()})
    assert cut["probability"].tobytes() == whole["probability"].tobytes()


@pytest.mark.parametrize(
    ("inputs", "name", "words"),
    [
        ({"amount": column(1)}, "count", "it is missing"),
        ({}, "amount", "it is missing"),
        ({"amount": column(1), "count": column(1), "x": column(1)}, "x", "no such input; it has amount, count"),
        ({"amount": column(1), "Count": column(1)}, "count", "it is missing"),
        ({"amount": column(1, dtype=np.float64), "count": column(1)}, "amount", "it is float64, the model takes FP32"),
        ({"amount": column(1), "count": column(1, dtype=np.int64)}, "count", "it is int64"),
        ({"amount": column(1), "count": column(1).ravel()}, "count", r"its shape is \[1\], the model takes \[-1, 1\]"),
        ({"amount": column(1), "count": column(1, 2).T}, "count", r"its shape is \[1, 2\]"),
        ({"amount": column(1), "count": column(1)[None]}, "count", r"its shape is \[1, 1, 1\]"),
        ({"amount": column(1), "count": np.float32(1)[...]}, "count", r"its shape is \[\]"),
        ({"amount": column(1, 2), "count": column(1)}, "count", "it has 1 rows, the inputs before it have 2"),
        ({"amount": column(), "count": column()}, "amount", "it is empty"),
    ],
)
def test_an_input_that_the_model_does_not_take_is_refused_by_name(session, inputs, name, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        session().infer(inputs)
    assert caught.value.name == name


def test_text_is_the_same_as_bytes_and_as_strings(session, made):
    model = session(made.one_node("Identity", type_=TensorProto.STRING))
    strings = np.array([["café"], [""]], dtype=object)
    raw = np.array([["café".encode()], [b""]], dtype=object)
    assert model.infer({"x": strings})["y"].tolist() == model.infer({"x": raw})["y"].tolist() == strings.tolist()


@pytest.mark.parametrize(("value", "words"), [(b"\xff", "not UTF-8"), (3, "not strings"), (None, "not strings")])
def test_what_is_not_text_is_refused(session, made, value, words):
    with pytest.raises(InvalidInput, match=words):
        session(made.one_node("Identity", type_=TensorProto.STRING)).infer({"x": np.array([[value]], dtype=object)})


def lookup(made):
    """y = table[x]: three values are known."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    whole = helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64)
    gather = helper.make_node("Gather", ["table", "i"], ["y"])
    return made.model([whole, gather], {"x": COLUMN}, {"y": COLUMN}, initializers=[table])


def test_values_that_the_model_cannot_use_fail_that_call_alone_and_print_nothing(session, made, capfd):
    model = session(lookup(made))
    with pytest.raises(RunFailed, match=r"does not take these values.*out of data bounds"):
        model.infer({"x": column(7)})
    assert model.infer({"x": column(2)})["y"].tolist() == [[3.0]]
    assert capfd.readouterr() == ("", "")


def test_a_model_whose_rows_do_not_touch_is_batch_invariant(session):
    probe = session(input_example={"amount": [[3.3]], "count": [[1.7]]}).probe()
    assert probe.batch_invariant
    assert probe.batches == (2, 7, 64, 500)


def centred(made):
    """y = x - mean(x): every row's score depends on the others."""
    mean = helper.make_node("ReduceMean", ["x"], ["m"], axes=[0])
    return made.model([mean, helper.make_node("Sub", ["x", "m"], ["y"])], {"x": COLUMN}, {"y": COLUMN})


def total(made):
    """y = sum(x): one score for the whole batch."""
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    return made.model([node], {"x": COLUMN}, {"y": (TensorProto.FLOAT, [])})


@pytest.mark.parametrize("build", [centred, total])
@pytest.mark.parametrize("example", [{"x": [[2.0]]}, {"x": [[2.0], [2.0]]}])
def test_a_model_whose_scores_depend_on_the_batch_is_found_out(session, made, build, example):
    assert not session(build(made), input_example=example).probe().batch_invariant


def test_a_probe_falls_back_to_the_examples_own_values_where_others_are_invalid(session, made):
    assert session(lookup(made), input_example={"x": [[2.0]]}).probe().batch_invariant


def test_a_model_of_a_fixed_batch_is_answered_and_compared_with_nothing(session, made):
    def fixed(rows):
        shape = (TensorProto.FLOAT, [rows, 1])
        return made.model([helper.make_node("Neg", ["x"], ["y"])], {"x": shape}, {"y": shape})

    one, four = session(fixed(1)).probe(), session(fixed(4)).probe()
    assert (one.batch_invariant, one.batches) == (True, ())
    assert (four.batch_invariant, four.batches) == (False, ())


def test_a_model_that_says_any_batch_and_takes_one_row_is_not_ready(session, made):
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 1])
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    model = made.model([node], {"x": COLUMN}, {"y": COLUMN}, initializers=[shape])
    with pytest.raises(ProbeFailed, match=r"answers one row, but not 2 at once"):
        session(model).probe()


@pytest.mark.parametrize("value", [-1.0, 0.0], ids=["nan", "minus infinity"])
def test_a_model_that_answers_its_example_with_no_number_is_not_ready(session, made, value):
    with pytest.raises(ProbeFailed, match=r'"y" that is not finite'):
        session(made.one_node("Log"), input_example={"x": [[value]]}).probe()


def test_a_model_that_fails_on_its_example_is_not_ready(session, made):
    with pytest.raises(ProbeFailed, match=r"does not answer its example"):
        session(lookup(made), input_example={"x": [[5.0]]}).probe()


def test_an_inline_model_is_probed_before_a_graph_gets_it(folder, made):
    artifact = made.opened(folder(made.one_node("Log"), input_example={"x": [[-1.0]]}))
    with pytest.raises(ProbeFailed):
        InlineModel(artifact)
