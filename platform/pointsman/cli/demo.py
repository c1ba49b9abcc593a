"""`pointsman demo`: watch models decide a stream of card transactions, end to end."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pointsman.cli.connection import open_home
from pointsman.cli.errors import Failure
from pointsman.cli.output import err, out, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.demo.outcome import Outcome
    from pointsman.demo.report import Business
    from pointsman.demo.sections import Section


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    fresh: Annotated[bool, typer.Option("--fresh", help="Stop, and remove this home's state first.")] = False,
) -> None:
    """Start, train, apply the fraud example, certify its bands, stream transactions through it, and report. Leaves all running."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from pointsman.demo.report import business
    from pointsman.demo.report_files import write
    from pointsman.demo.run import run
    from pointsman.demo.sections import certificates, drift, people
    from pointsman.demo.start import DemoFailed, Stage

    home, began = open_home(), time.monotonic()
    if fresh:
        _remove(home)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err()) as progress:
        stage = _Stages(progress)
        try:
            outcome = run(home, Stage(begin=stage.begin, advance=stage.advance))
        except DemoFailed as error:
            raise Failure(str(error)) from error
        stage.begin("drawing the report", None)
        told = (certificates(outcome.certificates), people(outcome.by_hand), drift(outcome.drift))
        folder = write(home.root / "reports", datetime.now(UTC), outcome.comparison, outcome.numbers(), told)
        stage.end()
    found = business(outcome.recorded, outcome.truth)
    _print(outcome, found, told, time.monotonic() - began)
    out().print(f"the report, with pictures: {folder}", markup=False, highlight=False, soft_wrap=True)
    broken = outcome.conservation.broken()
    if broken:
        raise Failure("conservation is broken: " + "; ".join(broken), hint="`pointsman logs` lists the logs")


