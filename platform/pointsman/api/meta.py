"""What all kinds share: the base of every block, unions by `type`, lists keyed by name, metadata, references, secrets.

Blocks are frozen; their lists and dictionaries are to be read, not changed. Python names are snake_case, YAML names
camelCase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from pointsman.api.values import (
    Boolean,
    DecimalString,
    Digest,
    Duration,
    Expression,
    Identifier,
    Image,
    Integer,
    Line,
    ObjectName,
    Percent,
    Quantity,
    ReasonCode,
    Reference,
    Url,
)

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Block",
    "Boolean",
    "Choice",
    "DecimalString",
    "Digest",
    "Duration",
    "Expression",
    "Finding",
    "Identifier",
    "Image",
    "Integer",
    "KeyedList",
    "Line",
    "LocalRef",
    "ObjectMeta",
    "ObjectName",
    "Percent",
    "PodTemplate",
    "Quantity",
    "ReasonCode",
    "Reference",
    "Resource",
    "SecretKeyRef",
    "SecretKeySource",
    "Url",
    "refuse",
]

GROUP = "pointsman.dev"
VERSION = "v1alpha1"
API_VERSION: Literal["pointsman.dev/v1alpha1"] = "pointsman.dev/v1alpha1"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing wrong inside a block; `path` is relative to the block, in YAML names."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


def refuse(block: object, findings: Iterable[Finding]) -> None:
    """Raise all findings at once as errors of `block`, each at its own path; return where there are none."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("refused", "{message}", {"message": finding.message, "hint": finding.hint or ""}),
            loc=finding.path,
            input=None,
        )
        for finding in findings
    ]
    if details:
        raise ValidationError.from_exception_data(type(block).__name__, details)


class Block(BaseModel):
    """The base of every block of a document: frozen, unknown fields refused, YAML names by alias."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )

    cel: ClassVar[Mapping[str, str]] = {}
    """What a cluster checks of this block when it is applied: CEL over `self`, and what to say where it fails."""

    @classmethod
    def cluster_rules(cls) -> dict[str, str]:
        """All rules of this block, with their messages."""
        return dict(cls.cel)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        rules = [{"rule": rule, "message": message} for rule, message in cls.cluster_rules().items()]
        if rules:
            schema["x-kubernetes-validations"] = rules
        return schema


class Choice(Block):
    """A union in one block: `type` says which of the other fields belong.

    `belongs` names the types a field may be given for; `needs` the types it must be given for. A field in neither is
    for all types. Both become CEL in the CRD, so both worlds refuse the same documents.
    """

    belongs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @model_validator(mode="after")
    def _only_members_of_the_type(self) -> Self:
        chosen = str(getattr(self, "type"))  # noqa: B009 (each subclass declares its own `type`)
        findings = []
        for name, types in self.belongs.items():
            if name in self.model_fields_set and getattr(self, name) is not None and chosen not in types:
                yaml = yaml_name(type(self), name)
                message = f'"{yaml}" belongs to type {" or ".join(types)}, not to type {chosen}'
                findings.append(Finding(path=(yaml,), message=message, hint=f'remove "{yaml}" or change "type"'))
        for name, types in self.needs.items():
            if chosen in types and getattr(self, name) is None:
                yaml = yaml_name(type(self), name)
                findings.append(Finding(path=(yaml,), message=f'type {chosen} needs "{yaml}"'))
        refuse(self, findings)
        return self

    @model_serializer(mode="wrap")
    def _without_members_of_other_types(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Defaults of members that do not belong are not written out, so that what is written can be read again."""
        written: dict[str, Any] = handler(self)
        chosen = str(getattr(self, "type"))  # noqa: B009
        for name, types in self.belongs.items():
            if chosen not in types:
                written.pop(name, None)
                written.pop(yaml_name(type(self), name), None)
        return written

    @classmethod
    def cluster_rules(cls) -> dict[str, str]:
        rules = {}
        for name, types in cls.belongs.items():
            yaml = yaml_name(cls, name)
            among = " || ".join(f"self.type == '{each}'" for each in types)
            rules[f"!has(self.{yaml}) || {among}"] = f'"{yaml}" belongs to type {" or ".join(types)}'
        for name, types in cls.needs.items():
            yaml = yaml_name(cls, name)
            among = " && ".join(f"self.type != '{each}'" for each in types)
            rules[f"has(self.{yaml}) || ({among})"] = f'type {" or ".join(types)} needs "{yaml}"'
        return rules | super().cluster_rules()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core, handler)
        for name in cls.belongs:  # a default written by the API server would be a member of the wrong type
            schema["properties"][yaml_name(cls, name)].pop("default", None)
        return schema


