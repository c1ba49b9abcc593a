"""EventStream: a source of events and the contract that each event must meet. Shared by views and graphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pointsman.api.meta import (
    Block,
    Boolean,
    Choice,
    DecimalString,
    Duration,
    Finding,
    Identifier,
    Integer,
    KeyedList,
    Line,
    Quantity,
    Resource,
    SecretKeySource,
    refuse,
)
from pointsman.columns import ColumnType, FieldType

_NUMBERS = (FieldType.INTEGER, FieldType.DECIMAL, FieldType.DOUBLE)


class HTTPSource(Block):
    """Events that callers post to the graph."""

    max_body: Quantity = Field(
        default=Quantity("8Mi"), description="The largest request body; a larger one is answered 413. Default 8Mi."
    )
    max_events_per_request: Integer = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="The most events in one request; more are answered 413. Default 1000.",
    )


class KafkaTLS(Block):
    """How the connection to Kafka is encrypted."""

    ca: SecretKeySource | None = Field(
        default=None, description="The certificate authority's PEM; default: the system's authorities."
    )
    certificate: SecretKeySource | None = Field(
        default=None, description="The client certificate's PEM; default: none."
    )
    key: SecretKeySource | None = Field(default=None, description="The client key's PEM; default: none.")


class KafkaSASL(Block):
    """How the consumer proves who it is."""

    mechanism: Literal["Plain", "ScramSHA256", "ScramSHA512"] = Field(
        default="ScramSHA512", description="The SASL mechanism: Plain, ScramSHA256 or ScramSHA512. Default ScramSHA512."
    )
    username: Line = Field(description="The user name.")
    password: SecretKeySource = Field(description="The password.")


class KafkaSource(Block):
    """Events read from a Kafka topic."""

    cel: ClassVar = {
        "!has(self.format) || self.format == 'JSON' || has(self.schemaRegistry)": (
            'formats Avro and Protobuf need "schemaRegistry"'
        )
    }

    bootstrap_servers: list[Line] = Field(min_length=1, max_length=32, description="Brokers to start from, host:port.")
    topic: Line = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="The topic.")
    group: Line | None = Field(default=None, description="The consumer group; default: pointsman-<graph's name>.")
    start_at: Literal["Earliest", "Latest"] = Field(
        default="Earliest",
        description="Where a graph without stored offsets starts: Earliest or Latest. Default Earliest.",
    )
    format: Literal["JSON", "Avro", "Protobuf"] = Field(
        default="JSON", description="How a message's value is encoded: JSON, Avro or Protobuf. Default JSON."
    )
    schema_registry: Line | None = Field(default=None, description="The schema registry's URL, for Avro and Protobuf.")
    tls: KafkaTLS | None = Field(default=None, description="TLS to the brokers; default: no TLS.")
    sasl: KafkaSASL | None = Field(default=None, description="SASL to the brokers; default: none.")

    @model_validator(mode="after")
    def _a_binary_format_has_its_registry(self) -> Self:
        if self.format != "JSON" and self.schema_registry is None:
            refuse(self, [Finding(path=("schemaRegistry",), message=f'format {self.format} needs "schemaRegistry"')])
        return self


class FilesSource(Block):
    """Events read from files that are dropped into a folder; a file is read once it stops growing."""

    cel: ClassVar = {
        "(has(self.afterRead) && self.afterRead == 'Move') == has(self.moveTo)": (
            'afterRead Move and "moveTo" go together'
        )
    }

    path: str = Field(min_length=1, max_length=1024, description="The folder, or an s3:// or gs:// prefix.")
    pattern: Line = Field(default="*", description="Which files, as a shell pattern. Default *.")
    format: Literal["CSV", "JSONL", "Parquet"] = Field(description="How events are stored: CSV, JSONL or Parquet.")
    poll_interval: Duration = Field(
        default=Duration("5s"), description="How often new files are looked for. Default 5s."
    )
    after_read: Literal["Keep", "Move", "Delete"] = Field(
        default="Keep",
        description="What happens to a file once its events are committed: Keep, Move or Delete. Default Keep.",
    )
    move_to: str | None = Field(default=None, min_length=1, max_length=1024, description="The folder to Move files to.")

    @model_validator(mode="after")
    def _move_has_a_folder(self) -> Self:
        if (self.after_read == "Move") != (self.move_to is not None):
            message = 'afterRead Move and "moveTo" go together'
            refuse(self, [Finding(path=("moveTo",), message=message)])
        return self


class SQLSource(Block):
    """Events read from a table or view by a growing cursor."""

    url: SecretKeySource = Field(description="The database's URL, kept in a Secret.")
    table: Line = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$",
        description="The table or view, optionally with its schema.",
    )
    cursor: Line = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="A column that only grows and is unique; rows are read in its order.",
    )
    poll_interval: Duration = Field(
        default=Duration("1s"), description="How often new rows are looked for. Default 1s."
    )
    batch_size: Integer = Field(default=1000, ge=1, le=100_000, description="The most rows read at once. Default 1000.")


class Source(Choice):
    """Where events come from."""

    belongs: ClassVar = {"http": ("HTTP",), "kafka": ("Kafka",), "files": ("Files",), "sql": ("SQL",)}
    needs: ClassVar = {"kafka": ("Kafka",), "files": ("Files",), "sql": ("SQL",)}

    type: Literal["HTTP", "Kafka", "Files", "SQL"] = Field(description="The kind of source: HTTP, Kafka, Files or SQL.")
    http: HTTPSource | None = Field(default=None, description="Limits of type HTTP; default: those of its fields.")
    kafka: KafkaSource | None = Field(default=None, description="The topic, for type Kafka.")
    files: FilesSource | None = Field(default=None, description="The folder, for type Files.")
    sql: SQLSource | None = Field(default=None, description="The table, for type SQL.")
    max_in_flight: Integer = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="The most events taken in and not yet committed, for each graph; past it HTTP answers 429 and "
        "other sources are read no further. Default 10000.",
    )


class ContractField(Block):
    """One field of an event: its type and what its values must meet. What breaks it goes to the dead letters."""

    cel: ClassVar = {
        "!(has(self.minimum) || has(self.maximum)) || self.type in ['Integer', 'Decimal', 'Double']": (
            '"minimum" and "maximum" are for Integer, Decimal and Double'
        ),
        "!(has(self.minLength) || has(self.maxLength) || has(self.pattern) || has(self.values)) || "
        "self.type == 'String'": '"minLength", "maxLength", "pattern" and "values" are for String',
        "!has(self.minLength) || !has(self.maxLength) || self.minLength <= self.maxLength": (
            "minLength is not above maxLength"
        ),
        "!has(self.scale) || self.scale == 0 || self.type == 'Decimal'": '"scale" is for Decimal',
    }

    name: Identifier = Field(description="The field's name, as it is written in events and named in expressions.")
    type: FieldType = Field(
        description="The type: String, Integer (64 bits), Decimal (exact, with scale), Double, Boolean or Timestamp "
        "(RFC 3339)."
    )
    optional: Boolean = Field(
        default=False, description="Whether an event may lack the field or hold null. Default false."
    )
    minimum: DecimalString | None = Field(
        default=None, description="The smallest value, for Integer, Decimal and Double, in quotes; default: none."
    )
    maximum: DecimalString | None = Field(
        default=None, description="The largest value, for Integer, Decimal and Double, in quotes; default: none."
    )
    scale: Integer = Field(
        default=0, ge=0, le=12, description="Decimal places of a Decimal; a value with more is refused. Default 0."
    )
    max_length: Integer | None = Field(
        default=None, ge=1, le=1_048_576, description="The most characters of a String; default: none."
    )
    min_length: Integer | None = Field(
        default=None, ge=0, le=1_048_576, description="The fewest characters of a String; default: none."
    )
    pattern: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="A regular expression the whole String matches; default: none.",
    )
    values: list[Line] | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="The only values a String may have; default: any.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    personal: Boolean = Field(
        default=False,
        description="Whether the field is personal data: stored apart, masked in output, erasable. Default false.",
    )
    description: str | None = Field(default=None, max_length=1024, description="What the field means; default: none.")

    @property
    def column_type(self) -> ColumnType:
        return ColumnType(type=self.type, scale=self.scale)

    @model_validator(mode="after")
    def _limits_fit_the_type(self) -> Self:
        refuse(self, self._findings())
        return self

    def _findings(self) -> Iterator[Finding]:
        limits = {
            "scale": (self.scale or None, (FieldType.DECIMAL,)),
            "minimum": (self.minimum, _NUMBERS),
            "maximum": (self.maximum, _NUMBERS),
            "minLength": (self.min_length, (FieldType.STRING,)),
            "maxLength": (self.max_length, (FieldType.STRING,)),
            "pattern": (self.pattern, (FieldType.STRING,)),
            "values": (self.values, (FieldType.STRING,)),
        }
        for name, (value, types) in limits.items():
            if value is not None and self.type not in types:
                yield Finding(path=(name,), message=f'"{name}" is for {" and ".join(types)}, not for {self.type}')
        places = {FieldType.INTEGER: 0, FieldType.DECIMAL: self.scale}.get(self.type)
        for name, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is not None and places is not None and -int(bound.normalize().as_tuple().exponent) > places:
                yield Finding(path=(name,), message=f'"{bound}" has more decimal places than the field ({places})')
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            yield Finding(
                path=("minimum",), message=f'the minimum "{self.minimum}" is above the maximum "{self.maximum}"'
            )
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            yield Finding(
                path=("minLength",), message=f"minLength {self.min_length} is above maxLength {self.max_length}"
            )
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                yield Finding(path=("pattern",), message=f'not a regular expression: {error}: "{self.pattern}"')
        if self.values is not None and len(set(self.values)) != len(self.values):
            yield Finding(path=("values",), message="a value is listed twice")


class Contract(Block):
    """What an event must look like. Fields that are not declared are kept raw but cannot be named in a graph."""

    fields: KeyedList[ContractField] = Field(min_length=1, max_length=512, description="The fields that are checked.")

    def field(self, name: str) -> ContractField | None:
        """The declared field of that name, if there is one."""
        return next((field for field in self.fields if field.name == name), None)


class EventStreamSpec(Block):
    """The source and the contract."""

    cel: ClassVar = {
        "self.contract.fields.exists(f, f.name == self.id)": '"id" names a field of the contract',
        "self.contract.fields.exists(f, f.name == self.time && f.type == 'Timestamp' && "
        "!(has(f.optional) && f.optional))": ('"time" names a Timestamp of the contract that is not optional'),
        "!has(self.knownAt) || self.contract.fields.exists(f, f.name == self.knownAt && f.type == 'Timestamp')": (
            '"knownAt" names a Timestamp of the contract'
        ),
        "!has(self.orderingKey) || self.contract.fields.exists(f, f.name == self.orderingKey)": (
            '"orderingKey" names a field of the contract'
        ),
    }

    source: Source = Field(description="Where events come from.")
    id: Identifier = Field(
        description="The field that identifies an event in this stream: a String or Integer, never optional."
    )
    time: Identifier = Field(description="The field that says when the event happened: a Timestamp, never optional.")
    known_at: Identifier | None = Field(
        default=None,
        description="The field that says when the event became known, a Timestamp; default: the time of arrival.",
    )
    ordering_key: Identifier | None = Field(
        default=None,
        description="Events with the same value of this field, a String or Integer, keep their order; default: order "
        "of arrival.",
    )
    contract: Contract = Field(description="What an event must look like.")

    @model_validator(mode="after")
    def _roles_name_fitting_fields(self) -> Self:
        refuse(self, self._findings())
        return self

    def _findings(self) -> Iterator[Finding]:
        keys, clocks = (FieldType.STRING, FieldType.INTEGER), (FieldType.TIMESTAMP,)
        declared = {field.name: field for field in self.contract.fields}
        for role, name, types, whole in (
            ("id", self.id, keys, True),
            ("time", self.time, clocks, True),
            ("knownAt", self.known_at, clocks, False),
            ("orderingKey", self.ordering_key, keys, False),
        ):
            if name is None:
                continue
            field = declared.get(name)
            if field is None:
                yield Finding(
                    path=(role,),
                    message=f'"{name}" is not a field of the contract',
                    hint=f"declare it under contract.fields, or name one of: {', '.join(sorted(declared))}",
                )
            elif field.type not in types:
                yield Finding(path=(role,), message=f'"{name}" is a {field.type}; it must be {" or ".join(types)}')
            elif whole and field.optional:
                yield Finding(path=(role,), message=f'"{name}" is optional; every event needs it')


class EventStream(Resource):
    """A source of events and its contract, shared by feature views and decision graphs."""

    kind: Literal["EventStream"] = Field(default="EventStream", description="EventStream.")
    spec: EventStreamSpec = Field(description="The source and the contract.")
