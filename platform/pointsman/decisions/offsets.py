"""How far a graph has read its sources: offsets that move with the decisions, in the same transaction.

A batch that was read from a source says which stretch of each partition it takes. It is decided only where it begins exactly
at the store's offset, so that nothing is left out and nothing comes twice, whatever failed before. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pointsman.decisions.record import Place

Offsets = dict[tuple[str, int], int]
"""By source and partition, the offset that is read next."""


class Misplaced(Exception):
    """The events do not begin where the store stands; nothing was decided. Read again from there."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What a submission was read from. `places` has partition and offset of each event, in their order.

    `moves` has, by partition, the offset that was to be read next before, and the one after it.
    """

    source: str
    label: str
    """the source as people know it"""
    places: Sequence[tuple[int, int]]
    moves: Mapping[int, tuple[int, int]]


def moved(offsets: Mapping[tuple[str, int], int], stretches: Sequence[Stretch | None]) -> Offsets:
    """The offsets that the batch moves, as they are after it. Raises Misplaced."""
    after = Offsets()
    for stretch in stretches:
        if stretch is None:
            continue
        for partition, (start, end) in stretch.moves.items():
            key = (stretch.source, partition)
            stands = after.get(key, offsets.get(key))
            if stands != start:
                raise Misplaced(f"{stretch.label}/{partition}: read from offset {start}, the store stands at {stands}")
            after[key] = end
    return after


class Places:
    """Where the rows of a batch stood in their sources, looked up for the few that go to the dead letters."""

    def __init__(self, stretches: Sequence[tuple[int, Stretch | None]]) -> None:
        """Each submission's number of events, and where they were read."""
        self._ends = list(accumulate(size for size, _ in stretches))
        self._stretches = [stretch for _, stretch in stretches]

    def __call__(self, row: int) -> Place | None:
        """The row's place; None where it was sent to us."""
        at = bisect_right(self._ends, row)
        stretch = self._stretches[at]
        if stretch is None:
            return None
        partition, offset = stretch.places[row - (self._ends[at - 1] if at else 0)]
        return Place(source=f"{stretch.label}/{partition}", offset=offset)
