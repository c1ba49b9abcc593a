"""What an opened model says of itself, and which files are refused before a runtime sees them."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from onnx import TensorProto, helper

from pointsman.models.artifact import ArtifactRefused, TensorSpec
from pointsman.models.session import OnnxSession

COLUMN = (TensorProto.FLOAT, ["N", 1])


def test_inputs_and_outputs_are_told_with_the_batch_as_minus_one(folder, made):
    artifact = made.opened(folder())
    assert artifact.inputs == tuple(TensorSpec(name=name, dtype="FP32", shape=(-1, 1)) for name in ("amount", "count"))
    assert artifact.outputs == (TensorSpec(name="probability", dtype="FP32", shape=(-1, 1)),)


def test_an_initializer_that_is_listed_as_an_input_is_none(folder, made):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [2.0])
    multiply = helper.make_node("Mul", ["x", "w"], ["y"])
    model = made.model([multiply], {"x": COLUMN, "w": (TensorProto.FLOAT, [1])}, {"y": COLUMN}, initializers=[weight])
    assert [each.name for each in made.opened(folder(model)).inputs] == ["x"]


def test_without_an_example_a_row_of_zeros_stands_in_and_that_is_said(folder, made):
    artifact = made.opened(folder())
    assert not artifact.example_is_given
    assert {name: array.tolist() for name, array in artifact.example.items()} == {"amount": [[0.0]], "count": [[0.0]]}
    text = made.opened(folder(made.one_node("Identity", type_=TensorProto.STRING)))
    assert text.example["x"].tolist() == [[""]]


@pytest.mark.parametrize(
    ("file", "example"),
    [
        ("input_example", {"amount": [[3.0]], "count": [[2.0]]}),
        ("input_example", {"columns": ["count", "amount"], "data": [[2.0, 3.0]]}),
        ("input_example", [{"amount": 3, "count": 2}]),
        ("serving_input_example", {"inputs": {"amount": [[3.0]], "count": [[2.0]]}}),
        ("serving_input_example", {"dataframe_split": {"columns": ["amount", "count"], "data": [[3.0, 2.0]]}}),
        ("serving_input_example", {"dataframe_records": [{"count": 2.0, "amount": 3.0}]}),
    ],
)
def test_an_example_is_read_in_each_layout_that_mlflow_writes(folder, made, file, example):
    artifact = made.opened(folder(mlmodel=made.mlmodel(), **{file: example}))
    assert artifact.example_is_given
    assert {name: array.tolist() for name, array in artifact.example.items()} == {"amount": [[3.0]], "count": [[2.0]]}
    assert {array.dtype for array in artifact.example.values()} == {np.dtype(np.float32)}


def test_the_example_that_the_description_names_is_the_one_taken(folder, made):
    described = made.mlmodel(saved_input_example_info={"artifact_path": "mine.json", "type": "ndarray"})
    place = folder(mlmodel=described, input_example={"amount": [[9.0]], "count": [[9.0]]})
    (place / "mine.json").write_text('{"amount": [[1.0]], "count": [[NaN]]}')
    example = made.opened(place).example
    assert example["amount"].tolist() == [[1.0]]
    assert np.isnan(example["count"]).all()


@pytest.mark.parametrize(
    "example",
    [
        {"amount": [[1.0]]},
        {"amount": [[1.0]], "count": [[1.0]], "more": [[1.0]]},
        {"amount": [[1.0]], "count": [["many"]]},
        {"amount": [[1.0]], "count": [[1.0, 2.0]]},
        {"amount": [[1.0]], "count": [[1.0], [2.0]]},
        {"amount": [], "count": []},
        {"columns": ["amount", "count"], "data": [[1.0]]},
        "{",
        "[" * 5000,
        "null",
    ],
)
def test_an_example_that_does_not_fit_is_refused(folder, made, example):
    with pytest.raises(ArtifactRefused, match=r"an input example .*: (log the model|give all)"):
        made.opened(folder(mlmodel=made.mlmodel(), input_example=example))


def test_a_signature_of_other_names_is_refused(folder, made):
    with pytest.raises(ArtifactRefused, match=r'only the signature or only the ONNX file names, "count", "sum"'):
        made.opened(folder(mlmodel=made.mlmodel(inputs=("amount", "sum"))))


@pytest.mark.parametrize("signature", ["[1]", "{", '"x"', 5, "[" * 5000])
def test_a_signature_that_cannot_be_read_is_refused(folder, made, signature):
    described = made.mlmodel(signature={"inputs": signature})
    with pytest.raises(ArtifactRefused, match=r"a signature that cannot be read"):
        made.opened(folder(mlmodel=described))


def test_a_signature_of_one_tensor_without_a_name_binds_nothing(folder, made):
    signature = {"inputs": json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 1]}}])}
    assert made.opened(folder(made.one_node("Neg"), mlmodel=made.mlmodel(signature=signature)))


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "!!python/object/apply:os.getcwd []", "[" * 5000, "\x00"])
def test_a_description_that_is_not_plain_yaml_is_refused(folder, made, text):
    with pytest.raises(ArtifactRefused, match=r"not YAML|not a mapping"):
        made.opened(folder(mlmodel=text))


@pytest.mark.parametrize("flavor", [{"code": "code"}, {"loader_module": "mine"}, {"loader_module": "mlflowish.evil"}])
def test_a_model_that_brings_python_code_is_refused(folder, made, flavor):
    described = made.mlmodel(flavors={"onnx": {"data": "model.onnx"}, "python_function": flavor})
    with pytest.raises(ArtifactRefused, match=r"Python code of its own.*without code_paths"):
        made.opened(folder(mlmodel=described))


def test_a_pickled_model_is_refused_with_what_to_do(folder, made):
    flavors = {"sklearn": {"pickled_model": "model.pkl"}, "python_function": {"loader_module": "mlflow.sklearn"}}
    place = folder(mlmodel=made.mlmodel(flavors=flavors))
    (place / "model.onnx").rename(place / "model.pkl")
    with pytest.raises(ArtifactRefused, match=r"0 ONNX files \(flavours: python_function, sklearn\).*convert"):
        made.opened(place)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_beside_the_onnx_file_is_digested_and_left_alone(folder, made):
    place = folder()
    before = made.opened(place).digest
    for name in ("model.pkl", "model.joblib", "model.pt"):
        (place / name).write_bytes(pickle.dumps(Bomb()))
    assert made.opened(place).digest != before


@pytest.mark.parametrize("data", ["/etc/passwd", "../model.onnx", "model.ort", "none.onnx", "sub/../../x.onnx", 5])
def test_a_file_name_that_leads_elsewhere_is_refused(folder, made, data):
    place = folder(mlmodel=made.mlmodel(flavors={"onnx": {"data": data}}))
    (place.parent / "model.onnx").write_bytes(b"")
    (place / "model.ort").write_bytes(b"")
    with pytest.raises(ArtifactRefused, match=r"no such \.onnx file in the folder"):
        made.opened(place)


@pytest.mark.parametrize("content", [b"", b"\x00", b"pickled", b"\x08\x09", b"\xff" * 100])
def test_what_is_not_onnx_is_refused(folder, made, content):
    with pytest.raises(ArtifactRefused, match=r"not an ONNX file"):
        made.opened(folder(content))


def external(location, **entries):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    return tensor


def with_weight(made, tensor, *, place="initializer"):
    """A model that multiplies by a weight, which lies in the graph, in a constant, or in a branch's constant."""
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    multiply = helper.make_node("Mul", ["x", "w"], ["y"])
    if place == "initializer":
        return made.model([multiply], {"x": COLUMN}, {"y": COLUMN}, initializers=[tensor])
    if place == "constant":
        return made.model([constant, multiply], {"x": COLUMN}, {"y": COLUMN})
    branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    choose = helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch)
    multiply = helper.make_node("Mul", ["x", "chosen"], ["y"])
    return made.model([choose, multiply], {"x": COLUMN}, {"y": COLUMN}, initializers=[yes])


