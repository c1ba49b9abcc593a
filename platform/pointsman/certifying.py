"""Brings labels and decisions together, so that bands can be certified: for `pointsman certify` and the API.

Labels are those that the store knows (verdicts, ground truth, silence), or come from a file (JSONL, CSV or Parquet: `id` of the
event, `label`, and `propensity` where the probability with which it came to be seen is known). Scores come from the store's
decisions, or from events that are scored anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.certificates.costs import Traffic
from pointsman.certificates.digest import RESCORED, scorer
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.segments import NUMBERS, Segmentation, segmentation
from pointsman.decisions.queries import recorded_revision
from pointsman.graphs.contract import Contract, compile_contract
from pointsman.graphs.identity import decision_ids
from pointsman.graphs.resolve import ResolvedGraph, resolve
from pointsman.labels.given import CannotCertify, Label, read_events, read_labels
from pointsman.labels.read import NoLabel, known_labels
from pointsman.library import GraphLibrary

Connection = psycopg.Connection[TupleRow]

DECISIONS = """
SELECT d.decision_id, d.score, d.revision, e.body, d.body, e.event_time
FROM decision_keys k JOIN decisions d USING (day, decision_id)
    JOIN events e USING (day, stream_uid, event_id)
WHERE k.decision_id = ANY(%s) AND d.score IS NOT NULL
"""
REVISIONS = "SELECT digest, body FROM revisions WHERE kind = 'DecisionGraph' AND digest = ANY(%s)"
OF_GRAPH = "SELECT body FROM revisions WHERE kind = 'DecisionGraph' AND name = %s AND starts_with(digest, %s)"
AT_ONCE = 5000
DAY_US = 86_400_000_000


Anew = Callable[[Sequence[object], Sequence[Mapping[str, Any]]], npt.NDArray[np.float64]]
"""Scores decided events by what was recorded of them; NaN where there is no score. As graphs.rescore, of one revision"""


class NothingLabelled(CannotCertify):
    """No label has a score."""

    def __init__(self) -> None:
        super().__init__("none of the labelled events has been decided by this scorer: no label has a score")


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What can be certified on, and what was left out: labels without a decision, or labelled decisions without a score,
    and decisions of another scorer. Where nothing is in a store, it comes with the events of what is labelled, and with all
    that was scored.
    """

    labelled: Labelled
    unknown: int
    other_scorer: int
    events: Sequence[object] | None = None
    traffic: Traffic | None = None
    days: float | None = None
    """in which the labelled ones came, by the times of their events, at least one; None where those are not at hand"""


def serving(connection: Connection, graph: str) -> ResolvedGraph:
    """The revision of a graph that decides, or decided last. Raises CannotCertify."""
    with connection.transaction():
        row = connection.execute(
            "SELECT uid FROM objects WHERE kind = 'DecisionGraph' AND name = %s", (graph,)
        ).fetchone()
    resolved = None if row is None else recorded_revision(connection, row[0])
    if resolved is None:
        raise CannotCertify(f'no graph "{graph}" has decided here: apply it, and have it decide')
    return resolved


def recorded(connection: Connection, resolved: ResolvedGraph, revision: str) -> ResolvedGraph:
    """Another revision of the same graph, that decided once or waits for certificates; `revision` is how its digest begins.

    Raises CannotCertify.
    """
    with connection.transaction():
        rows = connection.execute(
            OF_GRAPH, (resolved.graph.name, f"sha256:{revision.removeprefix('sha256:')}")
        ).fetchall()
    found = [each for (body,) in rows if (each := ResolvedGraph.model_validate(body)).graph_uid == resolved.graph_uid]
    if len(found) != 1:
        what = "no revision" if not found else f"{len(found)} revisions"
        raise CannotCertify(f'{what} of graph "{resolved.graph.name}" whose digest begins with "{revision}"')
    return found[0]


def of_revision(connection: Connection, graph: str, revision: str | None) -> ResolvedGraph:
    """The revision of a graph that decides, or another one by how its digest begins. Raises CannotCertify."""
    resolved = serving(connection, graph)
    return resolved if revision is None else recorded(connection, resolved, revision)


