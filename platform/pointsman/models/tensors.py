"""What a model takes and gives, in Open Inference Protocol's words. Used wherever tensors cross a boundary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUMPY_TYPES: dict[str, npt.DTypeLike] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
"""The protocol's datatypes that are served, as NumPy's. BYTES are object arrays of str or bytes."""


class ArtifactRefused(Exception):
    """A model folder that will not be opened: what, where, what to do."""


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A tensor by name, datatype, and shape; -1 stands for a size that a request chooses, such as the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]
