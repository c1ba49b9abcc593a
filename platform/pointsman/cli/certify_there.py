"""`pointsman certify` on a cluster: the API computes, and whoever runs the command signs what it found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.cli.api import Api
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import err
from pointsman.cli.pages import part
from pointsman.cli.worlds import Place, is_named, is_on_a_cluster

if TYPE_CHECKING:
    from pointsman.certificates.costs import Wanted
    from pointsman.certificates.document import SignedCertificate
    from pointsman.labels.given import Label

AT_ONCE = 2000
ASK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is certified on, and how."""

    labels: Path | None
    events: Path | None
    segment: str | None
    smallest_propensity: float | None
    revision: str | None
    valid_for: str
    wanted: Wanted | None


def is_meant(place: Place) -> bool:
    """Whether the API is asked: of a cluster, or of POINTSMAN_API, where no store is named that the command reaches itself."""
    from pointsman.graphs.pod import STORE_URL

    if is_named(place):
        return True
    return not os.environ.get(STORE_URL) and (bool(os.environ.get("POINTSMAN_API")) or is_on_a_cluster(place))


def check(model: str | None, issuer: str | None) -> None:
    """Raises Failure over what only a process can do that reaches store and registry itself."""
    if model is not None:
        hint = "move the alias: the graph waits, and its status says which --revision to certify"
        raise Failure("--model: there are no files of other models than those of the graph", hint=hint, code=Exit.USAGE)
    if issuer is not None:
        raise Failure("--issuer: the API says who issues: whose key it is", hint="--api-key KEY", code=Exit.USAGE)


def certify(
    api: Api, graph: str, asked: Asked, key: Path | None, *, dry_run: bool
) -> tuple[dict[str, Any], list[SignedCertificate]]:
    """What came of it, as `Certification.document` says it, and what was signed of it and brought in. Raises Failure."""
    from pointsman.certificate_files import CannotRead
    from pointsman.cli.signing import found_key, signed
    from pointsman.labels.given import CannotCertify

    if not dry_run:
        found_key(key)  # before minutes are spent on what could not be signed
    try:
        told = _certified(api, graph, asked)
        made = [] if dry_run else signed(told["statements"], key)
    except (CannotCertify, CannotRead) as error:
        raise Failure(str(error)) from error
    if made:
        bring(api, graph, made)
    return told, made


def _certified(api: Api, graph: str, asked: Asked) -> dict[str, Any]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from pointsman.labels.given import read_events, read_labels

    if asked.events is not None and asked.wanted is not None:
        hint = "certify a folder with these documents, or choose once the graph has decided"
        raise Failure("--choose weighs decisions that were made, and --events are none", hint=hint, code=Exit.USAGE)
    labels = None if asked.labels is None else read_labels(asked.labels)
    events = None if asked.events is None else read_events(asked.events)
    body = {
        "labels": "Known" if labels is None else "Given",
        "revision": asked.revision,
        "segment": asked.segment,
        "choose": None if asked.wanted is None else asdict(asked.wanted),
        "smallestPropensity": asked.smallest_propensity,
        "validFor": asked.valid_for,
    }
    path = f"/v1/graphs/{part(graph)}/certifications"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True) as progress:
        task = progress.add_task(f"certifying {graph}", total=None)
        made = api.post(path, body)
        one, unused = f"{path}/{made['certification']}", 0
        if labels is not None:
            batches = list(_of_labels(labels) if events is None else _of_events(events, labels, made["idField"]))
            for number, batch in enumerate(batches, start=1):
                progress.update(task, description=f"sending: {number:,} of {len(batches):,} batches")
                api.post(f"{one}/labels", batch)
            unused = len(labels) - sum(len(batch["labels"]) for batch in batches)
            api.post(f"{one}/start")
        while (found := api.get(one))["state"] == "Running":
            progress.update(task, description=found["phase"] or "waiting")
            time.sleep(ASK_AGAIN_SECONDS)
    if found["state"] != "Done":
        raise Failure(found["error"] or f"the certification is {found['state']}")
    found["leftOut"]["withoutDecision"] += unused
    return dict(found)


def bring(api: Api, graph: str, signed: Sequence[SignedCertificate]) -> dict[str, Any]:
    """Bring signed certificates in: `new` and `known`."""
    import orjson

    documents = [orjson.loads(each.to_json()) for each in signed]
    told: dict[str, Any] = api.post(f"/v1/graphs/{part(graph)}/certificates", {"certificates": documents})
    return told


def _of_labels(labels: Mapping[str, Label]) -> Iterator[dict[str, Any]]:
    said = [_label(event, label) for event, label in labels.items()]
    for at in range(0, len(said), AT_ONCE):
        yield {"labels": said[at : at + AT_ONCE]}


def _of_events(events: Sequence[object], labels: Mapping[str, Label], id_field: str) -> Iterator[dict[str, Any]]:
    """All events in their order, each label with the first event that it is about."""
    left = dict(labels)
    for at in range(0, len(events), AT_ONCE):
        batch = list(events[at : at + AT_ONCE])
        names = [str(each.get(id_field)) for each in batch if isinstance(each, dict)]
        said = [_label(name, label) for name in names if (label := left.pop(name, None)) is not None]
        yield {"events": batch, "after": at, "labels": said}


def _label(event: str, label: Label) -> dict[str, Any]:
    return {"event": event, "label": label.label, "propensity": label.propensity}
