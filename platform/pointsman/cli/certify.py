"""`pointsman certify`: measure what a graph's bands promise, and sign what holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.certified import report
from pointsman.cli.connection import open_home
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format
from pointsman.cli.pages import Output
from pointsman.cli.store import registry, store

if TYPE_CHECKING:
    from pointsman.certificates.certify import Outcome
    from pointsman.certificates.choose import Choice
    from pointsman.certificates.costs import Wanted
    from pointsman.certificates.document import SignedCertificate
    from pointsman.certifying import Joined
    from pointsman.graphs.resolve import ResolvedGraph


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(certify)


def certify(
    graph: Annotated[str, typer.Argument(help="The graph, or a folder with its documents and models.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="id, label and perhaps propensity of events: .jsonl, .csv or .parquet.  [default: what the store knows]",
            metavar="FILE",
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            help="Score these events, in their order, instead of asking for recorded decisions.", metavar="FILE"
        ),
    ] = None,
    segment: Annotated[
        str | None,
        typer.Option(
            help="Certify each value of a field by itself, or each class of a number: event.amount:50,500.",
            metavar="event.FIELD",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Certify the graph with another model: recorded decisions are scored anew. URI is models:/… or a folder.",
            metavar="DEPLOYMENT=URI",
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            help="Certify a revision that waits for certificates: recorded decisions are scored anew.", metavar="DIGEST"
        ),
    ] = None,
    choose: Annotated[
        bool,
        typer.Option(
            "--choose",
            help="Find the thresholds that cost least, on the half that does not test them; the certificates are of the "
            "graph that has them.",
        ),
    ] = False,
    missed_cost: Annotated[
        str,
        typer.Option(
            help="With --choose: what it costs to let an item pass that should not: a number, or CEL such as event.amount.",
            metavar="COST",
        ),
    ] = "0",
    stopped_cost: Annotated[
        str, typer.Option(help="What it costs to stop one that should pass: the same.", metavar="COST")
    ] = "0",
    review_cost: Annotated[float, typer.Option(min=0, help="What it costs that a person sees an item.")] = 1.0,
    review_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="How long a person takes for an item.", metavar="MINUTES")
    ] = None,
    review_hours: Annotated[
        float | None, typer.Option(min=0, help="How many hours a day all reviewers have together.", metavar="HOURS")
    ] = None,
    smallest_propensity: Annotated[
        float | None, typer.Option(help="The smallest probability with which a label can come to be seen.")
    ] = None,
    valid_for: Annotated[str, typer.Option(help="How long the certificates hold.")] = "2160h",
    key: Annotated[Path | None, typer.Option(help="The key that signs.  [default: the home's]", metavar="FILE")] = None,
    issuer: Annotated[str | None, typer.Option(help="Who issues them.  [default: the user's name]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be certified, and sign nothing.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Test on labelled decisions what a graph's bands promise, and issue certificates for those that keep it.

    A graph is certified on the decisions that the store holds, or on events that it need not have decided; a folder on events.
    Exits with 1 where a band or segment is not certified; it says what that would take.
    """
    from pointsman.certificate_files import CannotRead, write_certificates
    from pointsman.certificates.costs import Wanted
    from pointsman.certificates.weighted import WeightsOutOfBounds
    from pointsman.certifying import CannotCertify
    from pointsman.decisions.certificate_store import CertificateRefused, issue

    folder = Path(graph) if Path(graph).is_dir() else None
    if folder is not None and (events is None or labels is None):
        hint = "--events FILE --labels FILE"
        raise Failure(f'"{graph}" is a folder: it has neither decisions nor labels', hint=hint, code=Exit.USAGE)
    if events is not None and labels is None:
        raise Failure("--events needs --labels FILE: what the events were in truth", code=Exit.USAGE)
    if folder is not None and (model or revision) is not None:
        what = "--model" if model is not None else "--revision"
        raise Failure(f"{what} scores recorded decisions anew, and a folder has none", code=Exit.USAGE)
    if (review_minutes is None) is not (review_hours is None):
        raise Failure("--review-minutes and --review-hours say together how many items people can see", code=Exit.USAGE)
    wanted = Wanted(
        missed=missed_cost, stopped=stopped_cost, review=review_cost, minutes=review_minutes, hours=review_hours
    )
    try:
        joined, resolved = _joined(graph, folder, labels, events, segment, smallest_propensity, model, revision)
        choice, outcomes = _outcomes(
            joined, resolved, folder, wanted if choose else None, other=(model or revision) is not None
        )
        signed = [] if dry_run else _signed(outcomes, joined, resolved, valid_for, key, issuer)
        if signed and folder is not None:
            write_certificates(folder / "certificates", signed)
        elif signed:
            with store() as connection:
                issue(connection, signed)
    except (CannotCertify, CannotRead, CertificateRefused, WeightsOutOfBounds) as error:
        hint = "--smallest-propensity: what the sampling allows" if isinstance(error, WeightsOutOfBounds) else ""
        raise Failure(str(error), hint=hint) from error
    report(outcomes, joined, [str(each.certificate.id) for each in signed], output, choice, resolved)
    missing = [each for each in outcomes if not each.certified]
    if missing:
        raise typer.Exit(Exit.FAILED)


