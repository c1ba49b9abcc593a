"""What the webhook answers to one AdmissionReview: everything that is wrong with a document, each at its path. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pointsman.api.documents import KINDS
from pointsman.api.meta import GROUP, Resource
from pointsman.ingest.plan import not_honoured
from pointsman_operator.graphs import refusals as of_graph
from pointsman_operator.reading import Unreadable, read
from pointsman_operator.refusals import Refusal, refusals
from pointsman_operator.seen import DECISION_GRAPH, EVENT_STREAM, MODEL_DEPLOYMENT, Raw

REFUSALS: Mapping[str, Callable[[Any], tuple[Refusal, ...]]] = {
    MODEL_DEPLOYMENT.name: refusals,
    DECISION_GRAPH.name: of_graph.refusals,
    EVENT_STREAM.name: lambda stream: tuple(
        Refusal(path=path, message=message) for path, message in not_honoured(stream).items()
    ),
}
"""What a cluster refuses of a document that can be read, by kind; of the others nothing"""


class NotAReview(ValueError):
    """What came in is no AdmissionReview of an object that is written."""


def answer(review: Raw) -> dict[str, Any]:
    """The AdmissionReview that goes back. Raises NotAReview."""
    try:
        uid, raw = review["request"]["uid"], review["request"]["object"]
        named = {"apiVersion": review["apiVersion"], "kind": review["kind"]}
        kind = KINDS[raw["kind"]]
        name = str(raw["metadata"].get("name", ""))
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAReview(f"not an AdmissionReview: {error!r}") from error
    document = read(raw, kind)
    refused = document.refusals if isinstance(document, Unreadable) else _refused(document)
    if not refused:
        return {**named, "response": {"uid": uid, "allowed": True}}
    return {**named, "response": {"uid": uid, "allowed": False, "status": _status(kind.__name__, name, refused)}}


def _refused(document: Resource) -> tuple[Refusal, ...]:
    refuse = REFUSALS.get(document.kind)
    return refuse(document) if refuse is not None else ()


def _status(kind: str, name: str, refused: tuple[Refusal, ...]) -> dict[str, Any]:
    """kubectl writes the causes one below the other; who knows no causes gets all of them in the message."""
    causes = [{"reason": "FieldValueInvalid", "field": each.path, "message": each.message} for each in refused]
    return {
        "code": 422,
        "reason": "Invalid",
        "message": "; ".join(map(str, refused)),
        "details": {"group": GROUP, "kind": kind, "name": name, "causes": causes},
    }
