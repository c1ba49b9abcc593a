"""The gRPC messages of Open Inference Protocol v2 (package `inference`), in a descriptor pool of our own.

Other libraries register the same names in the process-wide pool, which can hold them only once; a private pool lets
anybody's client be imported beside this server. Field numbers are the published protocol's. The native server's gRPC
side reads and writes these.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
SERVICE = "inference.GRPCInferenceService"

_SCALARS = {
    "bool": _F.TYPE_BOOL,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "uint64": _F.TYPE_UINT64,
    "float": _F.TYPE_FLOAT,
    "double": _F.TYPE_DOUBLE,
}

# message → (field number, name, type); `*` marks a repeated field, `{}` a map from string to InferParameter.
_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ((1, "live", "bool"),),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ((1, "ready", "bool"),),
    "ModelReadyRequest": ((1, "name", "string"), (2, "version", "string")),
    "ModelReadyResponse": ((1, "ready", "bool"),),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ((1, "name", "string"), (2, "version", "string"), (3, "extensions", "*string")),
    "ModelMetadataRequest": ((1, "name", "string"), (2, "version", "string")),
    "TensorMetadata": ((1, "name", "string"), (2, "datatype", "string"), (3, "shape", "*int64")),
    "ModelMetadataResponse": (
        (1, "name", "string"),
        (2, "versions", "*string"),
        (3, "platform", "string"),
        (4, "inputs", "*TensorMetadata"),
        (5, "outputs", "*TensorMetadata"),
    ),
    "InferParameter": (
        (1, "bool_param", "bool"),
        (2, "int64_param", "int64"),
        (3, "string_param", "string"),
        (4, "double_param", "double"),
        (5, "uint64_param", "uint64"),
    ),
    "InferTensorContents": (
        (1, "bool_contents", "*bool"),
        (2, "int_contents", "*int32"),
        (3, "int64_contents", "*int64"),
        (4, "uint_contents", "*uint32"),
        (5, "uint64_contents", "*uint64"),
        (6, "fp32_contents", "*float"),
        (7, "fp64_contents", "*double"),
        (8, "bytes_contents", "*bytes"),
    ),
    "InferInputTensor": (
        (1, "name", "string"),
        (2, "datatype", "string"),
        (3, "shape", "*int64"),
        (4, "parameters", "{}"),
        (5, "contents", "InferTensorContents"),
    ),
    "InferRequestedOutputTensor": ((1, "name", "string"), (2, "parameters", "{}")),
    "ModelInferRequest": (
        (1, "model_name", "string"),
        (2, "model_version", "string"),
        (3, "id", "string"),
        (4, "parameters", "{}"),
        (5, "inputs", "*InferInputTensor"),
        (6, "outputs", "*InferRequestedOutputTensor"),
        (7, "raw_input_contents", "*bytes"),
    ),
    "InferOutputTensor": (
        (1, "name", "string"),
        (2, "datatype", "string"),
        (3, "shape", "*int64"),
        (4, "parameters", "{}"),
        (5, "contents", "InferTensorContents"),
    ),
    "ModelInferResponse": (
        (1, "model_name", "string"),
        (2, "model_version", "string"),
        (3, "id", "string"),
        (4, "parameters", "{}"),
        (5, "outputs", "*InferOutputTensor"),
        (6, "raw_output_contents", "*bytes"),
    ),
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="pointsman/oip.proto", package="inference", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "InferParameter":
            message.oneof_decl.add(name="parameter_choice")
        for number, field, type_ in fields:
            _add_field(message, number, field, type_, in_oneof=name == "InferParameter")
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, number: int, name: str, type_: str, *, in_oneof: bool) -> None:
    repeated = type_.startswith("*") or type_ == "{}"
    field = message.field.add(name=name, number=number, label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL)
    base = type_.removeprefix("*")
    if type_ == "{}":
        entry = message.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _add_field(entry, 1, "key", "string", in_oneof=False)
        _add_field(entry, 2, "value", "InferParameter", in_oneof=False)
        field.type, field.type_name = _F.TYPE_MESSAGE, f".inference.{message.name}.ParametersEntry"
    elif base in _SCALARS:
        field.type = _SCALARS[base]
    else:
        field.type, field.type_name = _F.TYPE_MESSAGE, f".inference.{base}"
    if in_oneof:
        field.oneof_index = 0


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(_file().SerializeToString())
_classes = message_factory.GetMessageClassesForFiles(["pointsman/oip.proto"], _pool)


def message(name: str) -> Any:
    """The class of a message, by its name in the protocol."""
    return _classes[f"inference.{name}"]


METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
"""The service's methods; each takes `<method>Request` and returns `<method>Response`."""
