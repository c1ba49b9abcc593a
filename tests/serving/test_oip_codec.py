"""Tensors survive the wire, in JSON and in binary; whatever else arrives is an InvalidRequest that names its place."""

from __future__ import annotations

import math
import struct

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pointsman.models.tensors import NUMPY_TYPES
from pointsman_serving.oip.codec import decode_request, decode_response, encode_request, encode_response
from pointsman_serving.oip.tensors import InvalidRequest

NUMBERS = [np.dtype(type_) for name, type_ in NUMPY_TYPES.items() if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3) | st.just((1,) * 8)
TEXT = hnp.arrays(np.object_, SHAPES, elements=st.text(max_size=5), fill=st.nothing())


def arrays(dtypes=NUMBERS, **elements):
    return st.sampled_from(dtypes).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES, elements=elements or None))


def same(one, other):
    if one.dtype.kind == "O":
        as_text = [each.decode() if isinstance(each, bytes) else each for each in other.ravel().tolist()]
        return one.shape == other.shape and one.ravel().tolist() == as_text
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(st.dictionaries(st.text(min_size=1, max_size=9), arrays() | TEXT, min_size=1, max_size=5))
def test_a_binary_request_comes_back_to_the_bit(inputs):
    body, length = encode_request(inputs)
    request = decode_request(body, str(length))
    assert request.inputs.keys() == inputs.keys()
    assert all(same(array, request.inputs[name]) for name, array in inputs.items())
    assert (request.outputs, request.binary) == (None, None)


@given(st.dictionaries(st.text(min_size=1, max_size=9), arrays() | TEXT, min_size=1, max_size=5), st.data())
def test_an_answer_comes_back_whichever_outputs_are_binary(outputs, data):
    finite = {name: array for name, array in outputs.items() if array.dtype.kind != "f" or np.isfinite(array).all()}
    binary = data.draw(st.sets(st.sampled_from(sorted(finite)))) if finite else set()
    body, length = encode_response(name="m", version="1", id_="7", outputs=finite, binary=binary)
    assert (length is None) == (not binary)
    answer = decode_response(body, None if length is None else str(length))
    assert answer.keys() == finite.keys()
    assert all(same(array, answer[name]) for name, array in finite.items())


@given(arrays() | TEXT)
def test_nested_and_flat_json_mean_the_same(array):
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        array = np.zeros_like(array)
    name = "BYTES" if array.dtype.kind == "O" else next(k for k, v in NUMPY_TYPES.items() if array.dtype == v)
    tensor = {"name": "x", "datatype": name, "shape": array.shape}
    for data in [array.ravel().tolist()] + ([array.tolist()] if array.ndim and array.size else []):
        body = orjson.dumps({"inputs": [tensor | {"data": data}]})
        assert same(array, decode_request(body, None).inputs["x"])


def test_a_strided_array_is_sent_in_the_order_of_its_rows():
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    body, length = encode_request({"x": matrix[:, 1:2], "t": matrix.T})
    inputs = decode_request(body, str(length)).inputs
    assert inputs["x"].tolist() == [[1], [5], [9]]
    assert inputs["t"].tolist() == matrix.T.tolist()


def test_binary_tensors_are_laid_out_as_the_protocol_says():
    body, length = encode_request({"b": np.array([b"ab", "é"], dtype=object), "x": np.array([1, -2], dtype=np.int16)})
    assert orjson.loads(body[:length]) == {
        "inputs": [
            {"name": "b", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 12}},
            {"name": "x", "shape": [2], "datatype": "INT16", "parameters": {"binary_data_size": 4}},
        ],
        "parameters": {"binary_data_output": True},
    }
    assert body[length:] == b"\2\0\0\0ab\2\0\0\0\xc3\xa9" + struct.pack("<hh", 1, -2)


def test_an_array_that_the_protocol_has_no_type_for_is_not_sent():
    with pytest.raises(InvalidRequest, match=r"no datatype stands for complex128"):
        encode_request({"x": np.zeros(1, dtype=complex)})


def decoded(**but):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}
    return decode_request(orjson.dumps({"inputs": [tensor]} | but), None)


@pytest.mark.parametrize(
    ("asked", "outputs", "binary"),
    [
        ({}, None, ()),
        ({"outputs": []}, None, ()),
        ({"parameters": {"binary_data_output": True}}, None, None),
        ({"outputs": [{"name": "a"}, {"name": "b"}]}, ("a", "b"), set()),
        ({"outputs": [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}]}, ("a", "b"), {"a"}),
        (
            {
                "outputs": [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}],
                "parameters": {"binary_data_output": True},
            },
            ("a", "b"),
            {"b"},
        ),
    ],
)
def test_outputs_and_their_form_are_those_asked_for(asked, outputs, binary):
    request = decoded(**asked)
    assert (request.outputs, request.binary) == (outputs, binary)


