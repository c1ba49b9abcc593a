"""What is drawn for reviewers by a hash: the same each time, whoever asks. Pure."""

from __future__ import annotations

import hashlib


def is_in_share(drawn_by: bytes, share: float) -> bool:
    """Whether these bytes fall into a share from 0 to 1; begin them with what keeps one draw apart from another."""
    return int.from_bytes(hashlib.sha256(drawn_by).digest()[:8], "big") < share * 2**64
