"""Our gRPC messages are those of everybody else, and live beside them in one process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pointsman_serving.oip.messages import METHODS, message

TRITON = "import tritonclient.grpc"
OURS = "from pointsman_serving.oip.messages import message; message('ModelInferRequest')(model_name='m')"


@pytest.mark.slow
@pytest.mark.parametrize("order", [(TRITON, OURS), (OURS, TRITON)], ids=["theirs first", "ours first"])
def test_a_client_library_can_be_imported_in_the_same_process(order):
    done = subprocess.run([sys.executable, "-c", "\n".join(order)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def described(type_):
    """Field name → number, type, whether repeated, and the same of the messages in it."""
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            described(field.message_type) if field.message_type else None,
        )
        for field in type_.fields
    }


def test_every_field_is_one_of_the_published_protocol():
    from tritonclient.grpc import service_pb2

    def is_part_of(ours, theirs):
        assert ours.keys() <= theirs.keys()
        for name, (number, kind, repeated, inner) in ours.items():
            assert (number, kind, repeated) == theirs[name][:3], name
            if inner is not None:
                is_part_of(inner, theirs[name][3])

    for method in METHODS:
        for name in (f"{method}Request", f"{method}Response"):
            is_part_of(described(message(name).DESCRIPTOR), described(getattr(service_pb2, name).DESCRIPTOR))


def test_our_bytes_are_read_by_others_and_theirs_by_us():
    from tritonclient.grpc import service_pb2

    ours = message("ModelInferRequest")(
        model_name="m",
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1.5, 2.5]}}],
        raw_input_contents=[b"ab"],
    )
    ours.parameters["p"].double_param = 0.5
    theirs = service_pb2.ModelInferRequest.FromString(ours.SerializeToString())
    assert theirs.inputs[0].contents.fp32_contents[:] == [1.5, 2.5]
    assert theirs.parameters["p"].double_param == 0.5
    assert message("ModelInferRequest").FromString(theirs.SerializeToString()) == ours
