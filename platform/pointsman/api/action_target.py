"""ActionTarget: a system that actions reach, and the terms on which they may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from pointsman.api.meta import (
    Block,
    Boolean,
    Choice,
    Duration,
    Finding,
    Integer,
    KeyedList,
    Line,
    ObjectName,
    Resource,
    SecretKeyRef,
    SecretKeySource,
    Url,
    refuse,
)

RiskTier = Literal["Low", "Medium", "High"]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9]{0,62}$", max_length=63)]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-zA-Z0-9_]{0,62}$", max_length=63)]
PathTemplate = Annotated[
    str, StringConstraints(pattern=r"^/([A-Za-z0-9._~/-]|\{[a-z][a-zA-Z0-9_]{0,62}\})*$", max_length=1024)
]

_PLACEHOLDER = re.compile(r"\{([a-z][a-zA-Z0-9_]{0,62})\}")


def placeholders(template: str) -> frozenset[str]:
    """The parameters that a template names: `/accounts/{account}/freeze` names `account`."""
    return frozenset(_PLACEHOLDER.findall(template))


class ServiceRef(Block):
    """A Service of the same namespace; locally, the supervised process of that name."""

    name: ObjectName = Field(description="The name of the Service, in the same namespace.")
    port: Integer = Field(ge=1, le=65535, description="The Service's port number.")


class BasicAuth(Block):
    """A user name, and a password from a Secret."""

    username: Line = Field(description="The user name.")
    password: SecretKeySource = Field(description="The password.")


class APIKeyAuth(Block):
    """A key from a Secret, sent in a header."""

    header: HeaderName = Field(default="X-API-Key", description="The header that carries the key. Default X-API-Key.")
    secret_key_ref: SecretKeyRef = Field(description="Where the key is kept.")


class OAuth2Auth(Block):
    """A token got by the client credentials grant, renewed before it expires."""

    token_url: Url = Field(description="The token endpoint, https.")
    client_id: Line = Field(description="The client's id.")
    client_secret: SecretKeySource = Field(description="The client's secret.")
    scopes: list[Line] = Field(default_factory=list, max_length=32, description="The scopes asked for; default: none.")


class MutualTLSAuth(Block):
    """A client certificate and its key."""

    certificate: SecretKeySource = Field(description="The client certificate's PEM.")
    key: SecretKeySource = Field(description="The client key's PEM.")
    ca: SecretKeySource | None = Field(
        default=None, description="The certificate authority's PEM; default: the system's authorities."
    )


class HMACAuth(Block):
    """A SHA-256 HMAC over the body, in a header."""

    header: HeaderName = Field(
        default="X-Signature", description="The header that carries the signature. Default X-Signature."
    )
    secret_key_ref: SecretKeyRef = Field(description="Where the signing key is kept.")


class Auth(Choice):
    """How Pointsman proves to the target who it is."""

    _blocks: ClassVar = {
        "bearer": ("Bearer",),
        "basic": ("Basic",),
        "api_key": ("APIKey",),
        "oauth2": ("OAuth2",),
        "mutual_tls": ("MutualTLS",),
        "hmac": ("HMAC",),
    }
    belongs: ClassVar = _blocks
    needs: ClassVar = _blocks

    type: Literal["Bearer", "Basic", "APIKey", "OAuth2", "MutualTLS", "HMAC"] = Field(
        description="The method: Bearer, Basic, APIKey, OAuth2, MutualTLS or HMAC."
    )
    bearer: SecretKeySource | None = Field(default=None, description="The token, for type Bearer.")
    basic: BasicAuth | None = Field(default=None, description="User name and password, for type Basic.")
    api_key: APIKeyAuth | None = Field(default=None, description="The key and its header, for type APIKey.")
    oauth2: OAuth2Auth | None = Field(
        default=None, alias="oauth2", description="The client credentials, for type OAuth2."
    )
    mutual_tls: MutualTLSAuth | None = Field(
        default=None, alias="mutualTLS", description="The client certificate, for type MutualTLS."
    )
    hmac: HMACAuth | None = Field(default=None, description="The signing key, for type HMAC.")


class Idempotency(Choice):
    """How a request that may have arrived is told from one that has not."""

    belongs: ClassVar = {"header": ("Key",)}

    type: Literal["Key", "ReadBack", "None"] = Field(
        default="None",
        description="Key: the target honours a key in a header, so a request may be sent again. ReadBack: its state "
        "is read before sending again. None: never sent again by itself; an unclear outcome goes to a person. "
        "Default None.",
    )
    header: HeaderName = Field(
        default="Idempotency-Key", description="The header that carries the key, for type Key. Default Idempotency-Key."
    )


class Approval(Choice):
    """When a person must agree before an action is sent. A graph may only ask for more, never for less."""

    belongs: ClassVar = {"policy": ("WhenUncertified", "Always")}

    type: Literal["Never", "WhenUncertified", "Always"] = Field(
        default="WhenUncertified",
        description="Never, WhenUncertified (the band has no live certificate) or Always. Default WhenUncertified.",
    )
    policy: Literal["OnePerson", "FourEyes"] | None = Field(
        default=None,
        description="Who must agree: OnePerson, or FourEyes (two people, neither of whom proposed it); default "
        "FourEyes.",
    )

    @property
    def effective_policy(self) -> Literal["OnePerson", "FourEyes"]:
        return self.policy or "FourEyes"


class Request(Block):
    """One HTTP request. `{name}` stands for the action's parameter of that name, percent-encoded in a path."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="The method: POST, PUT, PATCH or DELETE. Default POST."
    )
    path: PathTemplate = Field(description="The path, with parameters in braces, such as /accounts/{account}/freeze.")
    body: dict[ParameterName, Annotated[str, StringConstraints(max_length=4096)]] | None = Field(
        default=None,
        max_length=64,
        description="The JSON object that is sent: member names and their texts, with parameters in braces; default: "
        "no body.",
    )


