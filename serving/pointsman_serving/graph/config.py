"""What a graph's host is started with: one JSON document, and the environment for what is not in it.

On a laptop the document is a file, written by whoever starts the host, readable by its owner alone. In a pod it is
handed over without secrets, which are in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pointsman.graphs import pod
from pointsman.graphs.resolve import ResolvedGraph

_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "databaseUrl": pod.STORE_URL,
        "controlToken": pod.CONTROL_TOKEN,
        "registryUrl": pod.REGISTRY_URL,
        "modelsFolder": pod.MODELS,
        "hostName": pod.HOST,
        "address": pod.ADDRESS,
        "secretsFolder": pod.SECRETS,
    }
)


class HostConfig(BaseModel):
    """The settings of one host."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    database_url: str
    host: str = "127.0.0.1"
    port: int = pod.HTTP_PORT
    control_token: str = Field(
        min_length=16, description="the bearer token that may switch revisions and import history"
    )
    require_keys: bool = Field(default=True, description="whether events are taken with an API key only")
    resolved: ResolvedGraph
    secrets_folder: Path | None = Field(default=None, description="where secrets lie, as <name>/<key>")
    standby: bool = Field(
        default=False, description="whether the graph is left to the host that has it until a decision is asked for"
    )
    order: int | None = Field(
        default=None, description="grows with every decision for another host of the graph; default: its generation"
    )
    registry_url: str | None = Field(default=None, description="where models are fetched from that are not there")
    models_folder: Path | None = Field(default=None, description="what they are fetched into, by their digest")
    host_name: str = Field(default="", description="the name that this host shares with those that come after it")
    follow: bool = Field(
        default=True, description="whether a change of the file is taken over; who switches revisions itself says no"
    )
    address: str | None = Field(
        default=None, description="where the graph is reached, for the API to know of; a supervisor tells it itself"
    )
    ray_temp_dir: str | None = Field(default=None, description="a short path: Ray puts its sockets there")

    @classmethod
    def read(cls, path: Path) -> HostConfig:
        """The settings in a file, and those of the environment that it does not have."""
        return cls.of(orjson.loads(path.read_bytes()))

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> HostConfig:
        """The settings in a document, and those of the environment that it does not have. Raises ValidationError."""
        return cls.model_validate(_environment() | dict(document))

    @property
    def told(self) -> tuple[bool, int]:
        """What these settings say of who has the graph: whether to stand by, and in which order they were given."""
        generation = self.resolved.graph.metadata.generation or 0
        return self.standby, generation if self.order is None else self.order

    def as_environment(self) -> dict[str, str]:
        """What must be in the environment of another process for `of` to find it: all that is in no `user_config`."""
        written = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {variable: written[name] for name, variable in _VARIABLES.items() if name in written}

    def as_user_config(self) -> dict[str, Any]:
        """What Serve hands to a replica."""
        return self.model_dump(
            mode="json", by_alias=True, exclude_none=True, include={"resolved", "standby", "require_keys"}
        )


def _environment() -> dict[str, Any]:
    return {name: os.environ[variable] for name, variable in _VARIABLES.items() if os.environ.get(variable)}
