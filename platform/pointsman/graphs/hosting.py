"""Decides which hosts of a graph run on a cluster, which one decides, and how another takes over without loss. Pure.

A host of another shape is brought up as a standby beside the one that decides. Decisions move to it once it has answered its
probe decision, and awaits no certificate that the one before has; that one stays a while for what is under way there. At no
time do two take the graph from each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pointsman.graphs.plan import HostState, Wanted


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The hosts of one graph, by shape, as they are seen.

    `wanted` is None while nothing may be changed: something is missing, or wrong. `serving` is the shape that decisions went
    to, `has_decided` whether it ever was there to decide; `draining` are those that decisions have left, and since when.
    """

    wanted: Wanted | None
    hosts: Mapping[str, HostState]
    serving: str | None = None
    has_decided: bool = False
    draining: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Hosting:
    """What is to be: `run` the hosts that get the newest revision, by shape, and whether each is a standby; `kept` those that
    stay as they were made; `serves` the one that decisions go to. `look_again` is when less will be kept.
    """

    run: Mapping[str, bool]
    kept: frozenset[str]
    serves: str | None
    draining: Mapping[str, datetime]
    look_again: datetime | None = None


def decide(observed: Observed, now: datetime, *, drain: timedelta) -> Hosting:
    """The hosts for one observation. The same observation gives the same; `now` dates the end of a drain."""
    wanted, hosts = observed.wanted, observed.hosts
    draining = {shape: since for shape, since in observed.draining.items() if shape in hosts and since + drain > now}
    look_again = min((since + drain for since in draining.values()), default=None)
    serving = observed.serving if observed.serving in hosts else None
    if wanted is None:
        return Hosting(
            run={}, kept=frozenset(hosts), serves=serving, draining=dict(observed.draining), look_again=look_again
        )
    starts = wanted.can_start or wanted.shape in hosts
    if serving is None or serving == wanted.shape:
        draining.pop(wanted.shape, None)
        run = {wanted.shape: False} if starts else {}
        serves = wanted.shape if run else None
        return Hosting(run=run, kept=frozenset(draining), serves=serves, draining=draining, look_again=look_again)
    if not _takes_over(observed, wanted, serving):
        run = {wanted.shape: True} if starts else {}
        kept = frozenset({serving, *draining} - run.keys())
        return Hosting(run=run, kept=kept, serves=serving, draining=draining, look_again=look_again)
    draining.pop(wanted.shape, None)
    if hosts[serving].answering:
        draining[serving] = now
    return Hosting(
        run={wanted.shape: False},
        kept=frozenset(draining),
        serves=wanted.shape,
        draining=draining,
        look_again=min((since + drain for since in draining.values()), default=None),
    )


def _takes_over(observed: Observed, wanted: Wanted, serving: str) -> bool:
    """Whether the host of the wanted shape decides from now on: it can, or the one before cannot."""
    before, after = observed.hosts[serving], observed.hosts.get(wanted.shape)
    if after is not None and after.answering and after.revision == wanted.revision and after.awaits is None:
        return True
    return wanted.can_start and (before.failing or not observed.has_decided)
