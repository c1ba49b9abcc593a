"""Roles, what there is to be permitted, and what every route asks for. Data, and pure; `policies` rules who may."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Permission(StrEnum):
    """What a route may ask for: the actions that policies speak of."""

    READ = "read"
    """Decisions, reviews, dead letters, lists and metrics."""
    DECIDE = "decide"
    """Send events to be decided."""
    REVIEW = "review"
    """Claim and decide review items."""
    OPERATE = "operate"
    """Replay and discard dead letters, change lists, import and export labels, certify bands, bring certificates in and re-arm
    bands; see how reviewers agree, and plant golden items. Which keys may sign is the store's owner's to say."""
    APPROVE = "approve"
    """Let actions go that need a person's approval, or refuse them."""
    PERSONAL = "seePersonal"
    """See personal values of a case."""
    KEYS = "manageKeys"
    """Make and revoke API keys."""


class Role(StrEnum):
    """What a key is for."""

    VIEWER = "viewer"
    SERVICE = "service"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


POLICIES = "POINTSMAN_POLICIES"
"""The variable of the API that names the file with the owner's policies"""

PUBLIC = None
"""What a route asks for that anybody may call."""

POLICY: Mapping[tuple[str, str], Permission | None] = MappingProxyType(
    {
        ("GET", "/healthz"): PUBLIC,
        ("GET", "/readyz"): PUBLIC,
        ("GET", "/openapi.json"): PUBLIC,
        ("GET", "/metrics"): Permission.READ,
        ("POST", "/v1/graphs/{graph}/decisions"): Permission.DECIDE,
        ("GET", "/v1/decisions"): Permission.READ,
        ("GET", "/v1/decisions/{decision}"): Permission.READ,
        ("GET", "/v1/reviews"): Permission.READ,
        ("GET", "/v1/reviews/{review}"): Permission.READ,
        ("GET", "/v1/reviews/{review}/explanation"): Permission.READ,
        ("POST", "/v1/reviews/golden"): Permission.OPERATE,
        ("POST", "/v1/reviews/claim"): Permission.REVIEW,
        ("POST", "/v1/reviews/{review}/claim"): Permission.REVIEW,
        ("POST", "/v1/reviews/{review}/release"): Permission.REVIEW,
        ("POST", "/v1/reviews/{review}/call"): Permission.REVIEW,
        ("POST", "/v1/reviews/{review}/verdict"): Permission.REVIEW,
        ("GET", "/v1/approvals"): Permission.READ,
        ("GET", "/v1/approvals/{action}"): Permission.READ,
        ("POST", "/v1/approvals/{action}"): Permission.APPROVE,
        ("GET", "/v1/deadletters"): Permission.READ,
        ("GET", "/v1/deadletters/{letter}"): Permission.READ,
        ("POST", "/v1/deadletters/{letter}/replay"): Permission.OPERATE,
        ("POST", "/v1/deadletters/{letter}/discard"): Permission.OPERATE,
        ("GET", "/v1/graphs/{graph}/reviews"): Permission.READ,
        ("GET", "/v1/graphs/{graph}/reviewers"): Permission.OPERATE,
        ("GET", "/v1/graphs/{graph}/lists"): Permission.READ,
        ("POST", "/v1/graphs/{graph}/lists/{name}"): Permission.OPERATE,
        ("DELETE", "/v1/graphs/{graph}/lists/{name}"): Permission.OPERATE,
        ("GET", "/v1/graphs/{graph}/labels"): Permission.READ,
        ("POST", "/v1/graphs/{graph}/labels"): Permission.OPERATE,
        ("GET", "/v1/graphs/{graph}/labels/counts"): Permission.READ,
        ("GET", "/v1/graphs/{graph}/labels/set"): Permission.OPERATE,
        ("GET", "/v1/graphs/{graph}/monitors"): Permission.READ,
        ("GET", "/v1/graphs/{graph}/drift"): Permission.READ,
        ("POST", "/v1/graphs/{graph}/bands/{band}/rearm"): Permission.OPERATE,
        ("POST", "/v1/graphs/{graph}/certifications"): Permission.OPERATE,
        ("GET", "/v1/graphs/{graph}/certifications/{certification}"): Permission.READ,
        ("POST", "/v1/graphs/{graph}/certifications/{certification}/labels"): Permission.OPERATE,
        ("POST", "/v1/graphs/{graph}/certifications/{certification}/start"): Permission.OPERATE,
        ("GET", "/v1/graphs/{graph}/certificates"): Permission.READ,
        ("POST", "/v1/graphs/{graph}/certificates"): Permission.OPERATE,
        ("GET", "/v1/policies"): Permission.READ,
        ("GET", "/v1/keys"): Permission.KEYS,
        ("POST", "/v1/keys"): Permission.KEYS,
        ("POST", "/v1/keys/{name}/rotate"): Permission.KEYS,
        ("DELETE", "/v1/keys/{key}"): Permission.KEYS,
    }
)
"""(method, route) → what it asks for. A route that does not stand here cannot be served."""