def _joined(
    graph: str,
    folder: Path | None,
    labels: Path | None,
    events: Path | None,
    segment: str | None,
    smallest_propensity: float | None,
    model: str | None,
    revision: str | None,
) -> tuple[Joined, ResolvedGraph]:
    from pointsman import certifying
    from pointsman.library import load, open_resolved

    found = None if labels is None else certifying.read_labels(labels)
    how: dict[str, Any] = {"segment": segment, "smallest_propensity": smallest_propensity}
    if folder is not None and events is not None and found is not None:
        library = load(folder)
        return certifying.of_events(library, certifying.read_events(events), found, **how), library.graph.resolved
    with store() as connection:
        resolved = certifying.serving(connection, graph)
        if revision is not None:
            resolved = certifying.recorded(connection, resolved, revision)
        if model is not None:
            resolved = _with_model(resolved, model)
        if events is not None and found is not None:
            return certifying.of_events(open_resolved(resolved), certifying.read_events(events), found, **how), resolved
        other = (model or revision) is not None
        if found is None:
            now = datetime.now(UTC)
            joined = certifying.known_to_the_store(connection, resolved, now, segment=segment, any_model=other)
        else:
            joined = certifying.of_the_store(connection, resolved, found, **how, any_model=other)
        return certifying.rescored(connection, joined, open_resolved(resolved)) if other else joined, resolved


def _with_model(resolved: ResolvedGraph, model: str) -> ResolvedGraph:
    """The revision with another model, whose files come to lie where the home keeps models."""
    from pointsman.certifying import with_model
    from pointsman.models.artifact import digest_of
    from pointsman.registry.pins import pin
    from pointsman.registry.port import InvalidModelUri, ModelUri, RegistryError

    deployment, _, uri = model.partition("=")
    if not uri:
        raise Failure(f'--model: "{model}" is not DEPLOYMENT=URI', code=Exit.USAGE)
    if Path(uri).is_dir():
        folder = Path(uri).absolute()
        return with_model(resolved, deployment, version=uri, digest=digest_of(folder), folder=folder)
    try:
        with registry() as asked:
            pinned = pin(asked, ModelUri.parse(uri), open_home().models)
    except (InvalidModelUri, RegistryError) as error:
        raise Failure(f"--model: {error}") from error
    return with_model(resolved, deployment, version=pinned.version, digest=pinned.digest, folder=pinned.folder)


def _outcomes(
    joined: Joined, resolved: ResolvedGraph, folder: Path | None, wanted: Wanted | None, *, other: bool
) -> tuple[Choice | None, list[Outcome]]:
    from pointsman.certificates.certify import certify as test
    from pointsman.certificates.promise import promises
    from pointsman.certifying import CannotCertify

    bands = promises(resolved)
    if not bands:
        raise CannotCertify(f'no automatic band of graph "{resolved.graph.name}" has a promise')
    if wanted is None:
        return None, test(joined.labelled, bands)
    from pointsman.choosing import choose_and_certify
    from pointsman.library import open_resolved

    if folder is not None:
        return choose_and_certify(None, resolved, joined, bands, wanted)
    with store() as connection:
        library = open_resolved(resolved) if other else None
        return choose_and_certify(connection, resolved, joined, bands, wanted, other=library)


def _signed(
    outcomes: list[Outcome],
    joined: Joined,
    resolved: ResolvedGraph,
    valid_for: str,
    key: Path | None,
    issuer: str | None,
) -> list[SignedCertificate]:
    import getpass
    from uuid import uuid4

    from pointsman.api.values import Duration
    from pointsman.certificate_files import read_private_key
    from pointsman.certificates.document import SignedCertificate
    from pointsman.certificates.statement import Terms, statements
    from pointsman.cli.certificates import default_key

    if not any(each.certified for each in outcomes):
        return []
    now = datetime.now(UTC)
    try:
        expires = now + timedelta(microseconds=Duration(valid_for).microseconds)
    except ValueError as error:
        raise Failure(f"--valid-for: {error}", code=Exit.USAGE) from error
    file = key or default_key()
    if not file.exists():
        raise Failure(f"there is no key that signs: {file}", hint="pointsman certificates keygen", code=Exit.NOT_FOUND)
    private = read_private_key(file)
    terms = Terms(issuer=issuer or getpass.getuser(), issued=now, expires=expires)
    made = statements(outcomes, joined.labelled, resolved, terms, [uuid4() for _ in outcomes])
    return [SignedCertificate.sign(each, private) for each in made]
