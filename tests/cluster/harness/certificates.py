"""Certificates of one test cluster: an authority of its own, what it issues, and kubeconfigs.

Both worlds make theirs anew at every start (milliseconds with elliptic curves), so nothing here outlives a run.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Where a certificate, its key and the certificate of whoever signed it lie, as PEM files."""

    certificate: Path
    key: Path
    authority: Path


class Authority:
    """A certificate authority whose files go to one folder; `client` and `server` issue what it vouches for."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(f"pointsman-test-{name}", ())
        signed = (
            _unsigned(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.files = Certificate(
            certificate=folder / f"{name}.crt", key=folder / f"{name}.key", authority=folder / f"{name}.crt"
        )
        self.files.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        write_key(self._key, self.files.key)

    def client(self, name: str, common_name: str, organizations: Sequence[str] = ()) -> Certificate:
        """A certificate that a client shows; Kubernetes reads user and groups from its subject."""
        return self._issue(name, _subject(common_name, organizations), (), ExtendedKeyUsageOID.CLIENT_AUTH)

    def server(self, name: str, addresses: Sequence[str], subject: x509.Name | None = None) -> Certificate:
        """A certificate that a server shows under any of these host names and IP addresses."""
        return self._issue(name, subject or _subject(name, ()), addresses, ExtendedKeyUsageOID.SERVER_AUTH)

    def _issue(
        self, name: str, subject: x509.Name, addresses: Sequence[str], usage: x509.ObjectIdentifier
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        unsigned = _unsigned(subject, self._name, key).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if addresses:
            alternatives = x509.SubjectAlternativeName([_general_name(address) for address in addresses])
            unsigned = unsigned.add_extension(alternatives, critical=False)
        signed = unsigned.sign(self._key, hashes.SHA256())
        made = Certificate(
            certificate=self._folder / f"{name}.crt",
            key=self._folder / f"{name}.key",
            authority=self.files.certificate,
        )
        made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        write_key(key, made.key)
        return made


def write_key(key: ec.EllipticCurvePrivateKey, path: Path) -> None:
    """Write a private key as the PEM that Kubernetes, etcd and Go's webhook servers all read, for its owner alone."""
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(text)


def service_account_key(folder: Path) -> Path:
    """The key pair by which the controller-manager and the API server sign and check ServiceAccount tokens."""
    path = folder / "service-accounts.key"
    write_key(ec.generate_private_key(ec.SECP256R1()), path)
    return path


def kubeconfig(path: Path, server: str, client: Certificate, namespace: str = "default") -> Path:
    """Write a kubeconfig for one client, with its certificates inside, and return its path."""

    def inside(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    user = {"client-certificate-data": inside(client.certificate), "client-key-data": inside(client.key)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": server, "certificate-authority-data": inside(client.authority)}}
        ],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


def node_subject(node: str) -> x509.Name:
    """The subject by which the API server's node authorizer knows a kubelet."""
    return _subject(f"system:node:{node}", ("system:nodes",))


def _subject(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a clock set back a little is no failure
        .not_valid_after(now + datetime.timedelta(days=30))
    )
