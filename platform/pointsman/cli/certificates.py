"""`pointsman certificates`: keys that sign, and what they have signed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, of_the_api
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, err, out
from pointsman.cli.pages import Output, page, part, tell
from pointsman.cli.signing import default_key
from pointsman.cli.store import store
from pointsman.cli.worlds import Context, Kubeconfig, Namespace, Place, cluster, is_named, is_on_a_cluster

commands = typer.Typer(help="Band certificates: keys that sign, and what they have signed.", no_args_is_help=True)

COLUMNS = ("id", "band", "segment", "bound", "wrong", "labelled", "issuer", "expires", "state")


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
def trust(
    key: Annotated[str, typer.Argument(help="The public key: a file in PEM, or the line that stands in it.")],
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a key sign from now on; two may at a time. Needs the store's owner: on a cluster, who may make Jobs there."""
    from pointsman.certificate_files import CannotRead, public_text, read_public_key
    from pointsman.certificates.document import key_id

    try:
        public = read_public_key(key)
    except CannotRead as error:
        raise Failure(str(error), hint="pointsman certificates keygen", code=Exit.USAGE) from error
    place = Place(context=context, namespace=namespace, kubeconfig=kubeconfig)
    _changed(place, "trust", public_text(public), hint="pointsman certificates revoke KEY")
    out().print(f"{key_id(public)} may sign", markup=False)


@commands.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's name, 16 hexadecimal digits.")],
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a key sign no more; what it has signed counts no more. Needs the store's owner."""
    _changed(Place(context=context, namespace=namespace, kubeconfig=kubeconfig), "revoke", key)
    out().print(f"{key} may sign no more", markup=False)


def _changed(place: Place, change: str, key: str, *, hint: str = "") -> None:
    """Which keys may sign, changed by the store's owner: here, or on the cluster that is meant."""
    if is_named(place) or (not os.environ.get("POINTSMAN_STORE_OWNER_URL") and is_on_a_cluster(place)):
        return cluster(place).as_owner(["python", "-m", "pointsman.certificate_keys", change, key])
    from pointsman.certificate_files import CannotRead
    from pointsman.certificate_keys import CHANGES
    from pointsman.decisions.certificate_store import CertificateRefused

    try:
        with store(owner=True) as connection:
            CHANGES[change](connection, key)
    except (CannotRead, CertificateRefused) as error:
        raise Failure(str(error), hint=hint) from error


@commands.command("list")
@of_the_api
def list_certificates(
    api: Api, graph: Annotated[str, typer.Argument(help="The graph.")], output: Output = Format.TABLE
) -> None:
    """The certificates of a graph, and whether each is live for the revision that decides; then what bands lack."""
    found = _of_graph(api, graph)
    page([_row(each) for each in found["items"]], COLUMNS, output)
    if output is Format.TABLE:
        for each in found["bands"]:
            if each["reason"] != "CertificatesLive":
                segment = "" if each["segment"] is None else f" where {each['segment']}"
                err().print(f'band "{each["band"]}"{segment}: {each["message"]}', markup=False)


@commands.command("show")
@of_the_api
def show_certificate(
    api: Api,
    graph: Annotated[str, typer.Argument(help="The graph.")],
    certificate: Annotated[str, typer.Argument(help="The certificate's id, or how it begins.")],
    output: Output = Format.YAML,
) -> None:
    """One certificate, as it is signed."""
    signed = [each["signed"] for each in _of_graph(api, graph)["items"]]
    found = [each for each in signed if each["certificate"]["id"].startswith(certificate)]
    if len(found) != 1:
        what = "no certificate begins" if not found else f"{len(found)} certificates begin"
        raise Failure(f'{what} with "{certificate}"', hint="pointsman certificates list", code=Exit.NOT_FOUND)
    tell(found[0], output)


@commands.command("import")
@of_the_api
def import_certificates(api: Api, files: Annotated[list[Path], typer.Argument(help="Files of certificates.")]) -> None:
    """Take certificates in that were signed elsewhere, by a key that may sign here."""
    from itertools import groupby

    from pointsman.certificate_files import CannotRead, read_certificate
    from pointsman.cli.certify_there import bring

    try:
        signed = sorted(map(read_certificate, files), key=lambda each: each.certificate.graph)
    except CannotRead as error:
        raise Failure(str(error)) from error
    told = [bring(api, graph, list(each)) for graph, each in groupby(signed, key=lambda each: each.certificate.graph)]
    new, known = (sum(each[count] for each in told) for count in ("new", "known"))
    out().print(f"{new} new, {known} known", markup=False)


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


def _of_graph(api: Api, graph: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/graphs/{part(graph)}/certificates")
    return found


def _row(item: dict[str, Any]) -> dict[str, Any]:
    of, segment = item["signed"]["certificate"], item["signed"]["certificate"].get("segment")
    return {
        "id": of["id"],
        "band": of["band"],
        "segment": None if segment is None else f'{segment["field"]} = "{segment["value"]}"',
        "bound": f"{of['bound']:.4%}",
        "wrong": of["wrong"],
        "labelled": of["labelled"],
        "issuer": of["issuer"],
        "expires": of["expires"],
        "state": item["state"],
    }