class _Stages:
    """One line of progress a stage; a stage that comes again goes on with its line."""

    def __init__(self, progress: object) -> None:
        from rich.progress import Progress, TaskID

        assert isinstance(progress, Progress)
        self._progress = progress
        self._task: TaskID | None = None
        self._name = ""

    def begin(self, name: str, total: int | None) -> None:
        if name == self._name:
            return
        self.end()
        self._name = name
        self._task = self._progress.add_task(name, total=total)
        if not self._progress.console.is_terminal:
            self._progress.console.print(name, markup=False)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)

    def end(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[self._progress.task_ids.index(self._task)]
            self._progress.update(self._task, total=task.total or 1, completed=task.total or 1)
            self._progress.stop_task(self._task)
            self._task = None


def _remove(home: object) -> None:
    from pointsman.local.home import Home
    from pointsman.local.postgres import PostgresServer
    from pointsman.local.up import down

    assert isinstance(home, Home)
    down(home)
    if home.root.exists():
        server = PostgresServer(home)
        if server.user:
            shutil.rmtree(server.data.parent, ignore_errors=True)
        shutil.rmtree(home.root)


def _print(outcome: Outcome, found: Business, told: Sequence[Section], seconds: float) -> None:
    total = len(outcome.recorded)
    out().rule("What was decided", align="left")
    table(
        ["outcome", "decisions", "share", "fraud among them", "error"],
        [
            [
                each.outcome,
                f"{each.count:,}",
                f"{each.share:.2%}",
                f"{each.fraud:,}",
                "a person decides" if each.error is None else f"{each.error:.3%}",
            ]
            for each in found.outcomes
        ],
    )
    out().print(
        f"{total:,} transactions, {found.fraud:,} of them fraud; {found.alerts:,} alerts, {found.human_items:,} for people"
    )
    out().print(
        f"money: {found.lost_cents / 100:,.2f} lost to fraud that was approved, {found.stopped_cents / 100:,.2f} stopped, "
        f"{found.in_review_cents / 100:,.2f} in review"
    )
    reasons = ", ".join(f"{name} {count:,}" for name, count in sorted(found.reasons.items(), key=lambda each: -each[1]))
    out().print(f"why review: {reasons}", markup=False)
    served = ", ".join(f"{name} by {runtime}" for name, runtime in sorted(outcome.runtimes.items()))
    out().print(f"models: {served}", markup=False)
    out().print(f"approval: {outcome.approval} (nobody approves a freeze before it is sent)", markup=False)
    for section in told:
        _print_section(section)
    _print_speed(outcome)
    _print_comparison(outcome)
    _print_conservation(outcome)
    out().rule("Where to look next", align="left")
    decision = outcome.example_decision or "<decision id>"
    for line in (
        "pointsman get                         every object, and whether it is Ready",
        f"pointsman explain {decision[:13]}       all that is behind one decision, its freeze included",
        "pointsman describe pdg card-fraud     the graph, its status in words",
        "pointsman bands list                  what audited items say of each band, and which is demoted",
        "pointsman status                      the processes; kill one and look again",
        'edit "below" in manifests/examples/fraud/graph.yaml, `pointsman apply -f manifests/examples/fraud`, stream again',
        "pointsman down                        stop everything",
    ):
        out().print(f"  {line}", markup=False)
    out().print(f"everything took {seconds:.0f} s")


def _print_section(section: Section) -> None:
    out().rule(section.title, align="left")
    if section.columns:
        table(section.columns, [list(row) for row in section.rows])
    for each in section.sentences:
        out().print(each, markup=False)


def _print_speed(outcome: Outcome) -> None:
    out().rule("How fast", align="left")
    for name, sent in (
        ("as fast as it goes", outcome.saturated),
        (f"at {outcome.paced.rate:,.0f} events/s", outcome.paced),
    ):
        out().print(
            f"{name}: {sent.rate:,.0f} decisions/s; from the source to the commit p50 {sent.wait_milliseconds(50):.0f} ms, "
            f"p95 {sent.wait_milliseconds(95):.0f} ms, p99 {sent.wait_milliseconds(99):.0f} ms"
        )
    out().print(
        f"from a decision to the observed freeze: p50 {outcome.freeze_seconds[0] * 1000:.0f} ms, "
        f"p95 {outcome.freeze_seconds[1] * 1000:.0f} ms; {outcome.overdue:,} events took longer than the graph's deadline"
    )
    whole = sum(step["seconds"] for step in outcome.steps.values()) or 1.0
    table(
        ["step", "µs an event", "share"],
        [
            [name, f"{step['seconds'] / max(step['rows'], 1) * 1e6:.1f}", f"{step['seconds'] / whole:.0%}"]
            for name, step in outcome.steps.items()
        ],
    )


def _print_comparison(outcome: Outcome) -> None:
    from pointsman.demo.findings import rows, verdicts

    found = outcome.comparison
    out().rule("Beside a nightly batch over the same days", align="left")
    table(
        ["", "continuous", "nightly", "better"],
        [[each.label, each.shown(each.continuous), each.shown(each.nightly), each.winner] for each in rows(found)],
    )
    for each in verdicts(found):
        out().print(each, markup=False)
    out().print(
        f"{found.agreed:,} of {found.compared:,} decisions are the same in both; report.md says what is assumed: prices, "
        "reviewers, and that a frozen account refuses",
        markup=False,
    )


def _print_conservation(outcome: Outcome) -> None:
    kept = outcome.conservation
    out().rule("Nothing lost, nothing doubled", align="left")
    broken = kept.broken()
    out().print(
        f"events: {kept.received:,} in = {kept.decisions:,} decisions + {kept.dead_letters:,} dead letters "
        f"+ {kept.duplicates:,} duplicates"
    )
    out().print(
        f"freezes: {kept.freezes:,} = {kept.observed:,} observed + {kept.rejected:,} rejected + {kept.unknown:,} unknown "
        f"+ {kept.pending:,} pending; the accounts service applied {kept.applied_at_target:,}, each at most "
        f"{kept.most_applications_of_one_key} time(s)"
    )
    out().print(f"ledger: {kept.ledger_leaves:,} leaves, verified against every stored record")
    out().print(
        "all of it holds" if not broken else "BROKEN: " + "; ".join(broken), style="green" if not broken else "red"
    )
