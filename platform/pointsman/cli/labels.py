"""`pointsman labels`: what became known of decided events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, err, out, show, table
from pointsman.cli.pages import Graph, Limit, Output, Watch, page, part

commands = typer.Typer(help="What became known of decided events.", no_args_is_help=True)

AT_ONCE = 2000
NAMED = 5
GraphName = Annotated[str, typer.Argument(help="The graph.")]


@commands.command("import")
@of_the_api
def import_labels(
    api: Api,
    graph: GraphName,
    file: Annotated[Path, typer.Argument(help="Labels: .jsonl, .csv or .parquet.")],
    event: Annotated[str, typer.Option(help="The column with the event's id.")] = "event",
    label: Annotated[str, typer.Option(help="The column with the label: true or false.")] = "label",
    known_at: Annotated[str, typer.Option(help="The column with the moment since which that is known.")] = "known_at",
    propensity: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How probable it was for each event to be in the file, whatever its label: 1 where it holds all.  "
            "[default: not known]",
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Let labels that contradict earlier ones count.")] = False,
    rejected: Annotated[
        Path | None, typer.Option(help="Where to write labels that were not taken, with the reason.", metavar="FILE")
    ] = None,
) -> None:
    """Import ground truth. The same again changes nothing; what is not taken is named, and ends in exit code 1."""
    from pointsman.labels.files import Columns, FileRefused, check, read_labels, write_rows

    path = f"/v1/graphs/{part(graph)}/labels"
    about = {"source": file.name, "propensity": propensity, "replace": replace}
    new = repeated = 0
    left, demoted = list[dict[str, Any]](), set[str]()
    try:
        if rejected is not None:
            check(rejected)
        labels = list(read_labels(file, Columns(event=event, label=label, known_at=known_at)))
        for batch in _in_batches(labels):
            answer = api.post(path, {**about, "labels": batch})
            new, repeated = new + answer["new"], repeated + answer["repeated"]
            left += [{"event": each, "reason": "the graph has not decided it"} for each in answer["unknown"]]
            left += [{**each, "reason": "the opposite was imported before"} for each in answer["conflicts"]]
            demoted |= {each["band"] for each in answer["demoted"]}
        if rejected is not None:
            write_rows(rejected, left)
    except FileRefused as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    out().print(f"{new} labels are new, {repeated} were known, {len(left)} were not taken", markup=False)
    for band in sorted(demoted):
        out().print(f'band "{band}" is demoted: its audited items are wrong too often', markup=False)
    if left:
        for each in left[:NAMED]:
            err().print(f'event "{each["event"]}": {each["reason"]}', markup=False)
        raise Failure(
            f"{len(left)} labels were not taken",
            hint="--rejected FILE writes all of them; --replace takes the opposite",
        )


@commands.command("list")
@of_the_api
def list_labels(
    api: Api,
    graph: Graph = None,
    source: Annotated[str | None, typer.Option(help="Verdict or Import.")] = None,
    limit: Limit = 20,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """The newest labels that are stored; those of silence are only counted."""
    path = f"/v1/graphs/{part(api.graph(graph))}/labels"

    def once() -> None:
        found = api.get(path, source=source, limit=limit)
        page(found["items"], ("id", "label", "source", "known_at", "propensity", "author"), output)

    watch(once, forever=watching)


@commands.command("count")
@of_the_api
def count_labels(api: Api, graph: Graph = None, output: Output = Format.TABLE) -> None:
    """How many labels count now, by band and source, and how many decisions still wait for theirs."""
    found = api.get(f"/v1/graphs/{part(api.graph(graph))}/labels/counts")
    if output is not Format.TABLE:
        return show(found, output)
    columns = ("band", "source", "labels", "true", "false", "standFor")
    table(["band", "source", "labels", "true", "false", "stand for"], [
        [str(each[column] if each[column] is not None else "-") for column in columns] for each in found["items"]
    ])  # fmt: skip
    rest = f"{found['waiting']} wait for theirs, {found['setAside']} labels do not count"
    out().print(f"{found['labelled']} of {found['decisions']} decisions are labelled; {rest}", markup=False)
    return None


@commands.command("export")
@of_the_api
def export_labels(
    api: Api,
    graph: GraphName,
    file: Annotated[Path, typer.Option("-o", "--output", help="Where to: .jsonl, .csv or .parquet.", metavar="FILE")],
    mlflow: Annotated[
        bool,
        typer.Option("--mlflow", help="Log it to MLflow as a dataset: $MLFLOW_TRACKING_URI, or the home's own."),
    ] = False,
) -> None:
    """Write a set for retraining: features as they were recorded, score, label, and the weight that undoes selection."""
    from pointsman.labels.files import FileRefused, check, write_rows

    rows = list[dict[str, Any]]()
    try:
        check(file)
        for each in _pages(api, f"/v1/graphs/{part(graph)}/labels/set"):
            features = each.pop("features")
            rows.append({**each, **features})
        write_rows(file, rows)
    except (FileRefused, OSError) as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    out().print(f"{len(rows)} labelled decisions are in {file}", markup=False)
    if mlflow:
        from pointsman.cli.datasets import log_dataset

        out().print(log_dataset(graph, file, rows), markup=False)


def _in_batches(labels: list[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    """With a bar that says how far it is."""
    with _progress() as progress:
        task = progress.add_task("labels", total=len(labels))
        for start in range(0, len(labels), AT_ONCE):
            batch = labels[start : start + AT_ONCE]
            yield batch
            progress.advance(task, len(batch))


def _pages(api: Api, path: str) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    with _progress() as progress:
        task = progress.add_task("labelled decisions", total=None)
        while True:
            found = api.get(path, cursor=cursor)
            yield from found["items"]
            progress.advance(task, len(found["items"]))
            cursor = found["next"]
            if cursor is None:
                return


def _progress() -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err(), transient=True)
