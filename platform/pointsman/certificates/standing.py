"""Which of a graph's certificates are live now, and why the others are not. Hosts ask, and do as it says.

Live is a certificate whose signature is valid, which is of exactly this scorer, bounds the error by what the band promises,
has not expired, and whose band was not demoted since. The last certification of a band says whether it is by segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pointsman.api.reasons import Reason
from pointsman.certificates.document import BandCertificate
from pointsman.certificates.live import LiveBands
from pointsman.certificates.promise import Promised, fewest
from pointsman.certificates.report import BandReport

PARTS_NAMED = 3
SOON = timedelta(days=7)
"""So long before its end a certificate is said to end soon"""
TOLERANCE = 1e-12
"""By which confidences that were computed from decimal texts may differ."""


@dataclass(frozen=True, kw_only=True)
class Demotion:
    """A band, or one segment of it, that was demoted and not re-armed since."""

    band: str
    segment: str | None
    at: datetime
    author: str
    comment: str

    def __str__(self) -> str:
        return f"it was demoted by {self.author}" + (f": {self.comment}" if self.comment else "")

    def concerns(self, certificate: BandCertificate) -> bool:
        """A demoted segment casts doubt on the band as a whole, and a demoted band on all its segments."""
        of = None if certificate.segment is None else certificate.segment.value
        return self.band == certificate.band and (self.segment is None or of is None or of == self.segment)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a graph: certificates with a valid signature in the order of their issue, and what was demoted.

    `refused` counts, by band, the certificates that no known key has signed.
    """

    certificates: Sequence[BandCertificate] = ()
    demotions: Sequence[Demotion] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What holds from now until `until` (None: until something new is known)."""

    live: LiveBands
    reports: tuple[BandReport, ...]
    until: datetime | None


def stand(promises: Sequence[Promised], known: Known, now: datetime, *, required: bool = True) -> Standing:
    """What is live at `now` for a revision with these promises. Where no certificates are required, what was demoted."""
    if not required:
        return _demoted(promises, known)
    live, demoted, reports = _Places(), _Places(), list[BandReport]()
    heard_of = {each.band for each in known.certificates} | {each.band for each in known.demotions} | set(known.refused)
    never = frozenset(band.position for band in promises if band.name not in heard_of)
    expiries = list[datetime]()
    for band in promises:
        chosen = _certificates(band, known)
        if not chosen:
            reports.append(_missing(band, known, never_certified=band.position in never))
            continue
        for each in chosen:
            report = _report(each, known, now)
            reports.append(report)
            if report.reason is Reason.BandDemoted:
                demoted.add(band.position, each)
            elif report.live:
                expiries += [moment for moment in (each.expires - SOON, each.expires) if moment > now]
                live.add(band.position, each)
    return Standing(
        live=live.bands(demoted.bands() if demoted.whole or demoted.by_segment else None, never),
        reports=tuple(reports),
        until=min(expiries, default=None),
    )


def _demoted(promises: Sequence[Promised], known: Known) -> Standing:
    """A band acts without a certificate, but not on evidence that it breaks its promise: as a whole, since it acts so."""
    found = [(band, each) for band in promises for each in known.demotions if each.band == band.name]
    demoted = LiveBands(whole=frozenset(band.position for band, _ in found))
    reports = tuple(BandReport(band=band.name, reason=Reason.BandDemoted, message=str(each)) for band, each in found)
    return Standing(live=LiveBands(demoted=demoted if found else None), reports=reports, until=None)


class _Places:
    """Where certificates of one standing lie: whole bands, and segments of bands."""

    def __init__(self) -> None:
        self.whole = set[int]()
        self.by_segment = dict[int, tuple[str, frozenset[str]]]()

    def add(self, position: int, certificate: BandCertificate) -> None:
        segment = certificate.segment
        if segment is None:
            self.whole.add(position)
        else:
            _, values = self.by_segment.get(position, ("", frozenset()))
            self.by_segment[position] = (segment.field, values | {segment.value})

    def bands(self, demoted: LiveBands | None = None, never: frozenset[int] = frozenset()) -> LiveBands:
        return LiveBands(whole=frozenset(self.whole), by_segment=self.by_segment, demoted=demoted, never=never)


def _certificates(band: Promised, known: Known) -> list[BandCertificate]:
    """The newest certificate of the band, or of each of its segments, that is of this scorer and keeps the promise."""
    digest = band.digest.value
    fitting = [
        each for each in known.certificates if each.band == band.name and each.scorer == digest and _keeps(each, band)
    ]
    if not fitting:
        return []
    field = _field(fitting[-1])
    newest = {each.segment: each for each in fitting if _field(each) == field}
    return sorted(newest.values(), key=lambda each: "" if each.segment is None else each.segment.value)


def _field(certificate: BandCertificate) -> str | None:
    return None if certificate.segment is None else certificate.segment.field


def _keeps(certificate: BandCertificate, band: Promised) -> bool:
    return certificate.bound <= band.alpha + TOLERANCE and certificate.delta <= band.delta + TOLERANCE


def _report(certificate: BandCertificate, known: Known, now: datetime) -> BandReport:
    reason, message = Reason.CertificatesLive, _live(certificate)
    demotion = next((each for each in known.demotions if each.concerns(certificate)), None)
    if demotion is not None:
        reason, message = Reason.BandDemoted, str(demotion)
    elif certificate.expires <= now:
        reason, message = Reason.CertificateExpired, f"its certificate expired at {certificate.expires.isoformat()}"
    is_live = reason is Reason.CertificatesLive
    return BandReport(
        band=certificate.band,
        segment=None if certificate.segment is None else str(certificate.segment),
        reason=reason,
        message=message,
        bound=certificate.bound,
        expires=certificate.expires,
        certificate=str(certificate.id),
        ends_soon=is_live and certificate.expires - SOON <= now,
    )


def _live(certificate: BandCertificate) -> str:
    wrong = f"{certificate.wrong} wrong of {certificate.labelled:,}"
    return f"error at most {certificate.bound:.3%} ({wrong}) until {certificate.expires.date().isoformat()}"


def _missing(band: Promised, known: Known, *, never_certified: bool) -> BandReport:
    reason, message = _why_missing(band, known)
    return BandReport(band=band.name, reason=reason, message=message, never_certified=never_certified)


def _why_missing(band: Promised, known: Known) -> tuple[Reason, str]:
    mine = [each for each in known.certificates if each.band == band.name]
    if mine:
        newest = max(mine, key=lambda each: each.issued)
        changed = band.digest.differs_from(newest.scorer_parts)
        if changed:
            named = ", ".join(changed[:PARTS_NAMED]) + (", …" if len(changed) > PARTS_NAMED else "")
            return Reason.ScorerChanged, f"its certificate is of another scorer: changed since: {named}"
        return (
            Reason.NoLiveCertificate,
            f"certified is an error of at most {newest.bound:.3%} at {1 - newest.delta:.4g}, and promised are "
            f"{band.alpha:.4g} at {1 - band.delta:.4g}",
        )
    if band.name in known.refused:
        return Reason.NoLiveCertificate, "its certificate is signed by no key that is known here"
    return (
        Reason.NoLiveCertificate,
        f"no certificate: it takes at least {fewest(band.alpha, band.delta):,} labelled items of the band, none wrong",
    )


def shares(reports: Sequence[BandReport]) -> Iterator[str]:
    """One clause for each band or segment, for people."""
    for each in reports:
        yield f"{each.name}: {each.message}"