def test_external_data_inside_the_folder_is_taken(folder, made):
    place = folder(with_weight(made, external("data/weights.bin", offset="4", length="4")))
    (place / "data").mkdir()
    (place / "data" / "weights.bin").write_bytes(np.array([9, 3], dtype="<f4").tobytes())
    answer = OnnxSession(made.opened(place)).infer({"x": np.array([[2.0]], dtype=np.float32)})
    assert answer["y"].tolist() == [[6.0]]


@pytest.mark.parametrize("place", ["initializer", "constant", "branch"])
@pytest.mark.parametrize(
    "tensor",
    [
        external("/etc/passwd"),
        external("../weights.bin"),
        external("data/../../weights.bin"),
        external("none.bin"),
        external("."),
        external(""),
        external(None),
        external("*/_ORT_MEM_ADDR_/*", offset="4096", length="4"),
        external("weights.bin", offset="1", length="4"),
        external("weights.bin", offset="-4", length="4"),
        external("weights.bin", length="9" * 30),
    ],
    ids=lambda each: str({entry.key: entry.value for entry in each.external_data})[:60],
)
def test_external_data_from_elsewhere_is_refused_wherever_it_is_named(folder, made, tensor, place):
    at = folder(with_weight(made, tensor, place=place))
    (at / "weights.bin").write_bytes(b"1234")
    (at.parent / "weights.bin").write_bytes(b"1234")
    with pytest.raises(ArtifactRefused, match=r"external data .*: save the model with its data in one file"):
        made.opened(at)


