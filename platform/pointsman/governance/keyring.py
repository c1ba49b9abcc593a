"""Tells who calls: the keys as a server last read them, at most two seconds old. Both APIs ask it for every request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

import psycopg

from pointsman.governance.access import Permission, may
from pointsman.governance.keys import Key, digest_of

FRESH_SECONDS = 2.0
"""A revoked key opens nothing after this long."""
PATIENCE_SECONDS = 30.0
"""So long the keys that were read last are believed while the store is away."""

KEY_HEADER = "x-pointsman-key"
"""A key may stand here too, for who comes through a proxy that keeps Authorization to itself, as Kubernetes' API server does."""


class NotAllowed(Exception):
    """A request without a key that opens what it asks for. `status` is 401 or 403."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Keyring:
    """The keys of one store. Thread-safe; `read` gives every key by its digest."""

    def __init__(self, read: Callable[[], Mapping[bytes, Key]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._keys: Mapping[bytes, Key] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def is_stale(self) -> bool:
        """Whether `authorise` would ask the store first."""
        return self._clock() - self._read_at > FRESH_SECONDS

    def refresh(self) -> None:
        """Read the keys again where they are stale. Raises psycopg.OperationalError once they are too old to believe."""
        with self._lock:
            if not self.is_stale:
                return
            try:
                self._keys, self._read_at = self._read(), self._clock()
            except psycopg.OperationalError:
                if self._clock() - self._read_at > PATIENCE_SECONDS:
                    raise

    def authorise(self, authorization: str, asked: Permission, now: datetime, *, passed: str = "") -> Key:
        """Whose key it is: that of the header KEY_HEADER (`passed`), else that of Authorization. Raises NotAllowed."""
        scheme, _, text = authorization.partition(" ")
        if not passed and (scheme.lower() != "bearer" or not text):
            raise NotAllowed(401, 'an API key is needed: send "Authorization: Bearer pm_…"')
        key = self._keys.get(digest_of((passed or text).strip()))
        if key is None or not key.is_valid(now):
            raise NotAllowed(401, "the API key is not known, has expired or was revoked")
        if not may(key.role, asked):
            raise NotAllowed(403, f'the key "{key.name}" has the role {key.role.value}, which may not {asked.value}')
        return key
