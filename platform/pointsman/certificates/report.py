"""What a host says of its bands' certificates: in its ready check, for whoever writes the graph's status."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from pointsman.api.reasons import Reason


class BandReport(BaseModel):
    """One automatic band, or one of its segments. JSON both ways, in camelCase."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    band: str
    segment: str | None = None
    reason: Reason
    """CertificatesLive, or why nothing is automatic"""
    message: str
    bound: float | None = None
    """the error's upper bound, of the certificate that is meant"""
    expires: datetime | None = None
    certificate: str | None = None
    """its id"""
    ends_soon: bool = False
    """whether it is live and ends within SOON: time to certify anew"""
    never_certified: bool = False

    @property
    def live(self) -> bool:
        return self.reason is Reason.CertificatesLive

    @property
    def name(self) -> str:
        """The band, and its segment where it is certified by segment."""
        return f'"{self.band}"' if self.segment is None else f'"{self.band}" where {self.segment}'
