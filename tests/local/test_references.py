"""Which applied object refers to which."""

from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.api.documents import load
from pointsman.local.objects import Key, StoredObject, changes
from pointsman.local.references import referrers

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
STORED: dict[Key, StoredObject] = {(each.kind, each.name): each for each, _ in changes(load(EXAMPLE), {})}


@pytest.mark.parametrize(
    ("kind", "name", "users"),
    [
        ("EventStream", "transactions", {'FeatureView "card-activity"', 'FeatureView "terminal-activity"',
                                         'DecisionGraph "card-fraud"'}),
        ("FeatureView", "terminal-activity", {'DecisionGraph "card-fraud"'}),
        ("ModelDeployment", "card-sequence", {'DecisionGraph "card-fraud"'}),
        ("ActionTarget", "accounts", {'DecisionGraph "card-fraud"'}),
        ("Service", "accounts", {'ActionTarget "accounts"'}),
        ("Secret", "accounts-token", {'Deployment "accounts"', 'ActionTarget "accounts"'}),
        ("DecisionGraph", "card-fraud", set()),
        ("Deployment", "accounts", set()),
        ("EventStream", "card-activity", set()),
    ],
)  # fmt: skip
def test_who_refers_to(kind: str, name: str, users: set[str]) -> None:
    assert set(referrers(STORED, kind, name)) == users
