"""The certificate as a document: the same bytes after reading, signed as a whole, by a key that only its owner can read."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.certificate_files import (
    CannotRead,
    public_file,
    read_certificate,
    read_known,
    read_private_key,
    read_public_key,
    write_certificates,
    write_new_key,
)
from pointsman.certificates.document import BandCertificate, Segment, SignedCertificate, key_id

SHARES = st.floats(0, 1, allow_subnormal=False)
MOMENTS = st.datetimes(timezones=st.just(UTC))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SHARES, SHARES, MOMENTS, st.none() | st.tuples(st.text(max_size=9), st.text(max_size=9)))
def test_what_is_read_again_has_the_same_bytes_and_the_signature_holds(certificate, sign, bound, p, moment, segment):
    of = None if segment is None else Segment(field=segment[0], value=segment[1])
    signed = sign(certificate(bound=bound, p_value=p, expires=moment, segment=of))
    again = SignedCertificate.model_validate_json(signed.to_json())
    assert again.certificate.canonical() == signed.certificate.canonical()
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    assert again.is_signed_by({key_id(key): key})


@pytest.mark.parametrize("field", sorted(BandCertificate.model_fields.keys() - {"kind", "version", "scorer_parts"}))
def test_every_field_is_signed(certificate, sign, field) -> None:
    other = {
        "segment": Segment(field="event.card_id", value="x"),
        "promises": True,
        "at_least": 0.01,
        "smallest_propensity": 0.5,
        "method": "Betting",
        "issued": datetime(2001, 1, 1, tzinfo=UTC),
        "expires": datetime(2099, 1, 1, tzinfo=UTC),
        "candidates": 7,
        "wrong": 3,
    }
    original, changed = certificate(), certificate("freeze", alpha=0.5, labelled=9, p_value=0.5, population="x")
    value = other.get(field, getattr(changed, field))
    if field in ("graph", "graph_uid", "issuer", "data", "delta"):
        value = {"graph_uid": changed.id, "data": "sha256:" + "1" * 64, "delta": 0.2}.get(field, "other")
    forged = sign(original).model_copy(update={"certificate": original.model_copy(update={field: value})})
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    assert sign(original).is_signed_by({key_id(key): key})
    assert not forged.is_signed_by({key_id(key): key}), f"{field} = {value}"


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path) -> None:
    file = tmp_path / "signing.pem"
    key = write_new_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_private_key(file).private_bytes_raw() == key.private_bytes_raw()
    assert key_id(read_public_key(public_file(file))) == key_id(key.public_key())
    with pytest.raises(FileExistsError):
        write_new_key(file)
    file.chmod(0o640)
    with pytest.raises(CannotRead, match="others may read it: chmod 600"):
        read_private_key(file)


def test_a_folder_knows_what_its_keys_have_signed(tmp_path, certificate, sign) -> None:
    key = write_new_key(tmp_path / "signing.pem")
    folder = tmp_path / "certificates"
    write_certificates(folder, [sign(certificate(), key), sign(certificate("freeze"))])
    (folder / "risk.pem").write_bytes(public_file(tmp_path / "signing.pem").read_bytes())
    known = read_known(folder, "card-fraud")
    assert ([each.band for each in known.certificates], known.refused) == (["approve"], ("freeze",))
    assert read_known(folder, "another").certificates == []


def test_a_file_that_is_no_certificate_is_named(tmp_path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"certificate": {"kind": "Other"}}')
    with pytest.raises(CannotRead, match=r"x\.json: certificate\.kind"):
        read_certificate(file)


def test_nothing_of_a_certificate_can_be_set(certificate) -> None:
    with pytest.raises(Exception, match="frozen"):
        certificate().bound = 0.0
    assert not dataclasses.is_dataclass(certificate())
