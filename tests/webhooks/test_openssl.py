"""Floods below HTTP that only OpenSSL's own server makes: renegotiation, and records that are nearly all padding."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLContext
from typing import IO

import pytest
import trustme

from shared.webhooks.sender import Attempt, Sender
from shared.webhooks.subscribers import Subscriber
from tests.webhooks.net import SECRET, Lead

pytestmark = pytest.mark.needs("openssl")

DEADLINE = 3.0


@contextmanager
def s_server(authority: trustme.CA, folder: Path, *options: str) -> Iterator[tuple[int, IO[bytes]]]:
    """Run ``openssl s_server``; yield its port, and where to write what it is to say or to do."""
    pem = folder / "server.pem"
    authority.issue_cert("cms.example.com").private_key_and_cert_chain_pem.write_to_path(str(pem))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-naccept", "1", *options]
    quiet = subprocess.DEVNULL
    # Without a buffer, which could not be emptied at the end where the server has ended before.
    with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as process:
        try:
            assert process.stdin is not None
            time.sleep(0.5)  # connecting to see whether it listens would use up the one connection it takes
            yield port, process.stdin
        finally:
            process.kill()


def attempt_at(port: int, trusting: SSLContext) -> tuple[Attempt, float]:
    sender = Sender(Lead(port).guard(), context=trusting)
    started = time.monotonic()
    attempt = sender.send(Subscriber("cms", "https://cms.example.com/", (SECRET,)), "evt_1", 1, b"{}", DEADLINE)
    return attempt, time.monotonic() - started


def test_padding_is_taken_off(authority: trustme.CA, trusting: SSLContext, tmp_path: Path) -> None:
    with s_server(authority, tmp_path, "-quiet", "-tls1_3", "-record_padding", "16384") as (port, told):
        told.write(b"HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\ngone")
        told.flush()
        attempt, _ = attempt_at(port, trusting)
    assert (attempt.kind, attempt.status, attempt.excerpt) == ("gone", 410, "gone")


def test_renegotiation_without_end_ends(authority: trustme.CA, trusting: SSLContext, tmp_path: Path) -> None:
    done = threading.Event()
    with s_server(authority, tmp_path, "-tls1_2") as (port, told):

        def ask_again_and_again() -> None:
            with contextlib.suppress(OSError):
                while not done.wait(0.02):
                    told.write(b"r\n")  # its command for a new handshake
                    told.flush()

        thread = threading.Timer(0.2, ask_again_and_again)
        thread.start()
        attempt, seconds = attempt_at(port, trusting)
        done.set()
        thread.join()
    assert (attempt.kind, attempt.status) == ("failed", None)
    assert attempt.error == "no complete answer within the deadline"
    assert seconds < DEADLINE * 1.05
