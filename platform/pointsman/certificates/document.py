"""BandCertificate: the signed statement about one band. Canonical JSON, signed by Ed25519.

Issued by `certify`, kept in the store and beside documents, checked by every host before it acts on it. What is signed are
the canonical bytes behind a prefix of their own, so that no signature of anything else passes for one of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pointsman.api.values import Digest

PREFIX = b"pointsman.dev/BandCertificate/v1\n"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment has a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment lies in the years 1 to 9999, in UTC too") from error


Moment = Annotated[datetime, AfterValidator(_utc)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class Segment(_Part):
    """The items whose `field` (a column of the graph, with the edges of its classes behind a colon) has this value."""

    field: str
    value: str

    def __str__(self) -> str:
        return f'{self.field} = "{self.value}"'


class BandCertificate(_Part):
    """The error of this band is at most `bound`, with this confidence, for this scorer, population and segment."""

    kind: Literal["BandCertificate"] = "BandCertificate"
    version: Literal[1] = 1
    id: UUID
    graph: str
    graph_uid: UUID
    band: str
    segment: Segment | None = None
    outcome: str
    promises: bool
    """what the label of an item in the band is to be"""
    at_least: float | None = None
    below: float | None = None
    alpha: Share
    """the error that was tested"""
    delta: Share
    wrong: int = Field(ge=0)
    labelled: int = Field(ge=1)
    bound: Share
    p_value: Share
    candidates: int = Field(ge=1)
    """how many thresholds were tried; the bound and the test are corrected for them"""
    method: Literal["ClopperPearson", "Betting"]
    smallest_propensity: float | None = Field(default=None, gt=0, le=1)
    """the bound on the weights that Betting stands on"""
    population: str
    """whose error the bound is about, in words"""
    scorer: Digest
    scorer_parts: Mapping[str, str]
    data: Digest
    issued: Moment
    expires: Moment
    issuer: str

    def canonical(self) -> bytes:
        """The bytes that are signed: sorted keys, no spaces, what is absent left out."""
        return orjson.dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True), option=orjson.OPT_SORT_KEYS)


class SignedCertificate(_Part):
    """A certificate with its signature: what is stored, and what a file holds."""

    certificate: BandCertificate
    key_id: str
    signature: str
    """hexadecimal"""

    @classmethod
    def sign(cls, certificate: BandCertificate, key: Ed25519PrivateKey) -> Self:
        signature = key.sign(PREFIX + certificate.canonical())
        return cls(certificate=certificate, key_id=key_id(key.public_key()), signature=signature.hex())

    def is_signed_by(self, keys: Mapping[str, Ed25519PublicKey]) -> bool:
        """Whether one of these keys, by id, has signed exactly this."""
        key = keys.get(self.key_id)
        if key is None:
            return False
        try:
            key.verify(bytes.fromhex(self.signature), PREFIX + self.certificate.canonical())
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_json(self) -> bytes:
        said = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a public key: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]
