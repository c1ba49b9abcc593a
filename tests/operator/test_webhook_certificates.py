"""The webhook's certificates over the months: renewed in time, and at every moment one that the API server trusts."""

from __future__ import annotations

import contextlib
import ssl
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman_operator.webhook.certificates import AUTHORITY_LIFETIMES, Certificates, read, renewed, written

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
HOST = "pointsman-operator-webhook.pointsman-system.svc"
WEEK = timedelta(days=7)


class Installation:
    """A Secret and an API server, looked at by replicas, each of which shows what it last took up."""

    def __init__(self, replicas: int = 1) -> None:
        self.now = NOW
        self.held: Certificates | None = None
        self.trusted = b""
        self.shown: list[Certificates | None] = [None] * replicas
        self.writes = 0

    def look(self, replica: int = 0, *, tells: bool = True) -> Certificates:
        """One look of a replica; with `tells=False` the API server cannot be told whom to trust."""
        wanted = renewed(self.held, host=HOST, lifetime=WEEK, trusted=self.trusted, now=self.now)
        self.writes += wanted is not self.held
        self.held = self.shown[replica] = wanted
        if tells and self.trusted != wanted.bundle:
            self.writes += 1
            self.trusted = wanted.bundle
        return wanted

    def is_trusted(self, replica: int = 0) -> bool:
        """Whether the API server, by its bundle and the clock, accepts what this replica shows."""
        shown = self.shown[replica]
        assert shown is not None
        serving = x509.load_pem_x509_certificate(shown.serving.certificate)
        verifier = x509.verification.PolicyBuilder().store(
            x509.verification.Store(x509.load_pem_x509_certificates(self.trusted))
        )
        try:
            verifier.time(self.now).build_server_verifier(x509.DNSName(HOST)).verify(serving, [])
        except x509.verification.VerificationError:
            return False
        return True


def test_the_first_look_makes_an_authority_and_a_certificate_that_it_vouches_for() -> None:
    world = Installation()

    world.look()

    assert world.is_trusted()
    assert len(world.held.authorities) == 1


def test_nothing_is_written_while_nothing_is_due() -> None:
    world = Installation()
    first = world.look()
    before = world.writes

    for _ in range(10):
        world.now += WEEK / 20
        assert world.look() is first
    assert world.writes == before


def test_a_certificate_is_renewed_in_the_last_third_of_its_life_by_the_same_authority() -> None:
    world = Installation()
    first = world.look()

    world.now += WEEK * 2 / 3 + timedelta(seconds=1)
    second = world.look()

    assert second.serving != first.serving
    assert second.authorities == first.authorities
    assert world.is_trusted()


def test_a_new_authority_signs_only_once_the_api_server_trusts_it_and_the_old_one_stays_until_it_ends() -> None:
    world = Installation()
    old = world.look().authorities[0]
    world.now += WEEK * 2 + timedelta(hours=1)

    both = world.look(tells=False)  # a certificate and the authority are due together
    assert len(both.authorities) == 2
    assert world.is_trusted(), "the old authority signed"

    world.now += WEEK * 2 / 3 + timedelta(hours=1)
    world.look()
    assert world.is_trusted(), "the API server had not been told of the new one"
    world.now += WEEK * 2 / 3 + timedelta(hours=1)
    third = world.look()
    assert third.authorities[0] == old
    assert read(written(replace(third, authorities=third.authorities[1:]))) is not None
    assert world.is_trusted()

    world.now = NOW + WEEK * AUTHORITY_LIFETIMES + timedelta(seconds=1)
    assert old not in world.look().authorities


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.1, 0.33), st.booleans()), min_size=60, max_size=60))
@settings(max_examples=6, deadline=None)
def test_what_any_replica_shows_is_trusted_whoever_looks_when(looks: list[tuple[int, float, bool]]) -> None:
    """As long as each looks once in the third of a lifetime that is left for it, and the API server hears of one of two looks."""
    world = Installation(replicas=3)
    for replica in range(3):
        world.look(replica)
    told = True
    for replica, share, tells in looks:
        world.now += WEEK / 3 * share
        told = tells or not told
        world.look(replica, tells=told)
        for other in range(3):
            if other != replica:
                last = x509.load_pem_x509_certificate(world.shown[other].serving.certificate)
                if last.not_valid_after_utc <= world.now + WEEK / 9:
                    world.look(other, tells=told)
            assert world.is_trusted(other)


def test_a_secret_holds_them_as_they_are() -> None:
    held = Installation().look()

    assert read(written(held)) == held
    assert sorted(written(held)) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]


BROKEN = {
    "nothing": {},
    "no key": {"ca.key": None},
    "another's key": {"tls.key": "ca.key"},
    "text that is no certificate": {"tls.crt": b64encode(b"certificate").decode()},
    "something that is not base64": {"ca.crt": "%"},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_secret_that_is_not_whole_counts_as_none_and_is_made_anew(what: str) -> None:
    data = written(Installation().look())
    change = BROKEN[what]
    broken = {name: text for name, text in data.items() if change and change.get(name, "") is not None}
    broken |= {name: data.get(text, text) for name, text in change.items() if text is not None}

    assert read(broken) is None


def test_another_host_or_an_authority_that_is_not_known_makes_another_certificate() -> None:
    held = Installation().look()
    stranger = Installation().look()

    def serving(held: Certificates, host: str = HOST) -> object:
        return renewed(held, host=host, lifetime=WEEK, trusted=held.bundle, now=NOW).serving

    assert serving(held) == held.serving
    assert serving(held, "127.0.0.1") != held.serving
    assert serving(replace(held, serving=stranger.serving)) != stranger.serving


@pytest.mark.parametrize("host", [HOST, "127.0.0.1"])
def test_a_tls_client_with_the_bundle_accepts_it(host: str, tmp_path: Path) -> None:
    held = renewed(None, host=host, lifetime=WEEK, trusted=b"", now=datetime.now(UTC))
    path = tmp_path / "serving.pem"
    path.write_bytes(held.serving.certificate + held.serving.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cadata=held.bundle.decode())
    incoming, outgoing, back, forth = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(incoming, outgoing, server_hostname=host)
    other = server.wrap_bio(back, forth, server_side=True)

    for _ in range(4):
        for side, sent, received in ((one, outgoing, back), (other, forth, incoming)):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            received.write(sent.read())

    assert one.getpeercert()["issuer"][0][0][1].startswith("pointsman-webhook-")