def with_model(resolved: ResolvedGraph, deployment: str, *, version: str, digest: str, folder: Path) -> ResolvedGraph:
    """The revision that a graph has once a ModelDeployment serves these files. Raises CannotCertify."""
    nodes = [node for node, model in resolved.models.items() if model.deployment == deployment]
    if not nodes:
        known = ", ".join(sorted({model.deployment for model in resolved.models.values()}))
        raise CannotCertify(f'the graph calls no ModelDeployment "{deployment}": it calls {known}')
    files = {"version": version, "digest": digest, "folder": str(folder), "placement": "Inline", "url": None}
    models = {
        node: model.model_copy(update=files) if node in nodes else model for node, model in resolved.models.items()
    }
    return resolve(
        graph=resolved.graph, stream=resolved.stream, views=resolved.views, targets=resolved.targets, models=models
    )


def rescored(connection: Connection, joined: Joined, anew: Anew) -> Joined:
    """The same decisions, scored anew from their recorded features; those without a score are left out."""
    before = joined.labelled
    scores = scored_anew(connection, before.ids, anew)
    after = replace(before, scores=scores).take(~np.isnan(scores))
    return replace(joined, labelled=after, unknown=joined.unknown + len(before) - len(after))


def scored_anew(connection: Connection, ids: Sequence[bytes], anew: Anew) -> npt.NDArray[np.float64]:
    """The new scores of recorded decisions; NaN where there is none."""
    scores = list[npt.NDArray[np.float64]]()
    for at in range(0, len(ids), AT_ONCE):
        part = [UUID(bytes=id_) for id_ in ids[at : at + AT_ONCE]]
        with connection.transaction():
            rows = connection.execute(DECISIONS, (part,)).fetchall()
        found = {id_: (orjson.loads(event), orjson.loads(body)["values"]) for id_, _, _, event, body, _ in rows}
        events, values = zip(*(found[id_] for id_ in part), strict=True)
        scores.append(anew(events, values))
    return np.concatenate(scores) if scores else np.array([], dtype=np.float64)


def known_to_the_store(
    connection: Connection, resolved: ResolvedGraph, now: datetime, *, segment: str | None, any_model: bool = False
) -> Joined:
    """Recorded decisions of the same scorer, or of any model on the same features, with the labels that count now.

    Raises CannotCertify. The weights are bound by the smallest propensity that a sample of the graph, or any label, came with.
    """
    spec = resolved.graph.spec
    segments = None if segment is None else read_segmentation(resolved, segment)[1]
    column = None if segments is None else segments.column
    try:
        items, known = known_labels(connection, resolved.graph_uid, spec, now, segment=column)
    except NoLabel as error:
        raise CannotCertify(str(error)) from error
    same = alike(connection, resolved, set(items.revisions[known.rows].tolist()), any_model=any_model)
    scored = np.isfinite(items.scores[known.rows])
    ours = np.isin(items.revisions[known.rows].astype(str), list(same))
    kept = scored & ours
    rows = known.rows[kept]
    if not len(rows):
        raise CannotCertify("no decision of this scorer has a label that counts yet")
    propensities = known.propensities[kept]
    samples = [float(spec.audit.sample.fraction) or 1.0]
    if spec.uncertified is not None:
        samples.append(float(spec.uncertified.sample.fraction) or 1.0)
    labelled = Labelled(
        ids=[items.ids[at] for at in rows.tolist()],
        scores=items.scores[rows],
        labels=known.labels[kept],
        propensities=propensities,
        smallest_propensity=min(*samples, float(propensities.min())),
        matured=known.matured[kept],
        segment_field=None if segments is None else str(segments),
        segments=None
        if segments is None or items.segments is None
        else np.array(segments.of(items.segments[rows]), dtype=object),
    )
    return Joined(
        labelled=labelled,
        unknown=int((~scored).sum()),
        other_scorer=int((scored & ~ours).sum()),
        days=_days(items.event_times[rows]),
    )


