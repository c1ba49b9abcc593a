"""What a replica asks for and may use: Kubernetes' resources, GPUs and MIG slices included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pointsman.api.meta import Block, Finding, Quantity, refuse

ResourceName = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
    ),
]

_NATIVE_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_MIG = re.compile(r"^nvidia\.com/mig-[1-7]g\.[1-9][0-9]{0,2}gb(\.me)?$")


class Resources(Block):
    """What a replica asks for and may use, in Kubernetes' words.

    GPUs: nvidia.com/gpu, or a MIG slice such as nvidia.com/mig-1g.10gb.
    """

    requests: dict[ResourceName, Quantity] = Field(
        default_factory=dict,
        max_length=32,
        description="What is set aside, such as cpu and memory; default: the limits.",
    )
    limits: dict[ResourceName, Quantity] = Field(
        default_factory=dict, max_length=32, description="What is never exceeded; GPUs stand here; default: none."
    )

    @model_validator(mode="after")
    def _a_scheduler_can_honour_them(self) -> Self:
        refuse(self, self._findings())
        return self

    def _findings(self) -> Iterator[Finding]:
        for side, amounts in (("requests", self.requests), ("limits", self.limits)):
            for name, amount in amounts.items():
                if name.startswith("nvidia.com/mig-") and not _MIG.fullmatch(name):
                    hint = "a slice is named like nvidia.com/mig-1g.10gb"
                    yield Finding(path=(side, name), message=f'"{name}" is not a MIG slice', hint=hint)
                elif "/" not in name and name not in _NATIVE_RESOURCES and not name.startswith("hugepages-"):
                    hint = f"known: {', '.join(_NATIVE_RESOURCES)}, or a device such as nvidia.com/gpu"
                    yield Finding(path=(side, name), message=f'"{name}" is not a resource', hint=hint)
                elif "/" in name and amount.value % 1:
                    yield Finding(path=(side, name), message=f'"{name}" comes in whole numbers, not "{amount}"')
        for name, amount in self.requests.items():
            limit = self.limits.get(name)
            if "/" in name and limit is None:
                yield Finding(
                    path=("requests", name), message=f'"{name}" must also stand under limits, with the same amount'
                )
            elif "/" in name and limit is not None and limit.value != amount.value:
                message = f'"{name}": the request "{amount}" and the limit "{limit}" must be equal'
                yield Finding(path=("requests", name), message=message)
            elif limit is not None and amount.value > limit.value:
                yield Finding(
                    path=("requests", name), message=f'"{name}": the request "{amount}" is above the limit "{limit}"'
                )
