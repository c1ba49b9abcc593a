"""Run in KServe's environment: one inference by KServe's own client, arrays in and out by files.

PROTOCOL ADDRESS MODEL FOLDER HEALTH, with FOLDER/inputs.npz; writes FOLDER/outputs.npz. Asks for health too where HEALTH is 1.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np

protocol, address, model, folder, health = sys.argv[1:]
del sys.argv[1:]  # KServe reads the command line when it is imported

from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig  # noqa: E402

DATATYPES = {"float32": "FP32", "int64": "INT64"}


async def main() -> None:
    inputs = []
    with np.load(Path(folder) / "inputs.npz") as given:
        for name, array in given.items():
            tensor = InferInput(name, list(array.shape), DATATYPES[str(array.dtype)])
            tensor.set_data_from_numpy(array, binary_data=True)
            inputs.append(tensor)
    asked = InferRequest(model_name=model, infer_inputs=inputs, request_id="1", parameters={"binary_data_output": True})
    if protocol == "grpc":
        asked.parameters = {}
        client = InferenceGRPCClient(address)
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(model)
        answer = await client.infer(asked)
    else:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        base = f"http://{address}"
        if health == "1":
            assert await client.is_server_live(base)
            assert await client.is_server_ready(base)
            assert await client.is_model_ready(base, model)
        answer = await client.infer(base, asked, model_name=model)
    np.savez(Path(folder) / "outputs.npz", **{each.name: each.as_numpy() for each in answer.outputs})
    await client.close()


asyncio.run(main())
