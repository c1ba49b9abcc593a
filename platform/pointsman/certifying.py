"""Brings labels and decisions together, so that bands can be certified: for `pointsman certify` and the API.

Labels come from a file (JSONL, CSV or Parquet: `id` of the event, `label`, and `propensity` where the probability with which
it came to be seen is known). Scores come from the store's decisions, or from events that a graph in a folder scores anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import psycopg
from psycopg.rows import TupleRow

from pointsman.certificates.digest import scorer
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.segments import SEGMENT_TYPES, texts
from pointsman.decisions.queries import recorded_revision
from pointsman.graphs.contract import compile_contract
from pointsman.graphs.identity import decision_ids
from pointsman.graphs.resolve import ResolvedGraph
from pointsman.library import GraphLibrary

Connection = psycopg.Connection[TupleRow]

DECISIONS = """
SELECT d.decision_id, d.score, d.revision, e.body FROM decision_keys k JOIN decisions d USING (day, decision_id)
JOIN events e USING (day, stream_uid, event_id) WHERE k.decision_id = ANY(%s) AND d.score IS NOT NULL
"""
REVISIONS = "SELECT digest, body FROM revisions WHERE kind = 'DecisionGraph' AND digest = ANY(%s)"
AT_ONCE = 5000
TRUE, FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


class CannotCertify(ValueError):
    """What is given cannot be certified on: what, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """The truth of one event, and the probability with which it came to be seen; None where nothing is known of that."""

    label: bool
    propensity: float | None


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What can be certified on, and what was left out: labels without a decision, decisions of another scorer."""

    labelled: Labelled
    unknown: int
    other_scorer: int


def read_labels(file: Path) -> dict[str, Label]:
    """By event id. Raises CannotCertify, naming the row that cannot be used."""
    found = dict[str, Label]()
    for number, row in enumerate(_rows(file), start=1):
        where = f"{file}: row {number}"
        event, said = row.get("id"), str(row.get("label")).lower()
        if event is None or said not in TRUE | FALSE:
            raise CannotCertify(f'{where}: needs "id", and "label" that is true or false, not "{row.get("label")}"')
        propensity = row.get("propensity")
        try:
            known = None if propensity in (None, "") else float(propensity)
        except (TypeError, ValueError):
            known = -1.0
        if known is not None and not 0 < known <= 1:
            raise CannotCertify(f'{where}: "propensity" is above 0 and at most 1, not "{propensity}"')
        label = Label(label=said in TRUE, propensity=known)
        if found.setdefault(str(event), label) != label:
            raise CannotCertify(f'{where}: event "{event}" has another label in an earlier row')
    if not found:
        raise CannotCertify(f"{file}: holds no labels")
    return found


def read_events(file: Path) -> list[object]:
    """Events, one a row, as they are sent. Raises CannotCertify."""
    return list(_rows(file))


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


def of_the_store(
    connection: Connection,
    resolved: ResolvedGraph,
    labels: Mapping[str, Label],
    *,
    segment: str | None,
    smallest_propensity: float | None,
) -> Joined:
    """Labels joined with recorded decisions of the same scorer. Raises CannotCertify."""
    names = decision_ids(resolved.graph_uid, labels)
    of_event = dict(zip(names, labels, strict=True))
    wanted, rows = [UUID(bytes=id_) for id_ in names], list[tuple[bytes, float, str, bytes]]()
    with connection.transaction():
        for at in range(0, len(wanted), AT_ONCE):
            found = connection.execute(DECISIONS, (wanted[at : at + AT_ONCE],)).fetchall()
            rows += [(id_.bytes, score, revision, bytes(body)) for id_, score, revision, body in found]
        bodies = connection.execute(REVISIONS, (list({revision for _, _, revision, _ in rows}),)).fetchall()
    ours = scorer(resolved)
    alike = {
        digest
        for digest, body in bodies
        if digest == resolved.revision or scorer(ResolvedGraph.model_validate(body)).parts == ours.parts
    }
    kept = [row for row in rows if row[2] in alike]
    labelled = _labelled(
        resolved,
        [id_ for id_, _, _, _ in kept],
        [score for _, score, _, _ in kept],
        [labels[of_event[id_]] for id_, _, _, _ in kept],
        None if segment is None else [orjson.loads(body) for _, _, _, body in kept],
        segment,
        smallest_propensity,
    )
    return Joined(labelled=labelled, unknown=len(labels) - len(rows), other_scorer=len(rows) - len(kept))


def of_events(
    library: GraphLibrary,
    events: Sequence[object],
    labels: Mapping[str, Label],
    *,
    segment: str | None,
    smallest_propensity: float | None,
) -> Joined:
    """Labels joined with events that the library scores, in their order. Raises CannotCertify."""
    resolved, seen = library.graph.resolved, dict[str, tuple[float, object]]()
    for at in range(0, len(events), AT_ONCE):
        chunk = events[at : at + AT_ONCE]
        for event, answer in zip(chunk, library.decide(chunk), strict=True):
            if answer["id"] in labels and answer["score"] is not None:
                seen.setdefault(answer["id"], (answer["score"], event))
    labelled = _labelled(
        resolved,
        decision_ids(resolved.graph_uid, seen),
        [score for score, _ in seen.values()],
        [labels[name] for name in seen],
        None if segment is None else [event for _, event in seen.values()],
        segment,
        smallest_propensity,
    )
    return Joined(labelled=labelled, unknown=len(labels) - len(seen), other_scorer=0)


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
        raise CannotCertify("none of the labelled events has been decided by this scorer: no label has a score")
    known = [each.propensity for each in labels if each.propensity is not None]
    if known and len(known) < len(labels):
        raise CannotCertify("some labels have a propensity and others do not: give it for all, or for none")
    return Labelled(
        ids=ids,
        scores=np.array(scores, dtype=np.float64),
        labels=np.array([each.label for each in labels], dtype=np.bool_),
        propensities=np.array(known, dtype=np.float64) if known else None,
        smallest_propensity=smallest_propensity if known else None,
        segment_field=segment,
        segments=None if events is None or segment is None else _segments(resolved, segment, events),
    )


def _segments(resolved: ResolvedGraph, segment: str, events: Sequence[object]) -> np.ndarray[Any, np.dtype[np.object_]]:
    contract, name = compile_contract(resolved.stream), segment.removeprefix("event.")
    if not segment.startswith("event.") or name not in contract.types:
        raise CannotCertify(f'"{segment}" is no field of the event: known are {", ".join(sorted(contract.types))}')
    if contract.types[name].type not in SEGMENT_TYPES:
        raise CannotCertify(f'"{segment}" is a {contract.types[name].type}: a segment is a String, Integer or Boolean')
    batch = contract.read(events)
    values = np.full(len(events), None, dtype=object)
    values[batch.good] = texts(batch.columns[name])
    return values


def _rows(file: Path) -> list[dict[str, Any]]:
    import polars

    read = {".parquet": polars.read_parquet, ".csv": lambda it: polars.read_csv(it, infer_schema=False)}
    try:
        if file.suffix in (".jsonl", ".ndjson"):
            return [orjson.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
        if file.suffix not in read:
            raise CannotCertify(f"{file}: a file of labels or events ends in .jsonl, .csv or .parquet")
        return list(read[file.suffix](file).to_dicts())
    except (OSError, orjson.JSONDecodeError, polars.exceptions.PolarsError) as error:
        raise CannotCertify(f"{file}: cannot be read: {' '.join(str(error).split())}") from None
