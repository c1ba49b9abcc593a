"""What the webhook answers to one AdmissionReview: everything that is wrong with a ModelDeployment, each at its path. Pure."""

from __future__ import annotations

from typing import Any

from pointsman_operator.observe import Unreadable, read
from pointsman_operator.refusals import Refusal, refusals
from pointsman_operator.seen import MODEL_DEPLOYMENT, Raw


class NotAReview(ValueError):
    """What came in is no AdmissionReview of an object that is written."""


def answer(review: Raw) -> dict[str, Any]:
    """The AdmissionReview that goes back. Raises NotAReview."""
    try:
        uid, raw = review["request"]["uid"], review["request"]["object"]
        named = {"apiVersion": review["apiVersion"], "kind": review["kind"]}
        name = str(raw["metadata"].get("name", ""))
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAReview(f"not an AdmissionReview: {error!r}") from error
    document = read(raw)
    refused = document.refusals if isinstance(document, Unreadable) else refusals(document)
    if not refused:
        return {**named, "response": {"uid": uid, "allowed": True}}
    return {**named, "response": {"uid": uid, "allowed": False, "status": _status(name, refused)}}


def _status(name: str, refused: tuple[Refusal, ...]) -> dict[str, Any]:
    """kubectl writes the causes one below the other; who knows no causes gets all of them in the message."""
    causes = [{"reason": "FieldValueInvalid", "field": each.path, "message": each.message} for each in refused]
    group = MODEL_DEPLOYMENT.api_version.split("/")[0]
    return {
        "code": 422,
        "reason": "Invalid",
        "message": "; ".join(map(str, refused)),
        "details": {"group": group, "kind": MODEL_DEPLOYMENT.name, "name": name, "causes": causes},
    }