class ReadBack(Block):
    """How an outcome is observed: one GET, one field, one expected value."""

    path: PathTemplate = Field(description="The path to GET, with parameters in braces.")
    field: Line = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
        description="The member of the answer that is compared, nested ones with dots.",
    )
    equals: Line = Field(
        description="The value that shows that the action took effect; it may name parameters in braces."
    )


class Operation(Block):
    """One thing that can be asked of the target."""

    name: ObjectName = Field(description="The operation's name; a graph's action names it.")
    risk_tier: RiskTier = Field(description="How much harm a wrong call does: Low, Medium or High.")
    request: Request = Field(description="The request that is sent.")
    read_back: ReadBack | None = Field(
        default=None,
        description="How the outcome is observed; default: the answer to the request is all that is known.",
    )
    compensation: ObjectName | None = Field(
        default=None, description="The operation of this target that undoes this one; default: it cannot be undone."
    )
    expires_after: Duration | None = Field(
        default=None,
        description="An action that was not sent within this time is not sent any more; default: it never expires.",
    )

    @property
    def parameters(self) -> frozenset[str]:
        """The parameters that an action must give."""
        names = placeholders(self.request.path)
        for text in (self.request.body or {}).values():
            names |= placeholders(text)
        return names

    @model_validator(mode="after")
    def _read_back_knows_its_parameters(self) -> Self:
        if self.read_back is not None:
            named = placeholders(self.read_back.path) | placeholders(self.read_back.equals)
            unknown = sorted(named - self.parameters)
            message = "names parameters that the request does not have: " + ", ".join(f'"{name}"' for name in unknown)
            refuse(self, [Finding(path=("readBack",), message=message)] if unknown else [])
        return self


class Budget(Block):
    """How many actions a window may hold: what a mistake can cost before a person sees it."""

    limit: Integer = Field(ge=1, le=1_000_000_000, description="The most actions sent in any window.")
    window: Duration = Field(description="The length of the window, on the wall clock.")
    on_exhausted: Literal["Hold", "Review"] = Field(
        default="Hold",
        description="What happens to further actions: Hold (they wait for the window) or Review (they go to a "
        "person). Default Hold.",
    )


class ActionTargetSpec(Block):
    """The address, the terms and the operations."""

    cel: ClassVar = {
        "has(self.serviceRef) != has(self.url)": 'needs one of "serviceRef" and "url"',
        "self.operations.all(o, !has(o.compensation) || (o.compensation != o.name && "
        "self.operations.exists(u, u.name == o.compensation)))": "a compensation is another operation of this target",
        "!has(self.idempotency) || self.idempotency.type != 'ReadBack' || self.operations.all(o, has(o.readBack))": (
            'idempotency type ReadBack needs "readBack" on each operation'
        ),
    }

    type: Literal["HTTP"] = Field(default="HTTP", description="The protocol: HTTP. Default HTTP.")
    service_ref: ServiceRef | None = Field(
        default=None,
        description="The Service that is called, locally the supervised process of that name. This or url.",
    )
    url: Url | None = Field(default=None, description="The base URL that is called, https. This or serviceRef.")
    auth: Auth | None = Field(default=None, description="How Pointsman proves who it is; default: not at all.")
    idempotency: Idempotency = Field(
        default_factory=Idempotency, description="Whether a request may be sent again; default: type None, never."
    )
    approval: Approval = Field(
        default_factory=Approval, description="When a person must agree first; default: type WhenUncertified."
    )
    operations: KeyedList[Operation] = Field(
        min_length=1, max_length=64, description="What can be asked of the target."
    )
    budget: Budget | None = Field(default=None, description="How many actions a window may hold; default: no limit.")
    timeout: Duration = Field(
        default=Duration("2s"),
        description="How long an answer is waited for; after it the outcome is unknown. Default 2s.",
    )
    suspend: Boolean = Field(
        default=False, description="The kill switch: true holds every action to this target. Default false."
    )

    def operation(self, name: str) -> Operation | None:
        """The operation of that name, if there is one."""
        return next((operation for operation in self.operations if operation.name == name), None)

    @model_validator(mode="after")
    def _terms_fit_together(self) -> Self:
        refuse(self, self._findings())
        return self

    def _findings(self) -> Iterator[Finding]:
        if (self.service_ref is None) == (self.url is None):
            message = 'needs "serviceRef" or "url"' if self.url is None else '"serviceRef" and "url" exclude each other'
            yield Finding(path=("serviceRef",), message=message)
        names = {operation.name: operation for operation in self.operations}
        for position, operation in enumerate(self.operations):
            path = ("operations", position)
            undo = operation.compensation
            if undo is not None and (undo == operation.name or undo not in names):
                others = ", ".join(sorted(set(names) - {operation.name})) or "none"
                message = f'"{undo}" is not another operation of this target'
                yield Finding(path=(*path, "compensation"), message=message, hint=f"others: {others}")
            elif undo is not None and (extra := sorted(names[undo].parameters - operation.parameters)):
                message = f'"{undo}" needs parameters that "{operation.name}" does not have: {", ".join(extra)}'
                yield Finding(path=(*path, "compensation"), message=message)
            if self.idempotency.type == "ReadBack" and operation.read_back is None:
                yield Finding(
                    path=(*path, "readBack"), message='idempotency type ReadBack needs "readBack" on each operation'
                )


class ActionTarget(Resource):
    """A registered system that actions reach: address, idempotency, approval, operations, budget."""

    kind: Literal["ActionTarget"] = Field(default="ActionTarget", description="ActionTarget.")
    spec: ActionTargetSpec = Field(description="The address, the terms and the operations.")
