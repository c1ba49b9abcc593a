"""A graph's host, asked for scores in the name of who asks the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2
import numpy as np
import numpy.typing as npt
from fastapi import Request

from pointsman.console.asking import Refused
from pointsman.console.store import Graph
from pointsman.governance.keyring import KEY_HEADER

SECONDS = 60.0
AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where it answers; None while the graph is not served. `headers` are what lets its caller in."""

    address: str | None
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, graph: Graph, request: Request) -> Self:
        shown = {name: request.headers[name] for name in ("authorization", KEY_HEADER) if name in request.headers}
        address = None if graph.address is None else f"{graph.address.removesuffix('/decisions')}/scores"
        return cls(address=address, headers=shown)

    def scores(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """The scores of a batch's events by id, of the revision that it names. Raises Refused."""
        if self.address is None:
            raise Refused(503, "the graph is not served now", 2)
        try:
            answer = httpx2.post(self.address, json=dict(batch), headers=self.headers, timeout=SECONDS, trust_env=False)
        except httpx2.HTTPError as error:
            raise Refused(503, f"the graph does not answer: {error}", 2) from error
        except ValueError as error:
            raise Refused(422, f"events: no JSON: {error}") from error
        if answer.status_code != 200:
            status = 503 if answer.status_code >= 500 else answer.status_code
            raise Refused(status, f"the graph does not score them: {answer.text[:1000]}")
        found: dict[str, float] = answer.json()["scores"]
        return found

    def rescore(
        self, revision: str, id_field: str, events: Sequence[Any], values: Sequence[Mapping[str, Any]]
    ) -> npt.NDArray[np.float64]:
        """The scores that a revision gives to decided events by what was recorded of them. Raises Refused."""
        scores = dict[str, float]()
        for at in range(0, len(events), AT_ONCE):
            part = {"events": events[at : at + AT_ONCE], "values": values[at : at + AT_ONCE]}
            scores |= self.scores({"history": revision, "after": 0, "revision": revision, **part})
        return np.array([scores.get(str(each[id_field]), np.nan) for each in events], dtype=np.float64)
