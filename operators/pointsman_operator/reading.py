"""Reads objects of the API as the documents that users wrote; what a release cannot read, it says why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from pointsman.api.findings import problems_of
from pointsman.api.meta import Resource
from pointsman_operator.refusals import Refusal
from pointsman_operator.seen import Raw

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A document that this release cannot read, and everything that keeps it from being read."""

    refusals: tuple[Refusal, ...]

    @property
    def message(self) -> str:
        told = "; ".join(map(str, self.refusals))
        return f"it cannot be read by this release: {told}: apply it again, corrected"


def read(raw: Raw, kind: type[R]) -> R | Unreadable:
    """The document of this kind that the API server holds."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        return Unreadable(refusals=tuple(map(Refusal.of, problems_of(error, kind))))