def of_the_store(
    connection: Connection,
    resolved: ResolvedGraph,
    labels: Mapping[str, Label],
    *,
    segment: str | None,
    smallest_propensity: float | None,
    any_model: bool = False,
) -> Joined:
    """Labels joined with recorded decisions of the same scorer, or of any model on the same features.

    Raises CannotCertify.
    """
    names = decision_ids(resolved.graph_uid, labels)
    of_event = dict(zip(names, labels, strict=True))
    wanted, rows = [UUID(bytes=id_) for id_ in names], list[tuple[bytes, float, str, bytes, datetime]]()
    with connection.transaction():
        for at in range(0, len(wanted), AT_ONCE):
            found = connection.execute(DECISIONS, (wanted[at : at + AT_ONCE],)).fetchall()
            rows += [(id_.bytes, score, revision, bytes(body), at_) for id_, score, revision, body, _, at_ in found]
    same = alike(connection, resolved, {revision for _, _, revision, *_ in rows}, any_model=any_model)
    kept = [row for row in rows if row[2] in same]
    labelled = _labelled(
        resolved,
        [id_ for id_, *_ in kept],
        [score for _, score, *_ in kept],
        [labels[of_event[id_]] for id_, *_ in kept],
        None if segment is None else [orjson.loads(body) for _, _, _, body, _ in kept],
        segment,
        smallest_propensity,
    )
    times = np.array([at.timestamp() * 1e6 for *_, at in kept], dtype=np.float64)
    return Joined(
        labelled=labelled,
        unknown=len(labels) - len(rows),
        other_scorer=len(rows) - len(kept),
        days=_days(times),
    )


def of_events(
    library: GraphLibrary,
    events: Sequence[object],
    labels: Mapping[str, Label],
    *,
    segment: str | None,
    smallest_propensity: float | None,
) -> Joined:
    """Labels joined with events that the library scores, in their order. Raises CannotCertify."""
    resolved, scored = library.graph.resolved, dict[str, tuple[float, object]]()
    for at in range(0, len(events), AT_ONCE):
        chunk = events[at : at + AT_ONCE]
        for event, answer in zip(chunk, library.decide(chunk), strict=True):
            if answer["score"] is not None:
                scored.setdefault(answer["id"], (answer["score"], event))
    seen = {name: each for name, each in scored.items() if name in labels}
    labelled = _labelled(
        resolved,
        decision_ids(resolved.graph_uid, seen),
        [score for score, _ in seen.values()],
        [labels[name] for name in seen],
        None if segment is None else [event for _, event in seen.values()],
        segment,
        smallest_propensity,
    )
    traffic = Traffic(
        ids=decision_ids(resolved.graph_uid, scored),
        scores=np.array([score for score, _ in scored.values()], dtype=np.float64),
        days=_days(_times(resolved, [event for _, event in scored.values()])),
    )
    return Joined(
        labelled=labelled,
        unknown=len(labels) - len(seen),
        other_scorer=0,
        events=[event for _, event in seen.values()],
        traffic=traffic,
        days=traffic.days,
    )


def of_history(
    resolved: ResolvedGraph,
    events: Sequence[object],
    scores: Mapping[str, float],
    labels: Mapping[str, Label],
    *,
    segment: str | None,
    smallest_propensity: float | None,
) -> Joined:
    """Labels joined with events of a history, and the scores that those have by id. Raises CannotCertify."""
    contract = compile_contract(resolved.stream)
    batch = contract.read(events)
    ids = batch.columns[contract.id].values.tolist()
    rows = dict(zip(reversed(ids), reversed(batch.good.tolist()), strict=True))  # the first of each id stands
    names = [name for name in scores if name in labels]
    labelled = _labelled(
        resolved,
        decision_ids(resolved.graph_uid, names),
        [scores[name] for name in names],
        [labels[name] for name in names],
        [events[rows[name]] for name in names],
        segment,
        smallest_propensity,
    )
    return Joined(labelled=labelled, unknown=len(labels) - len(names), other_scorer=0)


