"""`pointsman certify`: measure what a graph's bands promise, and sign what holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.api import Api
from pointsman.cli.certified import report
from pointsman.cli.connection import open_home
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format
from pointsman.cli.pages import Output
from pointsman.cli.store import registry, store
from pointsman.cli.worlds import Context, Kubeconfig, Namespace, Place

if TYPE_CHECKING:
    from pointsman.certificates.costs import Wanted
    from pointsman.certificates.document import SignedCertificate
    from pointsman.certificates.statement import Terms
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
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            help="Of a cluster: the API key.  [default: $POINTSMAN_API_KEY, or the namespace's own]", metavar="KEY"
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Test on labelled decisions what a graph's bands promise, and issue certificates for those that keep it.

    A graph is certified on the decisions that the store holds, or on events that it need not have decided; a folder on events.
    On a cluster the API computes, and what is found is signed here.
    Exits with 1 where a band or segment is not certified; it says what that would take.
    """
    from pointsman.certificates.costs import Wanted
    from pointsman.cli import certify_there

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
    wanted: Wanted | None = None
    if choose:
        wanted = Wanted(
            missed=missed_cost, stopped=stopped_cost, review=review_cost, minutes=review_minutes, hours=review_hours
        )
    how: dict[str, Any] = {"segment": segment, "smallest_propensity": smallest_propensity}
    place = Place(context=context, namespace=namespace, kubeconfig=kubeconfig)
    if folder is None and certify_there.is_meant(place):
        asked = certify_there.Asked(
            labels=labels, events=events, revision=revision, valid_for=valid_for, wanted=wanted, **how
        )
        certify_there.check(model, issuer)
        told, signed = certify_there.certify(Api(place, api_key), graph, asked, key, dry_run=dry_run)
    else:
        terms = partial(_terms, valid_for, issuer)
        told, signed = _here(graph, folder, labels, events, model, revision, how, wanted, terms, key, dry_run=dry_run)
    report(told, [str(each.certificate.id) for each in signed], output)
    if any(each["certified"] != "yes" for each in told["bands"]):
        raise typer.Exit(Exit.FAILED)


def _here(
    graph: str,
    folder: Path | None,
    labels: Path | None,
    events: Path | None,
    model: str | None,
    revision: str | None,
    how: dict[str, Any],
    wanted: Wanted | None,
    terms: Callable[[], Terms],
    key: Path | None,
    *,
    dry_run: bool,
) -> tuple[dict[str, Any], list[SignedCertificate]]:
    """Computed by this process: of a folder, or of a store that it reaches itself."""
    from pointsman.certificate_files import CannotRead, write_certificates
    from pointsman.certificates.weighted import WeightsOutOfBounds
    from pointsman.certifying import CannotCertify
    from pointsman.cli.signing import signed
    from pointsman.decisions.certificate_store import CertificateRefused, issue

    try:
        joined, resolved = _joined(graph, folder, labels, events, model, revision, how)
        told = _certified(joined, resolved, terms(), folder, wanted, other=(model or revision) is not None)
        made = [] if dry_run else signed(told["statements"], key)
        if made and folder is not None:
            write_certificates(folder / "certificates", made)
        elif made:
            with store() as connection:
                issue(connection, made)
    except (CannotCertify, CannotRead, CertificateRefused, WeightsOutOfBounds) as error:
        hint = "--smallest-propensity: what the sampling allows" if isinstance(error, WeightsOutOfBounds) else ""
        raise Failure(str(error), hint=hint) from error
    return told, made


def _joined(
    graph: str,
    folder: Path | None,
    labels: Path | None,
    events: Path | None,
    model: str | None,
    revision: str | None,
    how: dict[str, Any],
) -> tuple[Joined, ResolvedGraph]:
    from pointsman import certifying
    from pointsman.library import load, open_resolved

    found = None if labels is None else certifying.read_labels(labels)
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
            joined = certifying.known_to_the_store(connection, resolved, now, segment=how["segment"], any_model=other)
        else:
            joined = certifying.of_the_store(connection, resolved, found, **how, any_model=other)
        return certifying.rescored(connection, joined, open_resolved(resolved).rescore) if other else joined, resolved


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


def _certified(
    joined: Joined,
    resolved: ResolvedGraph,
    terms: Terms,
    folder: Path | None,
    wanted: Wanted | None,
    *,
    other: bool,
) -> dict[str, Any]:
    from pointsman.certification import certification
    from pointsman.library import open_resolved

    if folder is not None or wanted is None:
        return certification(joined, resolved, terms, wanted=wanted).document()
    with store() as connection:
        library = open_resolved(resolved).rescore if other else None
        found = certification(joined, resolved, terms, wanted=wanted, connection=connection, other=library)
        return found.document()


def _terms(valid_for: str, issuer: str | None) -> Terms:
    import getpass

    from pointsman.api.values import Duration
    from pointsman.certificates.statement import Terms

    now = datetime.now(UTC)
    try:
        expires = now + timedelta(microseconds=Duration(valid_for).microseconds)
    except ValueError as error:
        raise Failure(f"--valid-for: {error}", code=Exit.USAGE) from error
    return Terms(issuer=issuer or getpass.getuser(), issued=now, expires=expires)