def test_brackets_in_text_are_not_depth():
    text = ["[" * 40 + "{" * 40 + '\\"[' * 40, "]" * 40]
    assert decoded(inputs=[{"name": "x", "datatype": "BYTES", "shape": [2], "data": text}]).inputs["x"].tolist() == text


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"])
def test_json_may_nest_32_deep_and_no_deeper(wrap):
    value = 1
    for _ in range(31):
        value = wrap(value)
    assert decoded(unknown=value).inputs
    with pytest.raises(InvalidRequest, match=r"nested more than 32 deep"):
        decoded(unknown=wrap(value))
    with pytest.raises(InvalidRequest, match=r"nested more than 32 deep"):
        decoded(before="]" * 99, unknown=wrap(value))


@given(
    st.recursive(st.booleans(), lambda each: st.lists(each) | st.dictionaries(st.text(max_size=3), each), max_leaves=8)
)
def test_depth_is_what_one_would_count(value):
    def depth(each):
        children = each.values() if isinstance(each, dict) else each if isinstance(each, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    from pointsman_serving.oip.codec import _is_deeper

    assert [_is_deeper(orjson.dumps(value), limit) for limit in range(4)] == [
        depth(value) > limit for limit in range(4)
    ]


WORDS = st.sampled_from(
    ["inputs", "outputs", "parameters", "name", "datatype", "shape", "data", "id", "binary_data_size", "binary_data"]
    + ["binary_data_output", "FP32", "INT64", "BYTES", "BOOL", "shared_memory_region", ""]
)
ODD = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-2, 2**63) | st.floats(allow_nan=False, allow_infinity=False),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(WORDS, each, max_size=5),
    max_leaves=20,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | ODD,
        "datatype": st.sampled_from(list(NUMPY_TYPES)) | ODD,
        "shape": st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 2), max_size=9) | ODD,
        "data": st.lists(ODD, max_size=4) | ODD,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 20) | ODD}) | ODD,
    },
)
HEADERS = st.none() | st.text(st.characters(max_codepoint=255), max_size=5) | st.integers(-5, 400).map(str)


def refusals(body, header):
    for decode in (decode_request, decode_response):
        try:
            decode(body, header)
        except InvalidRequest as error:
            yield str(error)


def is_decoded_or_refused(body, header):
    places = ("body", "inputs", "outputs", "request", "id", "Inference-Header-Content-Length")
    assert all(message.startswith(places) for message in refusals(body, header))


@pytest.mark.slow
@given(st.dictionaries(WORDS, ODD | st.lists(TENSOR, max_size=3)), st.binary(max_size=30), st.booleans(), HEADERS)
def test_no_json_makes_anything_but_an_invalid_request(value, tail, right_length, header):
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    is_decoded_or_refused(text + tail, str(len(text)) if right_length else header)


@given(st.integers(0, 200), st.integers(0, 255), HEADERS)
def test_a_damaged_request_is_decoded_or_refused(at, byte, header):
    body, length = encode_request({"x": np.ones((2, 1), np.float32), "t": np.array(["ab", "c"], dtype=object)})
    damaged = bytearray(body)
    damaged[at % len(body)] = byte
    is_decoded_or_refused(bytes(damaged), str(length))
    is_decoded_or_refused(bytes(damaged[: at % len(body)]), str(length))
    is_decoded_or_refused(bytes(damaged), header)


@pytest.mark.parametrize("header", ["²", "+5", "-1", " 5", "5 ", "0x5", "9" * 5000, "5.0", "", "٣"])
def test_a_header_length_that_is_no_plain_number_is_refused(header):
    with pytest.raises(InvalidRequest, match=r"Inference-Header-Content-Length"):
        decode_request(b'{"inputs":[]}', header)


def test_a_shape_whose_size_overflows_is_refused():
    for shape in ([2**31 - 1] * 8, [2**31 - 1, 0, 2**31 - 1, 2**31 - 1], [2**16] * 4):
        with pytest.raises(InvalidRequest):
            decoded(inputs=[{"name": "x", "datatype": "FP32", "shape": shape, "data": []}])
    assert math.prod([2**16] * 4) == 2**64


@pytest.mark.parametrize(
    ("type_", "data", "words"),
    [
        ("INT8", [128], "out of the range of INT8"),
        ("UINT8", [-1], "out of the range of UINT8"),
        ("INT64", [2**63], "out of the range of INT64"),
        ("FP32", [1e300], "out of the range of FP32"),
        ("FP16", [70000], "out of the range of FP16"),
        ("INT32", [1.0], "not all of INT32"),
        ("INT32", [True], "not all of INT32"),
        ("FP32", [True], "not all of FP32"),
        ("FP32", ["1"], "not all of FP32"),
        ("FP32", [{}], "not all of FP32"),
        ("BOOL", [1], "not all of BOOL"),
        ("BYTES", [1], "not all of BYTES"),
        ("FP32", [[1.0], 2.0], "not regular"),
        ("FP32", [None], "not all of FP32"),
        ("FP32", {"a": 1}, "a list is needed"),
        ("FP32", [], "0 elements"),
        ("FP32", [1.0, 2.0], "2 elements"),
        ("FP32", [[1.0]], r"nested as \[1, 1\], the shape is \[1\]"),
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused(type_, data, words):
    with pytest.raises(InvalidRequest, match=words):
        decoded(inputs=[{"name": "x", "datatype": type_, "shape": [1], "data": data}])