def given(items: Labelled, *, smallest_propensity: float | None, unknown: int, other_scorer: int) -> Joined:
    """What was collected of labelled decisions, whose propensity is NaN where there is none. Raises CannotCertify."""
    if not len(items):
        raise NothingLabelled
    assert items.propensities is not None
    propensities = _of_a_known_draw(items.propensities)
    smallest = None if propensities is None else smallest_propensity
    labelled = replace(items, propensities=propensities, smallest_propensity=smallest)
    return Joined(labelled=labelled, unknown=unknown, other_scorer=other_scorer)


def _times(resolved: ResolvedGraph, events: Sequence[object]) -> npt.NDArray[np.int64]:
    contract = compile_contract(resolved.stream)
    times: npt.NDArray[np.int64] = contract.read(events).columns[contract.time].values
    return times


def _days(times: npt.NDArray[Any]) -> float:
    """Over how many days these moments (µs) are spread; at least one."""
    return max(1.0, float(np.ptp(times)) / DAY_US) if len(times) else 1.0


def _labelled(
    resolved: ResolvedGraph,
    ids: Sequence[bytes],
    scores: Sequence[float],
    labels: Sequence[Label],
    events: Sequence[object] | None,
    segment: str | None,
    smallest_propensity: float | None,
) -> Labelled:
    if not ids:
        raise NothingLabelled
    propensities = _of_a_known_draw(np.array([each.propensity for each in labels], dtype=np.float64))
    return Labelled(
        ids=ids,
        scores=np.array(scores, dtype=np.float64),
        labels=np.array([each.label for each in labels], dtype=np.bool_),
        propensities=propensities,
        smallest_propensity=None if propensities is None else smallest_propensity,
        segment_field=None if segment is None else str(segmentation(segment)),
        segments=None if events is None or segment is None else _segments(resolved, segment, events),
    )


def _of_a_known_draw(propensities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """The propensities, or None where none is known (NaN). Raises CannotCertify where some are."""
    unknown = np.isnan(propensities)
    if unknown.all():
        return None
    if unknown.any():
        raise CannotCertify("some labels have a propensity and others do not: give it for all, or for none")
    return propensities


def alike(connection: Connection, resolved: ResolvedGraph, revisions: Set[str], *, any_model: bool) -> set[str]:
    """Those of the revisions that give the scores that `resolved` gives, or would with its models."""
    with connection.transaction():
        bodies = connection.execute(REVISIONS, (list(revisions),)).fetchall()

    def parts(of: ResolvedGraph) -> dict[str, str]:
        found = scorer(of).parts.items()
        return {name: value for name, value in found if not (any_model and name.startswith(RESCORED))}

    wanted = parts(resolved)
    return {digest for digest, body in bodies if parts(ResolvedGraph.model_validate(body)) == wanted}


def read_segmentation(resolved: ResolvedGraph, text: str) -> tuple[Contract, Segmentation]:
    """What tells segments apart, and the contract that has it. Raises CannotCertify."""
    contract = compile_contract(resolved.stream)
    try:
        found = segmentation(text)
    except ValueError as error:
        raise CannotCertify(str(error)) from None
    name = found.column.removeprefix("event.")
    if not found.column.startswith("event.") or name not in contract.types:
        raise CannotCertify(f'"{found.column}" is no field of the event: known are {", ".join(sorted(contract.types))}')
    type_ = contract.types[name].type
    if type_ not in found.types:
        known = " or ".join(sorted(found.types))
        hint = f"; divide it into classes: {text}:50,500" if type_ in NUMBERS else ""
        raise CannotCertify(f'"{found.column}" is a {type_}, and a segment is of a {known}{hint}')
    return contract, found


def _segments(resolved: ResolvedGraph, segment: str, events: Sequence[object]) -> npt.NDArray[np.object_]:
    contract, found = read_segmentation(resolved, segment)
    batch = contract.read(events)
    values = np.full(len(events), None, dtype=object)
    values[batch.good] = found.texts(batch.columns[found.column.removeprefix("event.")])
    return values


__all__ = [
    "CannotCertify",
    "Joined",
    "Label",
    "NothingLabelled",
    "read_events",
    "read_labels",
]
