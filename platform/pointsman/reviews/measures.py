"""How far reviewers agree, with each other and with known answers, and how long they take. Pure.

Agreement beyond chance: of a pair Cohen's kappa ("A Coefficient of Agreement for Nominal Scales", 1960), of all together
Krippendorff's alpha for nominal data, which takes any number of reviewers and gaps between them ("Computing Krippendorff's
Alpha-Reliability", 2011).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil


@dataclass(frozen=True, kw_only=True)
class Given:
    """One verdict: on which decision, by whom, and how long it was held; `known` is a golden item's answer.

    `first_call` is what the reviewer said before they saw the model's view, where it was hidden; `score` is the model's.
    """

    decision: str
    reviewer: str
    verdict: str
    seconds: float | None = None
    known: str | None = None
    first_call: str | None = None
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two reviewers, by name; kappa is None where chance alone would have them agree always."""

    reviewers: tuple[str, str]
    items: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True, kw_only=True)
class Reviewer:
    """One reviewer's handling: seconds from claim to verdict, and how golden items were answered."""

    reviewer: str
    verdicts: int
    p50_seconds: float | None
    p95_seconds: float | None
    golden: int
    golden_right: int


@dataclass(frozen=True, kw_only=True)
class Anchoring:
    """How far verdicts follow the model, as the chance that what is said to bear the label has the higher score: 0.5 says not
    at all. None where that cannot be told. Where `follow_after` or `follow_shown` is well above `follow_before`, people
    follow what they are shown.
    """

    items: int
    """with a first call, said before the model's view was shown"""
    kept: int
    """of those, decided as the first call said"""
    follow_before: float | None
    """first calls"""
    follow_after: float | None
    """the verdicts on the same items, once the view was shown"""
    follow_shown: float | None
    """verdicts on items of which nothing was hidden"""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """All measures over a set of verdicts; alpha is None where nothing was seen by two, or all said one thing."""

    items_seen_twice: int
    alpha: float | None
    pairs: tuple[Pair, ...]
    reviewers: tuple[Reviewer, ...]
    anchoring: Anchoring


def measures(given: Sequence[Given], label: str | None = None) -> Measures:
    """The measures, pairs and reviewers by name. Of a reviewer's verdicts on one decision the last counts.

    `label` is the verdict that says the graph's label is true.
    """
    said = defaultdict[str, dict[str, str]](dict)
    for each in given:
        said[each.decision][each.reviewer] = each.verdict
    twice = [each for each in said.values() if len(each) > 1]
    return Measures(
        items_seen_twice=len(twice),
        alpha=krippendorff_alpha([list(each.values()) for each in twice]),
        pairs=tuple(_pairs(twice)),
        reviewers=tuple(_reviewers(given)),
        anchoring=anchoring(given, label),
    )


def anchoring(given: Sequence[Given], label: str | None) -> Anchoring:
    """How far verdicts follow the model's score, before and after it is shown."""
    blind = [each for each in given if each.first_call is not None]
    shown = [each for each in given if each.first_call is None]

    def follow(said: Iterable[tuple[str | None, float | None]]) -> float | None:
        scored = [(verdict, score) for verdict, score in said if score is not None]
        bearing = [score for verdict, score in scored if verdict == label]
        return None if label is None else concordance(bearing, [score for verdict, score in scored if verdict != label])

    return Anchoring(
        items=len(blind),
        kept=sum(each.first_call == each.verdict for each in blind),
        follow_before=follow((each.first_call, each.score) for each in blind),
        follow_after=follow((each.verdict, each.score) for each in blind),
        follow_shown=follow((each.verdict, each.score) for each in shown),
    )


def concordance(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """The share of pairs in which the first is greater, ties counted half (Mann and Whitney, 1947); None without pairs."""
    if not higher or not lower:
        return None
    ordered = sorted(lower)
    greater = sum(bisect_left(ordered, each) + bisect_right(ordered, each) for each in higher) / 2
    return greater / (len(higher) * len(lower))


def cohen_kappa(answers: Sequence[tuple[str, str]]) -> float | None:
    """Agreement of two over the items that both answered; None where chance agreement is complete or nothing is there."""
    count = len(answers)
    if not count:
        return None
    left, right = Counter(a for a, _ in answers), Counter(b for _, b in answers)
    observed = sum(a == b for a, b in answers) / count
    by_chance = sum(left[each] * right[each] for each in left) / count**2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """1 - observed over expected disagreement, nominal; each unit holds the values that were given to it.

    Units with fewer than two values say nothing. None where no value can be paired, or there is but one value.
    """
    coincidences, values = 0.0, Counter[str]()
    for unit in units:
        if len(unit) < 2:
            continue
        counts = Counter(unit)
        values.update(counts)
        differing = len(unit) ** 2 - sum(each**2 for each in counts.values())
        coincidences += differing / (len(unit) - 1)
    total = values.total()
    expected = total**2 - sum(each**2 for each in values.values())
    return None if not expected else 1 - (total - 1) * coincidences / expected


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share does not exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)) - 1, 0)] if ordered else None


def _pairs(twice: Sequence[Mapping[str, str]]) -> Iterable[Pair]:
    by_pair = defaultdict[tuple[str, str], list[tuple[str, str]]](list)
    for each in twice:
        for a, b in combinations(sorted(each), 2):
            by_pair[a, b].append((each[a], each[b]))
    for pair, answers in sorted(by_pair.items()):
        agreed = sum(a == b for a, b in answers)
        yield Pair(reviewers=pair, items=len(answers), agreed=agreed, kappa=cohen_kappa(answers))


def _reviewers(given: Sequence[Given]) -> Iterable[Reviewer]:
    by_reviewer = defaultdict[str, list[Given]](list)
    for each in given:
        by_reviewer[each.reviewer].append(each)
    for name, own in sorted(by_reviewer.items()):
        seconds = [each.seconds for each in own if each.seconds is not None]
        golden = [each for each in own if each.known is not None]
        yield Reviewer(
            reviewer=name,
            verdicts=len(own),
            p50_seconds=percentile(seconds, 0.5),
            p95_seconds=percentile(seconds, 0.95),
            golden=len(golden),
            golden_right=sum(each.verdict == each.known for each in golden),
        )
