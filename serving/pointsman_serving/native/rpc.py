"""Open Inference Protocol v2 over gRPC: the same model and the same refusals as over HTTP, in gRPC's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy.typing as npt
import structlog
from google.protobuf.message import DecodeError

from pointsman import __version__
from pointsman_serving.native.model import THE_CALLERS, NotReady, ServedModel, UnknownModel
from pointsman_serving.oip.messages import METHODS, SERVICE, message
from pointsman_serving.oip.tensors import (
    RANK,
    TENSORS,
    InvalidRequest,
    datatype,
    dtype_of,
    from_list,
    from_raw,
    raw,
    refuse_unhonoured,
)

log = structlog.get_logger()

MESSAGE_BYTES = 8 * 1024 * 1024
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where a tensor that is not raw lies, by its datatype."""


class RpcService:
    """The gRPC face of one served model."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._methods: dict[str, Callable[[Any], Any]] = {
            "ServerLive": lambda _: message("ServerLiveResponse")(live=True),
            "ServerReady": lambda _: message("ServerReadyResponse")(ready=model.ready),
            "ServerMetadata": lambda _: message("ServerMetadataResponse")(name="pointsman-native", version=__version__),
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }

    def handler(self) -> grpc.GenericRpcHandler:
        """All methods of the service, for `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            SERVICE, {name: grpc.unary_unary_rpc_method_handler(self._guarded(name)) for name in METHODS}
        )

    def _guarded(self, name: str) -> Callable[[bytes, Any], Any]:
        """Bytes in, bytes out: gRPC itself would call a message that cannot be parsed an internal error."""
        method, parse = self._methods[name], message(f"{name}Request").FromString

        async def call(body: bytes, context: Any) -> Any:
            try:
                answer: bytes = method(parse(body)).SerializeToString()
            except Exception as error:  # noqa: BLE001  the server must live; what it did wrong itself is logged
                await context.abort(*_status(error, name))
            return answer

        return call

    def _model_ready(self, request: Any) -> Any:
        self._model.check(request.name, request.version)
        return message("ModelReadyResponse")(ready=self._model.ready)

    def _model_metadata(self, request: Any) -> Any:
        self._model.check(request.name, request.version)
        return message("ModelMetadataResponse")(**self._model.loaded.metadata)

    def _model_infer(self, request: Any) -> Any:
        self._model.check(request.model_name, request.model_version)
        with self._model.counted("grpc"):
            refuse_unhonoured(request.parameters, "request.parameters")
            outputs = self._model.infer(_inputs(request), _wanted(request))
            return message("ModelInferResponse")(
                model_name=self._model.name,
                model_version=self._model.version,
                id=request.id,
                outputs=[
                    {"name": name, "datatype": datatype(array), "shape": array.shape} for name, array in outputs.items()
                ],
                raw_output_contents=[raw(array) for array in outputs.values()],
            )


def _status(error: Exception, method: str) -> tuple[grpc.StatusCode, str]:
    match error:
        case UnknownModel():
            return grpc.StatusCode.NOT_FOUND, str(error)
        case NotReady():
            return grpc.StatusCode.UNAVAILABLE, str(error)
        case DecodeError():
            return grpc.StatusCode.INVALID_ARGUMENT, f"the message is not a {method}Request"
        case MemoryError():
            log.error("no memory for a call", method=method, error=str(error))
            return grpc.StatusCode.UNAVAILABLE, "there is no memory for this request now"
        case _ if isinstance(error, THE_CALLERS):
            return grpc.StatusCode.INVALID_ARGUMENT, str(error)
    log.error("a call failed", method=method, exc_info=error)
    return grpc.StatusCode.INTERNAL, "the server failed; its log says how"


def _inputs(request: Any) -> dict[str, npt.NDArray[Any]]:
    if not 1 <= len(request.inputs) <= TENSORS:
        raise InvalidRequest(f"inputs: {len(request.inputs)} tensors, 1 to {TENSORS} are taken")
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise InvalidRequest(f"raw_input_contents: {len(raws)} for {len(request.inputs)} inputs")
    found = dict[str, npt.NDArray[Any]]()
    for at, tensor in enumerate(request.inputs):
        place, shape = f"inputs[{at}]", tuple(tensor.shape)
        if tensor.name in found:
            raise InvalidRequest(f'{place}.name: "{tensor.name[:64]}" is there twice')
        refuse_unhonoured(tensor.parameters, f"{place}.parameters")
        dtype = dtype_of(tensor.datatype, place)
        if len(shape) > RANK or any(not 0 <= size < 2**31 for size in shape):
            raise InvalidRequest(f"{place}.shape: at most {RANK} sizes from 0")
        if not raws:
            found[tensor.name] = _from_contents(tensor, dtype, shape, place)
        elif tensor.HasField("contents"):
            raise InvalidRequest(f"{place}.contents: they are there beside raw_input_contents")
        else:
            found[tensor.name] = from_raw(raws[at], dtype, shape, place)
    return found


def _from_contents(tensor: Any, dtype: Any, shape: tuple[int, ...], place: str) -> npt.NDArray[Any]:
    kept = CONTENTS.get(tensor.datatype)
    if kept is None:
        raise InvalidRequest(f"{place}.datatype: {tensor.datatype} goes by raw_input_contents alone")
    odd = [field.name for field, _ in tensor.contents.ListFields() if field.name != kept]
    if odd:
        raise InvalidRequest(f"{place}.contents.{odd[0]}: {tensor.datatype} goes by {kept}")
    return from_list(list(getattr(tensor.contents, kept)), dtype, shape, f"{place}.contents")


def _wanted(request: Any) -> tuple[str, ...] | None:
    names = [each.name for each in request.outputs]
    for at, each in enumerate(request.outputs):
        refuse_unhonoured(each.parameters, f"outputs[{at}].parameters")
    if len(set(names)) != len(names) or len(names) > TENSORS:
        raise InvalidRequest(f"outputs: a name is there twice, or there are more than {TENSORS}")
    return tuple(names) or None
