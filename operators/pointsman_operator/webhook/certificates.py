"""The webhook's certificates: authorities of our own, and what the newest of them vouches for. Which is due when: pure, but for
the keys' chance.

A serving certificate is renewed once two thirds of its lifetime are over, so that a cluster may be away for the last third. An
authority lives four such lifetimes. Its successor comes when half of them are left, and both are trusted until the older one
ends; but nothing is signed by the successor before the API server trusts it. So at every moment the certificate that any replica
shows, be it the last one, is one that the API server trusts.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIMES = 4
SUCCESSOR_LIFETIMES = 2
BACKDATED = timedelta(minutes=5)
"""A certificate is valid from a little before it was made: the API server's clock may be behind ours"""

PEM = serialization.Encoding.PEM
_KEY = re.compile(rb"-----BEGIN PRIVATE KEY-----.+?-----END PRIVATE KEY-----\n", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its private key, as PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """The authorities that are to be trusted, the oldest first, and what is shown."""

    authorities: tuple[Pair, ...]
    serving: Pair

    @property
    def bundle(self) -> bytes:
        """What the API server is told to trust."""
        return b"".join(each.certificate for each in self.authorities)

    @property
    def ends(self) -> datetime:
        """When what is shown is not valid any more."""
        return _load(self.serving).not_valid_after_utc


def renewed(
    held: Certificates | None, *, host: str, lifetime: timedelta, trusted: bytes, now: datetime
) -> Certificates:
    """What is to be held now: `held` itself where nothing is due. `trusted` is the bundle that the API server goes by."""
    authorities = tuple(each for each in held.authorities if _left(each, now)) if held is not None else ()
    if not authorities or _left(authorities[-1], now) < SUCCESSOR_LIFETIMES * lifetime:
        authorities += (_authority(AUTHORITY_LIFETIMES * lifetime, now),)
    if held is None or _is_due(held.serving, authorities, host, lifetime, now):
        signer = _signer(authorities, trusted, lifetime, now)
        return Certificates(authorities=authorities, serving=_serving(signer, host, lifetime, now))
    return held if authorities == held.authorities else Certificates(authorities=authorities, serving=held.serving)


def read(data: Mapping[str, str]) -> Certificates | None:
    """What a Secret holds; None where it holds nothing, or not what `written` writes."""
    try:
        found = {name: b64decode(text, validate=True) for name, text in data.items()}
        certificates = [each.public_bytes(PEM) for each in x509.load_pem_x509_certificates(found["ca.crt"])]
        pairs = [
            Pair(certificate=certificate, key=key)
            for certificate, key in zip(certificates, _KEY.findall(found["ca.key"]), strict=True)
        ]
        serving = Pair(certificate=found["tls.crt"], key=found["tls.key"])
        for each in (*pairs, serving):
            if _public(_load(each).public_key()) != _public(_private(each).public_key()):
                return None
    except (KeyError, ValueError, TypeError):
        return None
    return Certificates(authorities=tuple(pairs), serving=serving)


def written(certificates: Certificates) -> dict[str, str]:
    """The data of the Secret that holds them."""
    parts = {
        "ca.crt": certificates.bundle,
        "ca.key": b"".join(each.key for each in certificates.authorities),
        "tls.crt": certificates.serving.certificate,
        "tls.key": certificates.serving.key,
    }
    return {name: b64encode(part).decode() for name, part in parts.items()}


def _is_due(serving: Pair, authorities: tuple[Pair, ...], host: str, lifetime: timedelta, now: datetime) -> bool:
    certificate = _load(serving)
    if _left(serving, now) < lifetime / 3 or not any(_vouches(each, certificate) for each in authorities):
        return True
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return list(names) != [_general_name(host)]


def _signer(authorities: tuple[Pair, ...], trusted: bytes, lifetime: timedelta, now: datetime) -> Pair:
    """The newest that is trusted and outlives what it signs; without one, the newest."""
    known = [each for each in authorities if each.certificate in trusted and _left(each, now) >= lifetime]
    return known[-1] if known else authorities[-1]


def _vouches(authority: Pair, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(_load(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _left(pair: Pair, now: datetime) -> timedelta:
    """How long it is still valid; nothing where it has ended."""
    return max(_load(pair).not_valid_after_utc - now, timedelta())


def _authority(lifetime: timedelta, now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"pointsman-webhook-{identifier.digest.hex()[:8]}")
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(key, subject=name, issuer=name, lifetime=lifetime, now=now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
    )
    return _signed(builder, key, by=key)


def _serving(authority: Pair, host: str, lifetime: timedelta, now: datetime) -> Pair:
    key, issuer = ec.generate_private_key(ec.SECP256R1()), _load(authority)
    signing = _private(authority)
    builder = (
        _builder(key, subject=_name("pointsman-webhook"), issuer=issuer.subject, lifetime=lifetime, now=now)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    return _signed(builder, key, by=signing)


def _builder(
    key: ec.EllipticCurvePrivateKey, *, subject: x509.Name, issuer: x509.Name, lifetime: timedelta, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _signed(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, *, by: ec.EllipticCurvePrivateKey
) -> Pair:
    text = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate=builder.sign(by, hashes.SHA256()).public_bytes(PEM), key=text)


def _load(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def _private(pair: Pair) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pair.key, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("a key that is not of an elliptic curve")
    return key


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("a key that is not of an elliptic curve")
    return key.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
