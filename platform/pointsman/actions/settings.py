"""The dispatcher's configuration: a file, read at the start and again whenever it changes, and the store's URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from pointsman.api.action_target import ActionTarget
from pointsman.store.database import StoreUrlRefused, store_url


class InvalidSettings(Exception):
    """The file cannot be used; the message holds no value of it."""


class SettingsFile(BaseModel):
    """The file as written, in camelCase JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    targets: list[dict[str, Any]] = Field(default_factory=list)
    """ActionTarget documents, each with one more member `url`: the base URL that its serviceRef stands for."""
    secrets_folder: Path | None = None
    """Where secrets lie, as `<name>/<key>`. Default none: targets that need one are held."""
    owner: str = Field(default="dispatcher", min_length=1, max_length=100)
    """A name for the leases, made unique for each process."""
    control_host: str = "127.0.0.1"
    """The address on which the control port listens; 0.0.0.0 in a pod."""
    control_port: int | None = Field(default=None, ge=0, le=65535)
    """Port for readiness, figures and what is seen of the targets; 0 takes a free one, absent opens none."""
    batch: int = Field(default=32, ge=1, le=1000)
    """How many actions a target is sent at once by each of its lanes."""
    lanes: int = Field(default=3, ge=1, le=16)
    """How many batches of a target are under way at once."""
    lease_seconds: float | None = Field(default=None, gt=0, le=3600)
    """How long an action is held; never below two and a half times the target's timeout. Default: 5 s and four times
    the timeout, at least 10 s."""
    poll_seconds: float = Field(default=1.0, gt=0, le=60)
    """How often the outbox is looked at without being notified."""


@dataclass(frozen=True, kw_only=True)
class RegisteredTarget:
    """A target and the base URL under which it was registered."""

    target: ActionTarget
    url: str

    @property
    def name(self) -> str:
        return self.target.metadata.name


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The file, checked. `refused` names the targets that cannot be used, with the reason in words."""

    file: SettingsFile
    store_url: SecretStr
    """The decision store, with the application's role."""
    targets: Mapping[str, RegisteredTarget]
    refused: Mapping[str, str]

    def lease_seconds(self, target: ActionTarget) -> float:
        """Long enough for a request and its read-back, whatever is written; by default with as much to spare."""
        timeout = target.spec.timeout.seconds
        chosen = self.file.lease_seconds
        return max(2.5 * timeout, max(10.0, 5.0 + 4 * timeout) if chosen is None else chosen)


def read_settings(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read and check the file, and take the store's URL from the environment. Raises InvalidSettings.

    One bad target does not take the others out of service.
    """
    try:
        store = store_url(environment)
    except StoreUrlRefused as error:
        raise InvalidSettings(str(error)) from None
    try:
        file = SettingsFile.model_validate(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise InvalidSettings(f'settings: cannot be read: "{path}": {error.strerror}') from None
    except orjson.JSONDecodeError:
        raise InvalidSettings(f'settings: not JSON: "{path}"') from None
    except ValidationError as error:
        raise InvalidSettings(f'settings: invalid: "{path}": {_places(error)}') from None
    targets, refused = dict[str, RegisteredTarget](), dict[str, str]()
    for position, document in enumerate(file.targets):
        metadata = document.get("metadata")
        name = str(metadata.get("name")) if isinstance(metadata, dict) else f"targets[{position}]"
        try:
            target = ActionTarget.model_validate({key: value for key, value in document.items() if key != "url"})
        except ValidationError as error:
            refused[name] = f"invalid: {_places(error)}"
            continue
        url = document.get("url") or target.spec.url
        if not isinstance(url, str):
            refused[name] = "has no base URL"
        elif name in targets:
            refused[name] = "is there twice"
        else:
            targets[name] = RegisteredTarget(target=target, url=url)
    return Settings(file=file, store_url=SecretStr(store), targets=targets, refused=refused)


def _places(error: ValidationError) -> str:
    """Where and what, without the values: one of them may be a password."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found)
