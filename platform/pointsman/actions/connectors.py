"""The HTTP connector of one target: sends an operation, reads its outcome back, and says what is certain about either.

No redirects, no cookies, no proxies from the environment. What goes wrong is sorted into what surely never left and
what may have arrived; a message never holds a header or a value.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from pointsman.actions.addresses import Address
from pointsman.actions.effects import Answered, Evidence, NeverLeft, NoAnswer, ReadFailed, ReadValue, Unsendable
from pointsman.actions.requests import CannotRender, Rendered, field_text, render, render_read_back
from pointsman.actions.secrets import SecretUnusable, read_secret
from pointsman.actions.wire import Answer, Lost, NotSent, Wire
from pointsman.api.action_target import ActionTarget
from pointsman.api.meta import SecretKeyRef
from pointsman.api.reasons import Reason

SECRET_KEPT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one call brought: the evidence, and what of it is kept in the record."""

    evidence: Evidence
    http_status: int | None = None
    elapsed_ms: float = 0.0
    message: str | None = None
    value: str | None = None


class HttpConnector:
    """Calls one registered target, at the address that was found last. Use from one event loop."""

    def __init__(self, target: ActionTarget, address: Address, secrets: Path | None) -> None:
        self.target = target
        self._secrets = secrets
        self._read = dict[tuple[str, str], tuple[float, str]]()
        self._timeout = target.spec.timeout.seconds
        # A kept connection may close as a request goes out, and then nobody knows whether it arrived. Where that would
        # trouble a person, every request has a connection of its own.
        self._wire = Wire(address, keep=target.spec.idempotency.type != "None")

    def close(self) -> None:
        """Close all connections; no call may be under way."""
        self._wire.close()

    def move(self, address: Address) -> None:
        """Call it there from now on; what is under way ends where it began."""
        self._wire.move(address)

    def fault(self) -> Reason | None:
        """What keeps us from calling the target at all."""
        auth = self.target.spec.auth
        if auth is not None and auth.type in {"OAuth2", "MutualTLS"}:
            return Reason.NotHonouredHere
        try:
            self._credentials(b"")
        except SecretUnusable:
            return Reason.SecretNotFound
        return None

    async def send(self, operation: str, parameters: Mapping[str, Any], key: str) -> Seen:
        """Send the operation's request once; `key` goes with it where the target honours one."""
        found = self.target.spec.operation(operation)
        if found is None:
            return Seen(evidence=Unsendable(reason=Reason.OperationNotFound))
        try:
            rendered = render(found.request, parameters)
            headers = self._credentials(rendered.body or b"")
        except CannotRender as error:
            return Seen(evidence=Unsendable(), message=str(error))
        except SecretUnusable as error:
            return Seen(evidence=NeverLeft(reason=Reason.SecretNotFound), message=str(error))
        if self.target.spec.idempotency.type == "Key":
            headers[self.target.spec.idempotency.header] = key
        started = time.monotonic()
        evidence: Evidence
        status = message = None
        try:
            answer = await self._exchange(rendered, headers)
            status = answer.status
            evidence = Answered(status=status, retry_after=_retry_after(answer.retry_after))
        except NotSent as error:
            evidence, message = NeverLeft(), str(error)
        except Lost as error:
            reason = Reason.TargetTimeout if error.timed_out else Reason.TargetError
            evidence, message = NoAnswer(reason=reason), str(error)
        return Seen(evidence=evidence, http_status=status, elapsed_ms=_since(started), message=message)

    async def read_back(self, operation: str, parameters: Mapping[str, Any]) -> Seen:
        """Read the field that shows the operation's effect."""
        found = self.target.spec.operation(operation)
        if found is None or found.read_back is None:
            return Seen(evidence=ReadFailed(reason=Reason.OperationNotFound))
        try:
            rendered, expected = render_read_back(found.read_back, parameters)
            headers = self._credentials(b"")
        except (CannotRender, SecretUnusable) as error:
            return Seen(evidence=ReadFailed(), message=str(error))
        started = time.monotonic()
        try:
            answer = await self._exchange(rendered, headers)
        except NotSent as error:
            failed = ReadFailed(reason=Reason.TargetUnreachable)
            return Seen(evidence=failed, elapsed_ms=_since(started), message=str(error))
        except Lost as error:
            failed = ReadFailed(reason=Reason.TargetTimeout if error.timed_out else Reason.TargetError)
            return Seen(evidence=failed, elapsed_ms=_since(started), message=str(error))
        if answer.status != 200:
            return Seen(evidence=ReadFailed(), http_status=answer.status, elapsed_ms=_since(started))
        value = field_text(answer.body, found.read_back.field)
        return Seen(
            evidence=ReadValue(shows_effect=value is not None and value == expected),
            http_status=answer.status,
            elapsed_ms=_since(started),
            value=None if value is None else value[:128],
        )

    async def _exchange(self, rendered: Rendered, headers: dict[str, str]) -> Answer:
        if rendered.body is not None:
            headers["Content-Type"] = "application/json"
        named = [("Accept", "application/json"), ("User-Agent", "pointsman"), *headers.items()]
        return await self._wire.exchange(rendered.method, rendered.path, named, rendered.body or b"", self._timeout)

    def _credentials(self, body: bytes) -> dict[str, str]:
        """The headers that prove who we are."""
        auth = self.target.spec.auth
        if auth is None:
            return {}
        if auth.bearer is not None:
            return {"Authorization": f"Bearer {self._secret(auth.bearer.secret_key_ref)}"}
        if auth.basic is not None:
            pair = f"{auth.basic.username}:{self._secret(auth.basic.password.secret_key_ref)}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        if auth.api_key is not None:
            return {auth.api_key.header: self._secret(auth.api_key.secret_key_ref)}
        if auth.hmac is not None:
            signing = self._secret(auth.hmac.secret_key_ref).encode()
            return {auth.hmac.header: hmac.new(signing, body, hashlib.sha256).hexdigest()}
        raise SecretUnusable(f"credentials of type {auth.type} are not supported here")

    def _secret(self, ref: SecretKeyRef) -> str:
        """Read again after a second, so that a rotated secret is used and a busy target costs no file a call."""
        known = self._read.get((ref.name, ref.key))
        if known is not None and time.monotonic() - known[0] < SECRET_KEPT_SECONDS:
            return known[1]
        value = read_secret(ref.name, ref.key, self._secrets)
        self._read[ref.name, ref.key] = (time.monotonic(), value)
        return value


def _retry_after(value: str | None) -> timedelta | None:
    """The header's seconds or date; None where there is none or it cannot be read."""
    if value is None:
        return None
    if value.isascii() and value.isdigit() and len(value) <= 9:
        return timedelta(seconds=int(value))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(at.astimezone(UTC) - datetime.now(UTC), timedelta(0)) if at.tzinfo else None


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)
