"""Status as a schema: what every kind reports, what each adds, and the columns of `kubectl get`.

The status of an object is written by plans as plain values; this says their names once, for the CRDs and for the CLI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["string", "integer", "boolean", "date"]


@dataclass(frozen=True, kw_only=True)
class StatusField:
    """One field of a status."""

    name: str
    type: Literal["string", "integer", "boolean"]
    description: str

    def schema(self) -> dict[str, Any]:
        return {"description": self.description, "type": self.type}


@dataclass(frozen=True, kw_only=True)
class PrinterColumn:
    """One column of `get`. `priority` 1 shows it with `-o wide` only."""

    name: str
    type: Kind
    path: str
    priority: int = 0

    def definition(self) -> dict[str, Any]:
        column: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return column | ({"priority": self.priority} if self.priority else {})


def _field(name: str, type_: Literal["string", "integer", "boolean"], description: str) -> StatusField:
    return StatusField(name=name, type=type_, description=description)


FIELDS: Mapping[str, tuple[StatusField, ...]] = {
    "EventStream": (
        _field("contractVersion", "string", "The digest of the contract in force."),
        _field("lag", "integer", "Events that are known at the source and not yet committed."),
        _field("deadLetters", "integer", "Dead letters that are open."),
    ),
    "ModelDeployment": (
        _field("version", "string", "The version that serves, as the registry names it."),
        _field("digest", "string", "The digest of the model that serves."),
        _field("revision", "string", "The revision that serves."),
        _field("trafficPercent", "integer", "The share of traffic that this revision gets."),
        _field("replicas", "integer", "Replicas that are ready."),
        _field("url", "string", "Where Open Inference Protocol is spoken."),
    ),
    "FeatureView": (
        _field("version", "string", "The digest of the definition and the engine."),
        _field(
            "freshness",
            "string",
            "When the newest event happened that a graph has seen with the view, cut to ten minutes.",
        ),
    ),
    "DecisionGraph": (
        _field("revision", "string", "The revision that decides."),
        _field("runtime", "string", "What hosts it: RayServe or Embedded."),
        _field(
            "automaticShare",
            "string",
            "The share of decisions that were automatic, in whole percent: of the latest 60 minutes in which the host made any.",
        ),
        _field("bandSummary", "string", "The bands, each with the state of its certificate."),
        _field("url", "string", "Where decisions are asked for."),
    ),
    "ActionTarget": (
        _field("reachable", "boolean", "Whether the target answered last time."),
        _field("budgetLeft", "integer", "Actions that the budget's window still has room for."),
        _field("killSwitch", "boolean", "Whether every action is held."),
    ),
}
"""What each kind reports beside observedGeneration and conditions. More may be there; these are promised."""

_BANDS: tuple[tuple[str, str], ...] = (
    ("band", "The band."),
    ("segment", "The segment of it, where it is certified by segment."),
    ("reason", "CertificatesLive, or why its items go to people, from the catalogue of reasons."),
    ("message", "The certificate's figures, or what is missing."),
    ("bound", "The error that is not exceeded, by the certificate."),
    ("expires", "Until when the certificate is live."),
    ("certificate", "The certificate's id."),
)

_HISTORY: tuple[tuple[str, str], ...] = (
    ("version", "The version, as the registry names it."),
    ("digest", "The digest of its files."),
    ("revision", "The revision: these files, in pods of this shape."),
    ("uri", "The reference that meant it, as it was written."),
    ("source", "Where its files are fetched from."),
    ("proposedAt", "When the reference, or the pods' shape, came to mean it: when an alias moved to it."),
    ("servedFrom", "When it began to serve. Absent where it never did."),
    ("servedUntil", "When it ceased to serve. Absent while it serves."),
    ("failedFor", "Why it did not begin to serve, from the catalogue of reasons."),
)

LISTS: Mapping[str, Mapping[str, Any]] = {
    "ModelDeployment": {
        "history": {
            "description": "Which revisions were proposed and which served, when: the newest last, at most 20.",
            "type": "array",
            "x-kubernetes-list-type": "atomic",
            "items": {
                "description": "One revision, proposed once.",
                "type": "object",
                "required": ["version", "digest"],
                "properties": {
                    name: {
                        "description": description,
                        "type": "string",
                        **({"format": "date-time"} if name.endswith(("At", "From", "Until")) else {}),
                    }
                    for name, description in _HISTORY
                },
            },
        }
    },
    "DecisionGraph": {
        "bands": {
            "description": "The automatic bands that promise something, each with its certificate or what it lacks.",
            "type": "array",
            "x-kubernetes-list-type": "atomic",
            "items": {
                "description": "One band, or one segment of it.",
                "type": "object",
                "required": ["band", "reason", "message"],
                "properties": {
                    name: {
                        "description": description,
                        "type": "string",
                        **({"format": "date-time"} if name == "expires" else {}),
                    }
                    for name, description in _BANDS
                },
            },
        }
    },
}
"""The lists in a kind's status."""


