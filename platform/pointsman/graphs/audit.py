"""The samples: which decisions people see although they do not decide them. Pure; hosts, libraries and replays ask it.

A decision is drawn by a hash of its id, so that whoever decides it again draws it again, and nobody draws until it suits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt

SALT = b"pointsman/audit/sample\0"
"""With the graph's uid behind it: keeps the draw apart from whatever else is drawn by a decision's hash"""


def drawn(graph_uid: UUID, decision_ids: Sequence[bytes], share: float) -> npt.NDArray[np.bool_]:
    """Which decisions are in a sample: each with probability `share`, whatever its score, label or neighbours."""
    return draws(graph_uid, decision_ids) < share


def draws(graph_uid: UUID, decision_ids: Sequence[bytes]) -> npt.NDArray[np.float64]:
    """A number of each decision, uniform from 0 to below 1: those below a share are in the sample of that share."""
    salt, sha = SALT + graph_uid.bytes, hashlib.sha256
    hashed = b"".join([sha(salt + id_).digest()[:8] for id_ in decision_ids])
    uniform: npt.NDArray[np.float64] = (np.frombuffer(hashed, dtype=">u8") >> np.uint64(11)).astype(np.float64)
    return uniform * 2.0**-53
