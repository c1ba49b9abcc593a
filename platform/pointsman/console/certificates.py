"""Band certificates of a graph: which there are and which are live, and bringing in those that somebody has signed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from pointsman.certificates.document import SignedCertificate
from pointsman.certificates.promise import promises
from pointsman.certificates.standing import stand
from pointsman.certifying import CannotCertify, serving
from pointsman.console.asking import Asked, Refused, Short, TheCaller, TheStore
from pointsman.console.store import now
from pointsman.decisions import certificate_store
from pointsman.decisions.certificate_store import CertificateRefused

router = APIRouter(prefix="/v1/graphs/{graph}/certificates", tags=["certificates"])


class Signed(Asked):
    """Certificates, each signed by a key that may sign here."""

    certificates: list[SignedCertificate] = Field(min_length=1, max_length=500)


@router.get("", summary="A graph's certificates, and how its bands stand to them")
def page(graph: Short, store: TheStore) -> dict[str, Any]:
    """Of each certificate its `state`: live, why it is not, or none where another counts. `bands` says it of each band that
    has a promise; `keys` names the keys that may sign.
    """
    found = store.graph(graph)
    with store.connection() as connection:
        try:
            resolved = serving(connection, found.name)
        except CannotCertify as error:
            raise Refused(409, f"graph: {error}") from error
        entries = certificate_store.entries(connection, found.uid)
        standing = stand(promises(resolved), certificate_store.known(connection, found.uid), now())
        keys = sorted(certificate_store.keys(connection))
    states = {each.certificate: "live" if each.live else each.reason.value for each in standing.reports}
    return {
        "items": [
            {
                "signed": each.signed.model_dump(mode="json", by_alias=True, exclude_none=True),
                "state": states.get(str(each.signed.certificate.id)) if each.is_valid else "unknown key",
            }
            for each in entries
        ],
        "bands": [each.model_dump(mode="json", by_alias=True) for each in standing.reports],
        "keys": keys,
    }


@router.post("", summary="Bring certificates in")
def bring(graph: Short, body: Signed, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """In effect within a second. The same again changes nothing; one that is refused keeps all out."""
    found = store.graph(graph)
    others = [each.certificate for each in body.certificates if each.certificate.graph_uid != found.uid]
    if others:
        raise Refused(422, f'certificates: {others[0].id} is of another graph than "{found.name}" here')
    with store.connection() as connection:
        try:
            new = certificate_store.issue(connection, body.certificates, author=caller.subject)
        except CertificateRefused as error:
            raise Refused(409, f"certificates: {error}") from error
    return {"new": new, "known": len(body.certificates) - new}
