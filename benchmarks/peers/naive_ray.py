"""Ray Serve as one writes it on the first day, with its defaults: `python naive_ray.py ONNX PORT FOLDER`."""

import signal
import sys
from typing import Any

import numpy as np
import onnxruntime as ort
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(max_ongoing_requests=100)
class Trees:
    def __init__(self, onnx: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

    async def __call__(self, request: Request) -> dict[str, Any]:
        given = (await request.json())["inputs"][0]
        rows = np.array(given["data"], dtype=np.float32).reshape(given["shape"])
        (scores,) = self._session.run(["probability"], {"features": rows})
        described = {"name": "probability", "shape": list(scores.shape), "datatype": "FP32"}
        return {"outputs": [{**described, "data": scores.ravel().tolist()}]}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[3])
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Trees.bind(sys.argv[1]), blocking=True)
