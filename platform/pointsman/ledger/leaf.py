"""A ledger leaf: the salted commitment to a stored body.

leaf = SHA-256(0x00 ‖ salt ‖ SHA-256(body)). The 0x00 is RFC 6962's prefix of a leaf, which keeps it apart from an inner
node. Salts are kept beside the ledger and not in it: a body and its salt can be erased and every proof still holds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

SALT_BYTES = 16
EMPTY_ROOT = bytes(32)


def salts(count: int) -> list[bytes]:
    """`count` fresh salts from the system's random source."""
    drawn = os.urandom(SALT_BYTES * count)
    return [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]


def leaf(salt: bytes, body: bytes) -> bytes:
    """The leaf that commits to `body`; the stored bytes are hashed as they are, never canonicalised again."""
    return hashlib.sha256(b"\x00" + salt + hashlib.sha256(body).digest()).digest()


def chain(root: bytes, leaves: Sequence[bytes]) -> bytes:
    """The head of the chain after `leaves` were appended to one with head `root`: h' = SHA-256(0x01 ‖ h ‖ leaf)."""
    for each in leaves:
        root = hashlib.sha256(b"\x01" + root + each).digest()
    return root
