"""What the dispatcher tells of its targets, at `GET /-/targets`: it alone reaches them and may read their secrets.

The dispatcher writes it; whoever reconciles targets, on a laptop or on a cluster, reads it with the same model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Told(BaseModel):
    """Of another release it may hold more."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class TargetReport(_Told):
    """What is known of one target."""

    answers: bool | None = None
    """Whether a connection can be made to it; None before anybody has looked."""
    cause: str = ""
    """Why it does not answer, or why it cannot be used at all; the same words for the same cause."""
    name_is_unknown: bool = False
    """Whether nothing has the name in its URL."""
    missing_secrets: tuple[str, ...] = ()
    """`name/key` of each secret that is not there or cannot be used."""
    budget_left: int | None = None
    """How many more actions its budget allows now; None without one, and where another dispatcher spends it."""
    held: str | None = None
    """The reason for which its actions wait."""


class Report(_Told):
    """What is known of all targets, by name."""

    targets: Mapping[str, TargetReport] = Field(default_factory=dict)

    def after(self, before: Report) -> Report:
        """This report, and what the one before knew of targets that a dispatcher which has just started did not look at yet."""
        return Report(
            targets={
                name: before.targets[name] if new.answers is None and not new.cause and name in before.targets else new
                for name, new in self.targets.items()
            }
        )

    def document(self) -> dict[str, Any]:
        """As it goes over the wire."""
        return self.model_dump(mode="json", by_alias=True)
