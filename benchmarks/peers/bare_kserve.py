"""KServe's ModelServer with nothing of ours: `PYTHON bare_kserve.py ONNX PORT`, in KServe's own environment.

What its documentation shows, with its logging of every request switched off.
"""

import logging
import sys
from typing import Any

ONNX, PORT = sys.argv.pop(1), int(sys.argv.pop(1))  # KServe reads the command line when it is imported

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer  # noqa: E402
from kserve.utils.utils import generate_uuid  # noqa: E402


class Trees(Model):  # type: ignore[misc]  # untyped here
    def __init__(self) -> None:
        super().__init__("trees")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(ONNX, options, providers=["CPUExecutionProvider"])
        self.ready = True

    def predict(self, payload: InferRequest, *_: Any, **__: Any) -> InferResponse:
        (scores,) = self._session.run(["probability"], {"features": payload.inputs[0].as_numpy()})
        output = InferOutput("probability", list(scores.shape), "FP32", np.asarray(scores).ravel().tolist())
        return InferResponse(generate_uuid(), self.name, [output])


if __name__ == "__main__":
    server = ModelServer(http_port=PORT, enable_grpc=False, workers=1, enable_latency_logging=False)
    for name in ("kserve.trace", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([Trees()])
