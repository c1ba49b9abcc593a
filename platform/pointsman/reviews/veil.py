"""What is the model's view in an answer, taken out for who is to say a first call before they see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OF_AN_ITEM = ("reasons", "priority")
"""A priority may be made of what a model says; the rules' reasons name its band"""
OF_A_DECISION = ("score", "band", "outcome", "reasons")
NOT_SAID = ("actions", "audit", "rules", "shadow")
"""Of a decision's record: what its band does or would do, and that it is automatic"""
BEFORE_MODELS = frozenset({"Features", "Lists"})
"""Nodes whose values are facts"""


def without_view(part: Mapping[str, Any]) -> dict[str, Any]:
    """An item, or a decision as lists show it, without what the model says of it."""
    hidden = {*OF_AN_ITEM, *OF_A_DECISION}
    return {key: None if key in hidden else value for key, value in part.items()}


def without_what_followed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything behind a decision but what a verdict brought about: its band's own actions stay."""
    of_band = {each["id"] for each in record["decision"]["actions"]}
    actions = [each for each in record["actions"] if str(each["action_id"]) in of_band]
    return {**record, "actions": actions, "review": None}


def record_without_view(record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything behind a decision but the model's view: event, contract, features, versions and proofs stay."""
    types = (record["revision"] or {}).get("nodes", {})
    decision = without_view(record["decision"])
    values = {
        name: value for name, value in decision["values"].items() if types.get(name.partition(".")[0]) in BEFORE_MODELS
    }
    shown = {key: value for key, value in decision.items() if key not in NOT_SAID} | {"values": values, "actions": []}
    review = None if record["review"] is None else without_view(record["review"])
    return {**record, "decision": shown, "review": review, "certificates": [], "actions": []}
