"""Random answers: nothing is raised, nothing comes late, memory stays flat. ``make soak`` takes 20,000 of each kind."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.webhooks.fuzz_worker import DEADLINE
from tests.webhooks.grammar import speak
from tests.webhooks.net import Scripted, reset, take_request

ANSWERS = 20_000 if os.environ.get("SOAK") else 250
MEGABYTE = 1024 * 1024


def speaking(peer: socket.socket) -> None:
    """Say the answer that the webhook's id asks for."""
    match = re.search(rb"webhook-id: evt_([0-9]+)", take_request(peer))
    assert match is not None
    spoken = speak(int(match[1]))
    for piece in spoken.pieces:
        peer.sendall(piece)
    if spoken.end == "reset":
        time.sleep(0.005)  # what was said is to arrive before
        reset(peer)
    elif spoken.end == "hang":
        peer.recv(1)


@pytest.mark.parametrize("secure", ["plain", "tls"])
def test_whatever_is_answered(
    authority: trustme.CA, certified: Callable[..., ssl.SSLContext], tmp_path: Path, secure: str
) -> None:
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    context = certified("cms.example.com") if secure == "tls" else None
    with Scripted(speaking, context) as server:
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "tests.webhooks.fuzz_worker"),
                *(str(server.port), "0", str(ANSWERS), str(trusted) if context else ""),
            ],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
            timeout=3600,
        )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["faults"] == []
    assert report["attempts"] == ANSWERS
    assert report["longest"] < DEADLINE * 1.05
    assert report["peak"] < 200 * MEGABYTE
    assert report["peak"] - report["early"] < 64 * MEGABYTE
