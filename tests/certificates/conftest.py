"""The fraud example with certificates required, and certificates for it without a certification."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointsman.certificates.document import BandCertificate, SignedCertificate
from pointsman.certificates.promise import promises
from pointsman.graphs.compile import compile_graph
from pointsman.graphs.resolve import ResolvedGraph, resolve
from pointsman.library import GraphLibrary, load

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EVENT = {
    "transaction_id": "t1",
    "occurred_at": "2026-03-02T10:00:00Z",
    "amount": "12.50",
    "card_id": "c",
    "terminal_id": "t",
    "card_account": "a",
}


@pytest.fixture(scope="session")
def example() -> GraphLibrary:
    return load(EXAMPLE)


@pytest.fixture(scope="session")
def change(example: GraphLibrary) -> Callable[..., ResolvedGraph]:
    """The example's revision with other fields of its specification; certificates are required."""

    def changed(**fields: Any) -> ResolvedGraph:
        resolved = example.graph.resolved
        spec = resolved.graph.spec.model_copy(update={"certificates": "Required"} | fields)
        return resolve(
            graph=resolved.graph.model_copy(update={"spec": spec}),
            stream=resolved.stream,
            views=resolved.views,
            targets=resolved.targets,
            models=resolved.models,
        )

    return changed


@pytest.fixture(scope="session")
def required(change: Callable[..., ResolvedGraph]) -> ResolvedGraph:
    return change()


@pytest.fixture(scope="session")
def open_library(example: GraphLibrary) -> Callable[..., GraphLibrary]:
    def opened(resolved: ResolvedGraph, known: Any = None) -> GraphLibrary:
        return GraphLibrary(compile_graph(resolved, example._ports), example._ports, known)

    return opened


@pytest.fixture(scope="session")
def certificate(required: ResolvedGraph) -> Callable[..., BandCertificate]:
    """A certificate for a band that serves, valid for a day from NOW."""

    def made(band: str = "approve", resolved: ResolvedGraph = required, **fields: Any) -> BandCertificate:
        of = next(each for each in promises(resolved) if each.name == band)
        said: dict[str, Any] = {
            "id": uuid4(),
            "graph": resolved.graph.name,
            "graph_uid": resolved.graph_uid,
            "band": band,
            "outcome": of.outcome,
            "promises": of.label,
            "at_least": None if of.low == float("-inf") else of.low,
            "below": None if of.high == float("inf") else of.high,
            "alpha": of.alpha,
            "delta": of.delta,
            "wrong": 0,
            "labelled": 5000,
            "bound": of.alpha / 2,
            "p_value": 0.001,
            "candidates": 1,
            "method": "ClopperPearson",
            "population": "all",
            "scorer": of.digest.value,
            "scorer_parts": of.digest.parts,
            "data": "sha256:" + "0" * 64,
            "issued": NOW,
            "expires": NOW + timedelta(days=1),
            "issuer": "ann",
        }
        return BandCertificate(**said | fields)

    return made


@pytest.fixture(scope="session")
def sign() -> Callable[..., SignedCertificate]:
    return lambda certificate, key=KEY: SignedCertificate.sign(certificate, key)
