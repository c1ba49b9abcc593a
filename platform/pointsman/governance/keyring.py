"""Tells who calls, and whether they may: keys and policies as a server last read them, at most two seconds old. Both APIs
ask it for every request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from pointsman.governance import policy_store
from pointsman.governance.access import Permission
from pointsman.governance.keys import Key, all_keys, digest_of
from pointsman.governance.policies import Asked, Policies, PolicyRefused, policies_of, refusal

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


@dataclass(frozen=True, kw_only=True)
class Known:
    """Every key by its digest, and the policies in force."""

    keys: Mapping[bytes, Key]
    policies: Policies


def known(connection: psycopg.Connection[TupleRow]) -> Known:
    """Keys and policies as they stand in the store. Raises PolicyRefused where this release cannot read the policies."""
    return Known(keys=all_keys(connection), policies=policies_of(policy_store.text(connection)))


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, and about which graph; None where it is about the platform."""

    key: Key
    policies: Policies
    graph: str | None = None

    @property
    def subject(self) -> str:
        return self.key.subject

    def may(self, permission: Permission, *, mine: bool | None = None) -> bool:
        """Whether they may do that too; `mine` is said of a case."""
        return self.policies.rule(self._asked(permission, mine)).allowed

    def check(self, permission: Permission) -> None:
        """Raises NotAllowed where they may not."""
        asked = self._asked(permission, None)
        ruling = self.policies.rule(asked)
        if not ruling.allowed:
            raise NotAllowed(
                403, f'the key "{self.key.name}" has the role {asked.role.value}, which {refusal(asked, ruling)}'
            )

    def _asked(self, permission: Permission, mine: bool | None) -> Asked:
        return Asked(subject=self.subject, role=self.key.role, permission=permission, graph=self.graph, mine=mine)


class Keyring:
    """Keys and policies of one store. Thread-safe; `read` gives them anew."""

    def __init__(self, read: Callable[[], Known], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._known = Known(keys={}, policies=policies_of(None))
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def is_stale(self) -> bool:
        """Whether `authorise` would ask the store first."""
        return self._clock() - self._read_at > FRESH_SECONDS

    def refresh(self) -> None:
        """Read keys and policies again where they are stale. Once they are too old to believe, raises what keeps them from
        being read: psycopg.OperationalError or PolicyRefused.
        """
        with self._lock:
            if not self.is_stale:
                return
            try:
                self._known, self._read_at = self._read(), self._clock()
            except (psycopg.OperationalError, PolicyRefused):
                if self._clock() - self._read_at > PATIENCE_SECONDS:
                    raise

    def identify(self, authorization: str, now: datetime, *, passed: str = "") -> Key:
        """Whose key it is: that of the header KEY_HEADER (`passed`), else that of Authorization. Raises NotAllowed."""
        scheme, _, text = authorization.partition(" ")
        if not passed and (scheme.lower() != "bearer" or not text):
            raise NotAllowed(401, 'an API key is needed: send "Authorization: Bearer pm_…"')
        key = self._known.keys.get(digest_of((passed or text).strip()))
        if key is None or not key.is_valid(now):
            raise NotAllowed(401, "the API key is not known, has expired or was revoked")
        return key

    def caller(self, key: Key, graph: str | None) -> Caller:
        """Who holds the key, asking about a graph, under the policies in force."""
        return Caller(key=key, policies=self._known.policies, graph=graph)
