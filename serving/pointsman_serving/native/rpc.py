"""Open Inference Protocol v2 over gRPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import structlog

from pointsman import __version__
from pointsman.models.artifact import NUMPY_TYPES
from pointsman.models.session import InvalidInput
from pointsman_serving.native.model import ServedModel, TooLarge, UnknownModel
from pointsman_serving.oip.codec import RANK, TENSORS, InvalidRequest, datatype, from_raw, raw
from pointsman_serving.oip.messages import METHODS, SERVICE, message

log = structlog.get_logger()

MESSAGE_BYTES = 8 * 1024 * 1024
CONTENTS = {
    "BOOL": "bool_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class RpcService:
    """The gRPC face of one served model."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def handler(self) -> grpc.GenericRpcHandler:
        """All methods of the service, for `server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    self._guarded(getattr(self, f"_{name}")),
                    request_deserializer=message(f"{name}Request").FromString,
                    response_serializer=lambda answer: answer.SerializeToString(),
                )
                for name in METHODS
            },
        )

    def _guarded(self, method: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        async def call(request: Any, context: Any) -> Any:
            try:
                return method(request)
            except UnknownModel as error:
                await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
            except (InvalidRequest, InvalidInput, TooLarge) as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except Exception as error:  # noqa: BLE001  the server must live; what we did wrong is logged
                log.error("a call failed", method=method.__name__, error=repr(error))
                await context.abort(grpc.StatusCode.INTERNAL, "the model failed; the server's log says how")

        return call

    def _ServerLive(self, request: Any) -> Any:  # noqa: ARG002, N802
        return message("ServerLiveResponse")(live=True)

    def _ServerReady(self, request: Any) -> Any:  # noqa: ARG002, N802
        return message("ServerReadyResponse")(ready=self._model.ready)

    def _ModelReady(self, request: Any) -> Any:  # noqa: N802
        self._model.check(request.name, request.version)
        return message("ModelReadyResponse")(ready=self._model.ready)

    def _ServerMetadata(self, request: Any) -> Any:  # noqa: ARG002, N802
        return message("ServerMetadataResponse")(name="pointsman-native", version=__version__)

    def _ModelMetadata(self, request: Any) -> Any:  # noqa: N802
        self._model.check(request.name, request.version)
        return message("ModelMetadataResponse")(**self._model.metadata())

    def _ModelInfer(self, request: Any) -> Any:  # noqa: N802
        self._model.check(request.model_name, request.model_version)
        wanted = tuple(each.name for each in request.outputs) or None
        outputs = self._model.infer(_inputs(request), wanted)
        return message("ModelInferResponse")(
            model_name=self._model.name,
            model_version=self._model.version,
            id=request.id,
            outputs=[
                {"name": name, "datatype": datatype(array), "shape": array.shape} for name, array in outputs.items()
            ],
            raw_output_contents=[raw(array) for array in outputs.values()],
        )


def _inputs(request: Any) -> dict[str, npt.NDArray[Any]]:
    if len(request.inputs) > TENSORS:
        raise InvalidRequest(f"inputs: {len(request.inputs)} tensors, at most {TENSORS} are taken")
    raws = request.raw_input_contents
    if raws and len(raws) != len(request.inputs):
        raise InvalidRequest(f"raw_input_contents: {len(raws)} for {len(request.inputs)} inputs")
    found = dict[str, npt.NDArray[Any]]()
    for at, tensor in enumerate(request.inputs):
        place, shape = f"inputs[{at}]", tuple(tensor.shape)
        if tensor.name in found:
            raise InvalidRequest(f'{place}.name: "{tensor.name}" is there twice')
        if tensor.datatype not in NUMPY_TYPES:
            raise InvalidRequest(f"{place}.datatype: {tensor.datatype[:20]!r} is not one of {', '.join(NUMPY_TYPES)}")
        if len(shape) > RANK or any(not 0 <= size < 2**31 for size in shape):
            raise InvalidRequest(f"{place}.shape: at most {RANK} sizes from 0")
        if raws:
            found[tensor.name] = from_raw(raws[at], tensor.datatype, shape, place)
        else:
            found[tensor.name] = _from_contents(tensor, shape, place)
    return found


def _from_contents(tensor: Any, shape: tuple[int, ...], place: str) -> npt.NDArray[Any]:
    if tensor.datatype not in CONTENTS:
        raise InvalidRequest(f"{place}.datatype: {tensor.datatype} goes by raw_input_contents alone")
    values = np.array(list(getattr(tensor.contents, CONTENTS[tensor.datatype])), dtype=NUMPY_TYPES[tensor.datatype])
    if values.size != np.prod(shape, dtype=np.int64):
        raise InvalidRequest(f"{place}.contents: {values.size} elements, the shape {list(shape)} has another number")
    return values.reshape(shape)