def yaml_name(block: type[BaseModel], attribute: str) -> str:
    """How an attribute of a block is written in YAML."""
    return block.model_fields[attribute].alias or attribute


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def _names_are_unique(items: list[_T]) -> list[_T]:
    first: dict[str, int] = {}
    findings = []
    for position, item in enumerate(items):
        if item.name in first:
            message = f'the name "{item.name}" is already used by [{first[item.name]}]'
            findings.append(Finding(path=(position, "name"), message=message, hint="names in a list are unique"))
        first.setdefault(item.name, position)
    refuse(items, findings)
    return items


KeyedList = Annotated[
    list[_T],
    AfterValidator(_names_are_unique),
    Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]
"""A list whose items are known by `name`, each used once."""


class ObjectMeta(Block):
    """Standard object metadata. What a server sets (uid, generation, …) is read, and never taken from a user's file."""

    name: ObjectName = Field(description="The object's name, unique for its kind in a namespace.")
    namespace: ObjectName | None = Field(default=None, description="The namespace; default: the one in use.")
    uid: str | None = Field(default=None, max_length=64, description="Set by the server: the object's identity.")
    generation: Integer | None = Field(default=None, description="Set by the server: grows with every change of spec.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels to select by; default: none.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Notes for tools; default: none.")
    resource_version: str | None = Field(default=None, description="Set by the server.")
    creation_timestamp: datetime | None = Field(default=None, description="Set by the server.")
    deletion_timestamp: datetime | None = Field(default=None, description="Set by the server.")
    deletion_grace_period_seconds: Integer | None = Field(default=None, description="Set by the server.")
    finalizers: list[str] = Field(default_factory=list, description="Set by controllers.")
    owner_references: list[dict[str, Any]] = Field(default_factory=list, description="Set by controllers.")
    managed_fields: list[dict[str, Any]] = Field(default_factory=list, description="Set by the server.")
    generate_name: str | None = Field(default=None, description="Set where the server made the name.")
    self_link: str | None = Field(default=None, description="Set by old servers.")


class Resource(Block):
    """The base of the five kinds. `status` is kept as it came and decides nothing."""

    api_version: Literal["pointsman.dev/v1alpha1"] = Field(
        default=API_VERSION, description="Always pointsman.dev/v1alpha1."
    )
    kind: str = Field(description="The kind.")
    metadata: ObjectMeta = Field(description="Standard object metadata.")
    status: dict[str, Any] | None = Field(default=None, description="What was observed; set by Pointsman.")

    @property
    def name(self) -> str:
        return self.metadata.name

    def document(self) -> dict[str, Any]:
        """The object as plain JSON values in YAML names, defaults included, absent fields left out, status left out."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"status"})

    def written_document(self) -> dict[str, Any]:
        """As `document`, with only what the author wrote."""
        return self.model_dump(mode="json", exclude_none=True, exclude_unset=True, exclude={"status"}) | {
            "apiVersion": self.api_version,
            "kind": self.kind,
        }


class LocalRef(Block):
    """An object of the same namespace, by name."""

    name: ObjectName = Field(description="The name of the object, in the same namespace.")


class SecretKeyRef(Block):
    """One key of a Secret of the same namespace."""

    name: ObjectName = Field(description="The name of the Secret, in the same namespace.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")] = Field(
        description="The key inside the Secret."
    )


class SecretKeySource(Block):
    """A value that is never written into a document, only pointed at."""

    secret_key_ref: SecretKeyRef = Field(description="Where the secret value is kept.")


class PodMetadata(Block):
    """Labels and annotations of pods."""

    labels: dict[str, str] = Field(default_factory=dict, description="Labels added to the pods; default: none.")
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Annotations added to the pods; default: none."
    )


class PodTemplate(Block):
    """What is merged into the pods that are rendered on a cluster; a world without pods says so in a condition."""

    metadata: PodMetadata = Field(
        default_factory=PodMetadata, description="Labels and annotations added to the pods; default: none."
    )
    spec: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of a Kubernetes PodSpec, such as serviceAccountName, nodeSelector, tolerations, "
        "affinity; default: none.",
        json_schema_extra={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    )
