"""Whom we trust, what we offer, and what a failed handshake is called."""

from __future__ import annotations

import datetime as dt
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import certifi
import pytest
import trustme

from shared.webhooks.sender import Attempt, Sender
from shared.webhooks.subscribers import Subscriber
from tests.webhooks.net import SECRET, Lead, Scripted, take_request

CERTIFICATE = "its certificate is not accepted: "
NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


def attempt_at(server: Scripted, trusting: ssl.SSLContext | None, host: str = "cms.example.com") -> Attempt:
    sender = Sender(Lead(server.port).guard(), context=trusting)
    return sender.send(Subscriber("cms", f"https://{host}/", (SECRET,)), "evt_1", int(time.time()), b"{}", 5.0)


def fine(peer: socket.socket) -> None:
    take_request(peer)
    peer.sendall(b"HTTP/1.1 204 Fine\r\n\r\n")


def with_certificate(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_http_1_1_is_offered_and_chosen(trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext]) -> None:
    chosen: list[str | None] = []
    context = certified("cms.example.com")
    context.set_alpn_protocols(["h2", "http/1.1"])

    def script(peer: socket.socket) -> None:
        assert isinstance(peer, ssl.SSLSocket)
        chosen.append(peer.selected_alpn_protocol())
        fine(peer)

    with Scripted(script, context) as server:
        assert attempt_at(server, trusting).kind == "delivered"
    assert chosen == ["http/1.1"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken(
    trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext], version: ssl.TLSVersion
) -> None:
    context = certified("cms.example.com")
    context.minimum_version = context.maximum_version = version
    with Scripted(fine, context) as server:
        assert attempt_at(server, trusting).kind == "delivered"


def test_a_certificate_for_an_address_is_accepted(
    trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext]
) -> None:
    with Scripted(fine, certified("93.184.216.34")) as server:
        assert attempt_at(server, trusting, "93.184.216.34").kind == "delivered"
        assert attempt_at(server, trusting, "93.184.216.35").error == (
            CERTIFICATE + "it does not name the address in the url"
        )


def bad_certificates(authority: trustme.CA) -> dict[str, tuple[ssl.SSLContext, str]]:
    """Make servers whose certificates are not accepted, and say what that is to be called."""
    expired = authority.issue_cert("cms.example.com", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    early = authority.issue_cert("cms.example.com", not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    unknown = trustme.CA().issue_cert("cms.example.com")
    intermediate = authority.create_child_ca().issue_cert("cms.example.com")
    without = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with intermediate.private_key_pem.tempfile() as key, intermediate.cert_chain_pems[0].tempfile() as leaf:
        without.load_cert_chain(leaf, key)
    nobody = "no authority that we trust has issued it, or the server does not send the intermediate certificates"
    return {
        "expired": (with_certificate(expired), "it has expired"),
        "not yet valid": (with_certificate(early), "it is not valid yet"),
        "of an unknown authority": (with_certificate(unknown), nobody),
        "without its intermediate": (without, nobody),
        "for another name": (
            with_certificate(authority.issue_cert("other.example.com")),
            "it does not name the host of the url",
        ),
    }


def test_what_is_wrong_with_a_certificate_is_said(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    for name, (context, words) in bad_certificates(authority).items():
        with Scripted(fine, context) as server:
            attempt = attempt_at(server, trusting)
        assert (attempt.kind, attempt.status, attempt.error) == ("failed", None, CERTIFICATE + words), name


def alerting(context: ssl.SSLContext, alert: int) -> ssl.SSLContext:
    """Make a server that refuses every name with this alert."""

    def refuse(_sock: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int:
        return alert

    context.sni_callback = refuse
    return context


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        (40, "it and we have no cipher in common, or it demands a client certificate, and we have none"),
        (70, "it speaks no TLS version that is still safe; let it offer TLS 1.2 or 1.3"),
        (80, "it has an internal error; often it has no certificate for this host name"),
        (112, "it does not serve this host name"),
        (120, "it does not speak HTTP/1.1"),
        (42, "it demands a client certificate, and we have none"),
        (71, "its key, certificate or cipher is too weak; let it use 2048-bit RSA or ECDSA, and SHA-256"),
        (49, "tlsv1 alert access denied"),
    ],
)
def test_what_an_alert_means_is_said(
    trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext], alert: int, words: str
) -> None:
    with Scripted(fine, alerting(certified("cms.example.com"), alert)) as server:
        assert attempt_at(server, trusting).error == f"TLS failed: {words}"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_demand_for_our_certificate_is_said(
    authority: trustme.CA, trusting: ssl.SSLContext, certified: Callable[..., ssl.SSLContext], version: ssl.TLSVersion
) -> None:
    context = certified("cms.example.com")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)

    def script(peer: socket.socket) -> None:
        peer.recv(1)

    with Scripted(script, context) as server:
        error = attempt_at(server, trusting).error or ""
    assert error.startswith("TLS failed: it")
    assert error.endswith("demands a client certificate, and we have none")


PLAIN = {
    "plain http": (b"HTTP/1.1 400 Bad Request\r\n\r\nthis is no TLS", "it does not speak TLS on this port"),
    "a banner": (b"SSH-2.0-OpenSSH_9.6\r\n", "it does not speak TLS on this port"),
    "nothing": (b"", "it closed the connection during the handshake"),
    "half a record": (b"\x16\x03\x03\x00\x7a\x02\x00", "it closed the connection during the handshake"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_no_tls_is_said(trusting: ssl.SSLContext, name: str) -> None:
    said, words = PLAIN[name]

    def script(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(said)

    with Scripted(script) as server:
        attempt = attempt_at(server, trusting)
    assert (attempt.kind, attempt.status) == ("failed", None)
    assert (attempt.error or "").startswith(f"TLS failed: {words}")


def test_by_default_nobody_of_this_machine_is_trusted(certified: Callable[..., ssl.SSLContext]) -> None:
    with Scripted(fine, certified("cms.example.com")) as server:
        assert (attempt_at(server, None).error or "").startswith(CERTIFICATE + "no authority that we trust")


@pytest.mark.parametrize("environment", [{}, {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"}])
def test_certifis_authorities_are_trusted_whatever_the_system_has(environment: dict[str, str]) -> None:
    program = (
        "from shared.webhooks.tls import default_context; context = default_context();"
        "print(context.verify_mode.name, context.check_hostname, context.cert_store_stats()['x509_ca'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    authorities = Path(certifi.where()).read_text(encoding="utf-8").count("BEGIN CERTIFICATE")
    assert ran.stdout.split() == ["CERT_REQUIRED", "True", str(authorities)]
