"""The model in KServe's `ModelServer`: an ONNX file in ONNX Runtime on the CPU, inputs and outputs by name.

This file runs in KServe's own environment, where nothing of ours can be imported; the starter names it one file of settings.
KServe listens on every address and lets any caller unload a model: here it listens where it is told, and unloads nothing.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from typing import Any
from uuid import uuid4

SETTINGS = Path(sys.argv.pop(1)) if __name__ == "__main__" else Path()
"""Taken away before KServe, which reads the command line when it is imported, sees it."""

import grpc.aio  # noqa: E402
import kserve.model_server  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # noqa: E402
from kserve.errors import InvalidInput  # noqa: E402
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as rpc  # noqa: E402
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor  # noqa: E402
from kserve.protocol.grpc.server import GRPCServer  # noqa: E402
from kserve.protocol.grpc.servicer import InferenceServicer  # noqa: E402
from kserve.protocol.model_repository_extension import ModelRepositoryExtension  # noqa: E402
from kserve.protocol.rest.server import RESTServer  # noqa: E402

FATAL = 4
GRACE_SECONDS = 8


class OnnxModel(Model):  # type: ignore[misc]  # untyped here
    """One ONNX file under a name. It refuses what does not fit the model's inputs; KServe itself looks at nothing."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings["name"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(settings["onnx"], options, providers=["CPUExecutionProvider"])
        self._inputs, self._outputs = settings["inputs"], settings["outputs"]
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        return list(self._inputs)

    def get_output_types(self) -> list[dict[str, Any]]:
        return list(self._outputs)

    def predict(self, payload: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(payload, InferRequest):
            raise InvalidInput("Open Inference Protocol v2 is spoken here, at /v2/models")
        feed = self._feed(payload)
        names = [each["name"] for each in self._outputs]
        try:
            answers = self._session.run(names, feed)
        except Exception as error:  # ONNX Runtime's errors have no common base
            said = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise InvalidInput(f"the model does not take these values: {said}") from error
        outputs = [_output(each, array) for each, array in zip(self._outputs, answers, strict=True)]
        return InferResponse(
            response_id=payload.id or str(uuid4()),  # KServe itself cannot write an answer in JSON without one
            model_name=self.name,
            infer_outputs=outputs,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    def _feed(self, payload: Any) -> dict[str, Any]:
        given = {each.name: each for each in payload.inputs}
        wanted = {each["name"] for each in self._inputs}
        if given.keys() != wanted:
            odd = ", ".join(f'"{str(name)[:64]}"' for name in sorted(given.keys() ^ wanted))
            raise InvalidInput(f"inputs: missing, or not of this model: {odd[:1000]}")
        return {each["name"]: _input(each, given[each["name"]]) for each in self._inputs}


def _input(described: Mapping[str, Any], given: Any) -> Any:
    name, shape = described["name"], described["shape"]
    if given.datatype != described["datatype"]:
        raise InvalidInput(f'input "{name}": it is {given.datatype}, the model takes {described["datatype"]}')
    try:
        array = given.as_numpy()
    except (ValueError, TypeError) as error:
        raise InvalidInput(f'input "{name}": its data do not fit its shape and datatype') from error
    fits = all(wanted in (-1, size) for wanted, size in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or not fits:
        raise InvalidInput(f'input "{name}": its shape is {list(array.shape)}, the model takes {shape}')
    if array.dtype != np.object_:
        return array
    try:
        text = [each.decode() if isinstance(each, bytes) else str(each) for each in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f'input "{name}": it is not UTF-8') from error
    return np.array(text, dtype=np.object_).reshape(array.shape)


def _output(described: Mapping[str, Any], array: Any) -> Any:
    output = InferOutput(name=described["name"], shape=list(array.shape), datatype=described["datatype"])
    output.set_data_from_numpy(np.ascontiguousarray(array), binary_data=True)  # its gRPC fails on arrays as they are
    return output


class Unchangeable(ModelRepositoryExtension):  # type: ignore[misc]  # untyped here
    """The repository's interface, closed: the pinned model is served and no other."""

    async def load(self, model_name: str) -> None:
        raise NotImplementedError("models are neither loaded nor unloaded here")

    async def unload(self, model_name: str) -> None:
        raise NotImplementedError("models are neither loaded nor unloaded here")


def _listen_on(host: str) -> None:
    """KServe has no setting for its address."""

    class Rest(RESTServer):  # type: ignore[misc]  # untyped here
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            self.config.host = host

    class Grpc(GRPCServer):  # type: ignore[misc]  # untyped here
        async def start(self, max_workers: int) -> None:
            limits = ("grpc_max_send_message_length", "grpc_max_receive_message_length")
            self._server = grpc.aio.server(
                futures.ThreadPoolExecutor(max_workers=max_workers),
                interceptors=(ExceptionToStatusInterceptor(),),
                options=[(name.replace("_", ".", 1), self._kwargs[name]) for name in limits],
            )
            servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
            rpc.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
            self._server.add_insecure_port(f"{host}:{self._port}")
            await self._server.start()
            await self._server.wait_for_termination()

    kserve.model_server.RESTServer = Rest
    kserve.model_server.GRPCServer = Grpc


def main() -> None:
    """Serve until SIGTERM."""
    settings = json.loads(SETTINGS.read_text())
    _listen_on(settings["host"])
    server = ModelServer(
        http_port=settings["http_port"],
        grpc_port=settings["grpc_port"],
        workers=1,
        enable_latency_logging=False,
        grace_period=GRACE_SECONDS,
    )
    for name in ("kserve.trace", "uvicorn.access"):  # three lines a request
        logging.getLogger(name).setLevel(logging.WARNING)
    server.model_repository_extension = Unchangeable(model_registry=server.registered_models)
    server.start([OnnxModel(settings)])


if __name__ == "__main__":
    main()
