"""Sends a stream of events to a graph's ingress in order, as fast as it answers or at a fixed rate, and takes the time."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx2
import numpy as np

RETRY_SECONDS = 0.5
PATIENCE_SECONDS = 120.0


class StreamRefused(Exception):
    """The ingress refuses the stream; sending again would not help."""


@dataclass
class Sent:
    """What was sent, what became of it, and how long each event waited for its durable answer."""

    received: int = 0
    decided: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    retries: int = 0
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.received / self.seconds if self.seconds else 0.0

    def wait_milliseconds(self, percentile: float) -> float:
        """A percentile of the time from an event's being due at the source to its commit."""
        if not self.waits:
            return 0.0
        order = np.argsort(self.waits)
        weights = np.cumsum(np.asarray(self.weights)[order])
        at = int(np.searchsorted(weights, percentile / 100 * weights[-1]))
        return float(np.asarray(self.waits)[order][min(at, len(order) - 1)] * 1000)


def send(
    url: str,
    lines: Sequence[bytes],
    *,
    headers: Mapping[str, str],
    trust: ssl.SSLContext | bool = True,
    batch: int = 1000,
    rate: float | None = None,
    on_sent: Callable[[int], None] = lambda events: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Sent:
    """Send NDJSON lines to `…/decisions` with headers that let in, one batch after the other, so that their order holds.

    With `rate` (events a second) a batch is due when its last event is; an event's wait begins when it is due itself. An
    ingress that is away or overloaded is tried again for `patience_seconds`. Raises StreamRefused on any other answer.
    """
    sent = Sent()
    headers = {**headers, "content-type": "application/x-ndjson", "prefer": "return=minimal"}
    began = time.perf_counter()
    with httpx2.Client(timeout=60, verify=trust) as client:
        for start in range(0, len(lines), batch):
            chunk = lines[start : start + batch]
            due = None
            if rate is not None:
                due = began + (start + len(chunk)) / rate
                time.sleep(max(0.0, due - time.perf_counter()))
            asked = time.perf_counter()
            counts = _post(client, url, b"\n".join(chunk), headers, sent, patience_seconds)
            done = time.perf_counter()
            if rate is None:
                sent.waits.append(done - asked)
                sent.weights.append(len(chunk))
            else:
                sent.waits += [done - (began + (start + at + 1) / rate) for at in range(len(chunk))]
                sent.weights += [1] * len(chunk)
            sent.received += counts["received"]
            sent.decided += counts["decided"]
            sent.duplicates += counts["duplicates"]
            sent.dead_letters += counts["deadLetters"]
            on_sent(len(chunk))
    sent.seconds = time.perf_counter() - began
    return sent


def _post(
    client: httpx2.Client, url: str, body: bytes, headers: Mapping[str, str], sent: Sent, patience_seconds: float
) -> dict[str, int]:
    """Post until it is answered: sending the same events again is always safe."""
    give_up_at = time.monotonic() + patience_seconds
    while True:
        try:
            response = client.post(url, content=body, headers=headers)
            if response.status_code == 200:
                counts: dict[str, int] = response.json()
                return counts
            trouble = f"{response.status_code} {response.text[:200]}"
            if response.status_code < 500:
                raise StreamRefused(f"{url}: {trouble}")
        except httpx2.TransportError as error:
            trouble = f"{type(error).__name__}: {error}"
        if time.monotonic() > give_up_at:
            raise StreamRefused(f"{url}: no answer within {patience_seconds:.0f} s: {trouble}")
        sent.retries += 1
        time.sleep(RETRY_SECONDS)
