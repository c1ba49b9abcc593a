"""What a graph's host is started with: one JSON file, written by whoever starts it, readable by its owner alone."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pointsman.graphs.resolve import ResolvedGraph


class HostConfig(BaseModel):
    """The settings of one host."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    database_url: str
    host: str = "127.0.0.1"
    port: int
    control_token: str = Field(
        min_length=16, description="the bearer token that may switch revisions and import history"
    )
    require_keys: bool = Field(default=True, description="whether events are taken with an API key only")
    resolved: ResolvedGraph
    ray_temp_dir: str | None = Field(default=None, description="a short path: Ray puts its sockets there")

    @classmethod
    def read(cls, path: Path) -> HostConfig:
        return cls.model_validate_json(path.read_bytes())