def test_external_data_of_a_doubtful_name_is_refused_although_the_file_is_there(folder, made):
    place = folder(with_weight(made, external("+/_ORT_MEM_ADDR_/+")))
    (place / "+" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (place / "+" / "_ORT_MEM_ADDR_" / "+").write_bytes(b"1234")
    with pytest.raises(ArtifactRefused, match=r"external data outside"):
        made.opened(place)


@pytest.mark.parametrize(
    "domain", ["custom.ops", "ai.onnx.contrib", "com.microsoft.extensions", "ai.onnx.ml.mine", "com.microsoft"]
)
def test_an_operator_that_the_runtime_does_not_bring_is_refused_by_name(folder, made, domain):
    with pytest.raises(ArtifactRefused, match=f'operator "PyOp" of domain "{domain}".*custom operators are not run'):
        made.opened(folder(made.one_node("PyOp", domain=domain)))


def test_a_custom_operator_inside_a_branch_is_found(folder, made):
    inner = helper.make_node("PyOp", [], ["w"], domain="custom.ops")
    branch = helper.make_graph([inner], "b", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    choose = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    model = made.model([choose], {"x": COLUMN}, {"y": (TensorProto.FLOAT, [1])}, initializers=[yes])
    with pytest.raises(ArtifactRefused, match=r'operator "PyOp"'):
        made.opened(folder(model))


def local_function(operator, domain=""):
    return helper.make_function(
        "local",
        "Mine",
        ["a"],
        ["b"],
        [helper.make_node(operator, ["a"], ["b"], domain=domain)],
        [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])],
    )


def test_a_function_that_the_file_itself_defines_is_run(folder, made):
    call = helper.make_node("Mine", ["x"], ["y"], domain="local")
    model = made.model([call], {"x": COLUMN}, {"y": COLUMN}, domains=["local"], functions=[local_function("Neg")])
    answer = OnnxSession(made.opened(folder(model))).infer({"x": np.array([[2.0]], dtype=np.float32)})
    assert answer["y"].tolist() == [[-2.0]]


def test_a_custom_operator_inside_a_function_is_found(folder, made):
    call = helper.make_node("Mine", ["x"], ["y"], domain="local")
    function = local_function("PyOp", "custom.ops")
    model = made.model([call], {"x": COLUMN}, {"y": COLUMN}, domains=["local"], functions=[function])
    with pytest.raises(ArtifactRefused, match=r'operator "PyOp"'):
        made.opened(folder(model))


def test_an_operator_of_microsofts_that_the_runtime_brings_is_run(folder, made):
    artifact = made.opened(folder(made.one_node("Gelu", domain="com.microsoft")))
    answer = OnnxSession(artifact).infer({"x": np.array([[0.0]], dtype=np.float32)})
    assert answer["y"].tolist() == [[0.0]]


def test_an_operator_that_nobody_knows_is_refused_when_it_is_loaded(folder, made):
    with pytest.raises(ArtifactRefused, match=r"ONNX Runtime does not load it.*convert"):
        OnnxSession(made.opened(folder(made.one_node("NoSuchOperator"))))


def unshaped(made):
    model = made.scorer()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    return model


def map_output(made):
    model = made.scorer()
    model.graph.output[0].type.Clear()
    model.graph.output[0].type.map_type.key_type = TensorProto.INT64
    return model


def many_inputs(made):
    names = [f"x{at}" for at in range(65)]
    return made.model([helper.make_node("Sum", names, ["y"])], dict.fromkeys(names, COLUMN), {"y": COLUMN})


def complex_input(made):
    return made.one_node("Identity", type_=TensorProto.COMPLEX64)


def high_rank(made):
    shape = (TensorProto.FLOAT, [1] * 9)
    return made.model([helper.make_node("Neg", ["x"], ["y"])], {"x": shape}, {"y": shape})


def no_outputs(made):
    model = made.scorer()
    del model.graph.output[:]
    return model


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (unshaped, 'no shape of at most 8 sizes: "amount"'),
        (map_output, 'not a tensor: "probability".*zipmap off'),
        (many_inputs, "65 inputs.*1 to 64"),
        (complex_input, 'a type that is not served, 14: "x"'),
        (high_rank, "no shape of at most 8 sizes"),
        (no_outputs, "0 outputs"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_model_that_could_not_be_asked_is_refused(folder, made, build, words):
    with pytest.raises(ArtifactRefused, match=words):
        made.opened(folder(build(made)))
