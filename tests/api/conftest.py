"""One good document of each kind, and a way to spoil it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pointsman.api import documents
from pointsman.api.documents import Companion, DocumentError, InvalidDocuments
from pointsman.api.meta import Resource

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "manifests" / "examples"
FRAUD = EXAMPLES / "fraud"

GOOD: dict[str, dict[str, Any]] = {
    value["kind"]: json.loads(json.dumps(value))  # no list or mapping in it twice
    for file in sorted(FRAUD.glob("*.yaml"))
    for value in yaml.safe_load_all(file.read_text())
    if value["apiVersion"].startswith("pointsman.dev/")
}

Build = Callable[..., dict[str, Any]]
Errors = Callable[[dict[str, Any]], list[tuple[str, str, str | None]]]


def build(kind: str, **changes: Any) -> dict[str, Any]:
    """The good document with values changed, by path: `but("FeatureView", spec__entity="card_id")`.

    A value of `...` removes what is there; the position after the last item of a list adds one.
    """
    document = copy.deepcopy(GOOD[kind])
    for name, value in changes.items():
        *above, last = [int(step) if step.isdecimal() else step for step in name.split("__")]
        here: Any = document
        for step in above:
            here = here[step] if isinstance(step, int) else here.setdefault(step, {})
        if value is ...:
            del here[last]
        elif isinstance(here, list) and last == len(here):
            here.append(value)
        else:
            here[last] = value
    return document


def read(*values: dict[str, Any]) -> list[Resource | Companion]:
    return documents.read(values)


@pytest.fixture
def but() -> Build:
    return build


@pytest.fixture
def errors_of() -> Errors:
    """What is wrong with a document, as (path, message, hint); nothing where it is taken."""

    def check(document: dict[str, Any]) -> list[tuple[str, str, str | None]]:
        try:
            read(document)
        except InvalidDocuments as invalid:
            return [(error.path, error.message, error.hint) for error in invalid.errors]
        return []

    return check


@pytest.fixture
def errors_in() -> Callable[[str], tuple[DocumentError, ...]]:
    """What is wrong with a text."""

    def check(text: str) -> tuple[DocumentError, ...]:
        with pytest.raises(InvalidDocuments) as raised:
            documents.parse(text, source="a.yaml")
        return raised.value.errors

    return check
