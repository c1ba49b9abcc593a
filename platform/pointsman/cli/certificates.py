"""`pointsman certificates`: keys that sign, and what they have signed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.connection import open_home
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, out
from pointsman.cli.pages import Output, page, tell
from pointsman.cli.store import store

if TYPE_CHECKING:
    from pointsman.certificates.document import SignedCertificate

commands = typer.Typer(help="Band certificates: keys that sign, and what they have signed.", no_args_is_help=True)

COLUMNS = ("id", "band", "segment", "bound", "wrong", "labelled", "issuer", "expires", "state")


def default_key() -> Path:
    """Where the home keeps the key that signs."""
    return open_home().root / "certificate-key.pem"


@commands.command("keygen")
def keygen(
    file: Annotated[Path | None, typer.Argument(help="Where to.  [default: in the home]")] = None,
) -> None:
    """Make a key that signs certificates, in a file for you alone; the public one lies beside it."""
    from pointsman.certificate_files import public_file, write_new_key
    from pointsman.certificates.document import key_id

    where = file or default_key()
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        key = write_new_key(where)
    except OSError as error:
        raise Failure(f"{where}: {error.strerror}", hint="a key is never overwritten: name another file") from error
    out().print(f"{key_id(key.public_key())}: {where}, public: {public_file(where)}", markup=False)
    out().print(f"let it sign: pointsman certificates trust {public_file(where)}", markup=False)


@commands.command("trust")
def trust(file: Annotated[Path, typer.Argument(help="The public key, in PEM.")]) -> None:
    """Let a key sign from now on; two may at a time. Needs the store's owner."""
    from pointsman.certificate_files import CannotRead, read_public_key
    from pointsman.decisions.certificate_store import CertificateRefused, add_key

    try:
        key = read_public_key(file)
        with store(owner=True) as connection:
            name = add_key(connection, key, datetime.now(UTC))
    except (CannotRead, CertificateRefused) as error:
        raise Failure(str(error), hint="pointsman certificates revoke KEY") from error
    out().print(f"{name} may sign", markup=False)


@commands.command("revoke")
def revoke(key: Annotated[str, typer.Argument(help="The key's name, 16 hexadecimal digits.")]) -> None:
    """Let a key sign no more; what it has signed counts no more. Needs the store's owner."""
    from pointsman.decisions.certificate_store import revoke_key

    with store(owner=True) as connection:
        if not revoke_key(connection, key, datetime.now(UTC)):
            raise Failure(f'no key "{key}" may sign', code=Exit.NOT_FOUND)
    out().print(f"{key} may sign no more", markup=False)


@commands.command("list")
def list_certificates(graph: Annotated[str, typer.Argument(help="The graph.")], output: Output = Format.TABLE) -> None:
    """The certificates of a graph, and whether each is live for the revision that decides."""
    rows = [_row(signed, state) for signed, state in _of_graph(graph)]
    page(rows, COLUMNS, output)


@commands.command("show")
def show_certificate(
    graph: Annotated[str, typer.Argument(help="The graph.")],
    certificate: Annotated[str, typer.Argument(help="The certificate's id, or how it begins.")],
    output: Output = Format.YAML,
) -> None:
    """One certificate, as it is signed."""
    import orjson

    found = [signed for signed, _ in _of_graph(graph) if str(signed.certificate.id).startswith(certificate)]
    if len(found) != 1:
        what = "no certificate begins" if not found else f"{len(found)} certificates begin"
        raise Failure(f'{what} with "{certificate}"', hint="pointsman certificates list", code=Exit.NOT_FOUND)
    tell(orjson.loads(found[0].to_json()), output)


@commands.command("verify")
def verify(
    files: Annotated[list[Path], typer.Argument(help="Files of certificates.")],
    key: Annotated[list[Path], typer.Option(help="A public key that may sign, in PEM; may be repeated.")],
) -> None:
    """Check signatures and expiry, with nothing but the files. Exits with 1 where one does not hold."""
    from pointsman.certificate_files import CannotRead, read_certificate, read_public_key
    from pointsman.certificates.document import key_id

    held = True
    try:
        keys = {key_id(each): each for each in map(read_public_key, key)}
        for file, signed in [(file, read_certificate(file)) for file in files]:
            said = "holds" if signed.is_signed_by(keys) else "is signed by none of these keys, or was changed"
            if said == "holds" and signed.certificate.expires <= datetime.now(UTC):
                said = f"expired at {signed.certificate.expires.isoformat()}"
            held = held and said == "holds"
            out().print(f"{file}: {said}", markup=False)
    except CannotRead as error:
        raise Failure(str(error)) from error
    if not held:
        raise typer.Exit(Exit.FAILED)


@commands.command("import")
def import_certificates(files: Annotated[list[Path], typer.Argument(help="Files of certificates.")]) -> None:
    """Take certificates in that were issued elsewhere, by a key that may sign here."""
    from pointsman.certificate_files import CannotRead, read_certificate
    from pointsman.decisions.certificate_store import CertificateRefused, issue

    try:
        signed = list(map(read_certificate, files))
        with store() as connection:
            new = issue(connection, signed)
    except (CannotRead, CertificateRefused) as error:
        raise Failure(str(error)) from error
    out().print(f"{new} new, {len(signed) - new} known", markup=False)


def _of_graph(graph: str) -> list[tuple[SignedCertificate, str]]:
    from pointsman.certificates.promise import promises
    from pointsman.certificates.standing import stand
    from pointsman.certifying import CannotCertify, serving
    from pointsman.decisions.certificate_store import entries, known

    try:
        with store() as connection:
            resolved = serving(connection, graph)
            found = entries(connection, resolved.graph_uid)
            standing = stand(promises(resolved), known(connection, resolved.graph_uid), datetime.now(UTC))
    except CannotCertify as error:
        raise Failure(str(error), code=Exit.NOT_FOUND) from error
    states = {each.certificate: each.reason.value for each in standing.reports}
    return [
        (each.signed, states.get(str(each.signed.certificate.id), "-" if each.is_valid else "unknown key"))
        for each in found
    ]


def _row(signed: SignedCertificate, state: str) -> dict[str, Any]:
    of = signed.certificate
    return {
        "id": str(of.id),
        "band": of.band,
        "segment": None if of.segment is None else str(of.segment),
        "bound": f"{of.bound:.4%}",
        "wrong": of.wrong,
        "labelled": of.labelled,
        "issuer": of.issuer,
        "expires": of.expires.isoformat(timespec="seconds"),
        "state": "live" if state == "CertificatesLive" else state,
    }
