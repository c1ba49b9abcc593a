"""The audit sample: which decisions people see although their band is automatic. Pure; hosts, libraries and replays ask it.

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
    """Which decisions are in the sample: each with probability `share`, whatever its score, label or neighbours."""
    if share <= 0:
        return np.zeros(len(decision_ids), dtype=np.bool_)
    salt, sha = SALT + graph_uid.bytes, hashlib.sha256
    hashed = b"".join([sha(salt + id_).digest()[:8] for id_ in decision_ids])
    return (np.frombuffer(hashed, dtype=">u8") >> np.uint64(11)) * 2.0**-53 < share
