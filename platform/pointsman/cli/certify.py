"""`pointsman certify`: measure what a graph's bands promise, and sign what holds."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.connection import open_home
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, err, out, show, table
from pointsman.cli.pages import Output
from pointsman.cli.store import registry, store

if TYPE_CHECKING:
    from pointsman.certificates.certify import Outcome
    from pointsman.certificates.document import SignedCertificate
    from pointsman.certifying import Joined
    from pointsman.graphs.resolve import ResolvedGraph

COLUMNS = ("band", "segment", "scores", "labelled", "wrong", "bound", "promise", "certified")


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
        str | None, typer.Option(help="Certify each value of this field by itself.", metavar="event.FIELD")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Certify the graph with another model: recorded decisions are scored anew. URI is models:/… or a folder.",
            metavar="DEPLOYMENT=URI",
        ),
    ] = None,
    choose: Annotated[
        bool, typer.Option("--choose", help="Look for better thresholds too, on the half that does not test them.")
    ] = False,
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
    from pointsman.certificates.weighted import WeightsOutOfBounds
    from pointsman.certifying import CannotCertify
    from pointsman.decisions.certificate_store import CertificateRefused, issue

    folder = Path(graph) if Path(graph).is_dir() else None
    if folder is not None and (events is None or labels is None):
        hint = "--events FILE --labels FILE"
        raise Failure(f'"{graph}" is a folder: it has neither decisions nor labels', hint=hint, code=Exit.USAGE)
    if events is not None and labels is None:
        raise Failure("--events needs --labels FILE: what the events were in truth", code=Exit.USAGE)
    if folder is not None and model is not None:
        raise Failure("--model scores recorded decisions anew, and a folder has none", code=Exit.USAGE)
    try:
        joined, resolved = _joined(graph, folder, labels, events, segment, smallest_propensity, model)
        outcomes = _outcomes(joined, resolved, choose=choose)
        signed = [] if dry_run else _signed(outcomes, joined, resolved, valid_for, key, issuer)
        if signed and folder is not None:
            write_certificates(folder / "certificates", signed)
        elif signed:
            with store() as connection:
                issue(connection, signed)
    except (CannotCertify, CannotRead, CertificateRefused, WeightsOutOfBounds) as error:
        hint = "--smallest-propensity: what the sampling allows" if isinstance(error, WeightsOutOfBounds) else ""
        raise Failure(str(error), hint=hint) from error
    _print(outcomes, joined, signed, output)
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
        if model is not None:
            resolved = _with_model(resolved, model)
        if events is not None and found is not None:
            return certifying.of_events(open_resolved(resolved), certifying.read_events(events), found, **how), resolved
        other = model is not None
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


def _outcomes(joined: Joined, resolved: ResolvedGraph, *, choose: bool) -> list[Outcome]:
    from pointsman.certificates.certify import certify as test
    from pointsman.certificates.promise import promises
    from pointsman.certifying import CannotCertify

    bands = promises(resolved)
    if not bands:
        raise CannotCertify(f'no automatic band of graph "{resolved.graph.name}" has a promise')
    if not choose:
        return test(joined.labelled, bands)
    from pointsman.certificates.choose import candidates

    return test(joined.labelled, bands, candidates(joined.labelled, bands))


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


def _print(outcomes: list[Outcome], joined: Joined, signed: list[SignedCertificate], output: Format) -> None:
    rows = [_row(each) for each in outcomes]
    if output is not Format.TABLE:
        issued = [str(each.certificate.id) for each in signed]
        left_out = {"withoutDecision": joined.unknown, "ofAnotherScorer": joined.other_scorer}
        return show({"bands": rows, "certificates": issued, "leftOut": left_out}, output)
    table(COLUMNS, [[str(row[name]) for name in COLUMNS] for row in rows])
    for each, row in zip(outcomes, rows, strict=True):
        if not each.certified:
            err().print(f"{row['band']} {row['segment']}: needed: {row['needed']}".replace(" -:", ":"), markup=False)
        elif (each.test.low, each.test.high) != (each.band.low, each.band.high):
            err().print(
                f"{row['band']}: certified are other thresholds than the graph has: apply {row['scores']}", markup=False
            )
    if joined.unknown or joined.other_scorer:
        err().print(
            f"left out: {joined.unknown:,} labels without a decision, {joined.other_scorer:,} of another scorer",
            markup=False,
        )
    out().print(f"{len(signed)} certificates issued", markup=False)
    return None


def _row(outcome: Outcome) -> dict[str, Any]:
    band, test = outcome.band, outcome.test
    low = "" if test.low == -math.inf else f"≥ {test.low:.6g} "
    high = "" if test.high == math.inf else f"< {test.high:.6g}"
    return {
        "band": band.name,
        "segment": outcome.segment or "-",
        "scores": f"{low}{high}".strip(),
        "labelled": test.labelled,
        "wrong": test.wrong,
        "bound": f"{test.bound:.4%}",
        "promise": f"{band.alpha:.4g} at {1 - band.delta:.4g}",
        "certified": "yes" if outcome.certified else "no",
        "method": outcome.method,
        "population": outcome.population,
        "needed": outcome.what_is_needed(),
    }