def _schema(fields: tuple[StatusField, ...], lists: Mapping[str, Any]) -> dict[str, Any]:
    condition = {
        "description": "One fact about the object.",
        "type": "object",
        "required": ["type", "status", "reason", "message", "lastTransitionTime"],
        "properties": {
            "type": {"description": "What the fact is about.", "type": "string", "maxLength": 316},
            "status": {
                "description": "True, False (someone must act) or Unknown (something is waited for).",
                "type": "string",
                "enum": ["True", "False", "Unknown"],
            },
            "reason": {
                "description": "Why, from the catalogue of reasons.",
                "type": "string",
                "maxLength": 128,
                "pattern": "^[A-Z][A-Za-z0-9]*$",
            },
            "message": {"description": "What to do next, for people.", "type": "string", "maxLength": 32768},
            "observedGeneration": {"description": "The generation that this was observed for.", "type": "integer"},
            "lastTransitionTime": {
                "description": "When the status last changed.",
                "type": "string",
                "format": "date-time",
            },
        },
    }
    return {
        "description": "What was observed; written by Pointsman.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {
            "observedGeneration": {"description": "The generation that was last acted upon.", "type": "integer"},
            "conditions": {
                "description": "What is true of the object; Ready sums it up.",
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": condition,
            },
            **{field.name: field.schema() for field in fields},
            **lists,
        },
    }


STATUS: Mapping[str, dict[str, Any]] = {kind: _schema(fields, LISTS.get(kind, {})) for kind, fields in FIELDS.items()}
"""The schema of each kind's status."""

_READY = (
    PrinterColumn(name="Ready", type="string", path='.status.conditions[?(@.type=="Ready")].status'),
    PrinterColumn(name="Reason", type="string", path='.status.conditions[?(@.type=="Ready")].reason'),
)
_AGE = PrinterColumn(name="Age", type="date", path=".metadata.creationTimestamp")


def _columns(*first: tuple[str, Kind, str], wide: tuple[tuple[str, Kind, str], ...] = ()) -> tuple[PrinterColumn, ...]:
    own = (PrinterColumn(name=name, type=type_, path=f".status.{field}") for name, type_, field in first)
    more = (PrinterColumn(name=name, type=type_, path=f".status.{field}", priority=1) for name, type_, field in wide)
    return (*own, *_READY, _AGE, *more)


COLUMNS: Mapping[str, tuple[PrinterColumn, ...]] = {
    "EventStream": _columns(
        ("Lag", "integer", "lag"),
        ("Dead letters", "integer", "deadLetters"),
        wide=(("Contract", "string", "contractVersion"),),
    ),
    "ModelDeployment": _columns(
        ("Version", "string", "version"),
        ("Revision", "string", "revision"),
        ("Traffic", "integer", "trafficPercent"),
        ("Replicas", "integer", "replicas"),
        wide=(("Digest", "string", "digest"),),
    ),
    "FeatureView": _columns(("Freshness", "date", "freshness"), wide=(("Version", "string", "version"),)),
    "DecisionGraph": _columns(
        ("Runtime", "string", "runtime"),
        ("Automatic", "string", "automaticShare"),
        ("Certified", "string", 'conditions[?(@.type=="Certified")].status'),
        wide=(("Bands", "string", "bandSummary"), ("Revision", "string", "revision")),
    ),
    "ActionTarget": _columns(
        ("Reachable", "boolean", "reachable"),
        ("Budget left", "integer", "budgetLeft"),
        ("Kill switch", "boolean", "killSwitch"),
    ),
}
"""What a user asks first, in `kubectl get` and `pointsman get` alike."""
