"""Whether a revision takes over from the one that serves, or waits for certificates. Pure; hosts ask, and do as it says.

It waits where an automatic band would cease to act for want of a certificate that the serving revision has. Where that one has
none that is live either (it expired, or the band was demoted), or where neither asks for any, there is nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from pointsman.api.reasons import Reason
from pointsman.certificates.digest import ON_RECORDED_FEATURES, model_part
from pointsman.certificates.live import LiveBands
from pointsman.certificates.promise import Promised
from pointsman.certificates.report import BandReport
from pointsman.certificates.standing import Standing
from pointsman.graphs.resolve import ResolvedGraph


class Awaiting(BaseModel):
    """A revision that waits, and for which of its bands, each with why it has no live certificate. JSON both ways, in camelCase.

    `models` are the ModelDeployments whose other models alone make it another scorer; empty where anything else does too.
    `other_features` where what it decides on is not what was recorded, so that it is certified on events alone.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    revision: str
    bands: tuple[BandReport, ...]
    models: tuple[str, ...] = ()
    other_features: bool = False


@dataclass(frozen=True, kw_only=True)
class Certified:
    """A revision, what its automatic bands promise, and how they stand to their certificates at one moment."""

    resolved: ResolvedGraph
    promises: Sequence[Promised]
    standing: Standing


def may_wait(serving: ResolvedGraph, candidate: ResolvedGraph) -> bool:
    """Whether it depends on certificates when the candidate takes over."""
    before, after = serving.graph.spec, candidate.graph.spec
    return before.certificates == after.certificates == "Required" and after.on_missing_certificates != "Review"


def awaited(serving: Certified, candidate: Certified) -> Awaiting | None:
    """What the candidate waits for; None where it takes over at once."""
    if not may_wait(serving.resolved, candidate.resolved):
        return None
    lost = list(_lost(serving, candidate))
    if not lost:
        return None
    changed = {part for old, new in lost for part in new.digest.differs_from(old.digest.parts)}
    return Awaiting(
        revision=candidate.resolved.revision,
        bands=tuple(report for _, band in lost for report in _missing(band, serving, candidate)),
        models=_models(changed, candidate.resolved),
        other_features=any(not part.startswith(ON_RECORDED_FEATURES) for part in changed),
    )


def _lost(serving: Certified, candidate: Certified) -> Iterator[tuple[Promised, Promised]]:
    """The bands that act now and would not, each with the one that takes its place. One that is given up is no loss."""
    for old in serving.promises:
        new = _successor(old, serving.promises, candidate.promises)
        if new is None:
            continue
        if not _acts_where(candidate.standing.live, new, serving.standing.live, old):
            yield old, new


def _successor(band: Promised, old: Sequence[Promised], new: Sequence[Promised]) -> Promised | None:
    """The band of this name, else one of another name that concludes the same."""
    taken = {each.name for each in old}
    same = (each for each in new if each.name == band.name)
    alike = (each for each in new if each.outcome == band.outcome and each.name not in taken)
    return next(same, None) or next(alike, None)


def _acts_where(after: LiveBands, new: Promised, before: LiveBands, old: Promised) -> bool:
    """Whether the new band acts wherever the old one does. One that was certified anew by segment says itself where that is."""
    if new.position in after.whole:
        return True
    field, values = after.by_segment.get(new.position, ("", frozenset()))
    if old.position in before.whole:
        return bool(values)
    old_field, old_values = before.by_segment.get(old.position, ("", frozenset()))
    return not old_values or (bool(values) and field != old_field) or old_values <= values


def _missing(band: Promised, serving: Certified, candidate: Certified) -> Iterator[BandReport]:
    """Why the band does not act; of one that acts in some segments alone, where it does not."""
    reports = [each for each in candidate.standing.reports if each.band == band.name]
    dead = [each for each in reports if not each.live]
    if dead:
        yield from dead
        return
    now = {each.segment for each in serving.standing.reports if each.band == band.name and each.live}
    lost = sorted(each for each in now - {each.segment for each in reports} if each is not None)
    message = f"no certificate where {' or '.join(lost)}"
    yield BandReport(band=band.name, reason=Reason.NoLiveCertificate, message=message)


def _models(changed: Set[str], candidate: ResolvedGraph) -> tuple[str, ...]:
    deployments = {model_part(node): model.deployment for node, model in candidate.models.items()}
    return tuple(sorted({deployments[part] for part in changed})) if changed <= deployments.keys() else ()
