"""What nginx really answers, plain and over TLS with HTTP/2 beside it: the judge of what our own scripts claim."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Attempt, Sender
from shared.webhooks.subscribers import Subscriber
from tests import needs
from tests.webhooks.net import LOOPBACK, SECRET, Lead

pytestmark = pytest.mark.needs("nginx")

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/m;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        client_max_body_size 8m;
        location /fine {{ return 204; }}
        location /gone {{ return 410; }}
        location /busy {{ add_header Retry-After 30 always; return 429; }}
        location /moved {{ return 308 https://www.example.com/hooks?token=t0k3n; }}
        location /small {{ client_max_body_size 1k; return 204; }}
        location /impatient {{ client_max_body_size 1k; lingering_close off; return 204; }}
        location /drop {{ return 444; }}
        location /missing {{ return 404; }}
        location /limited {{ limit_req zone=slow; limit_req_status 503; try_files /none =404; }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    folder: Path
    plain: int
    secure: int


@pytest.fixture(scope="module")
def nginx(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)  # its workers are not root
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    running = Nginx(folder, *ports)
    authority.issue_cert("cms.example.com").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(folder=folder, plain=running.plain, secure=running.secure), encoding="utf-8"
    )
    command = [needs.find("nginx") or "nginx", "-e", f"{folder}/error.log", "-p", str(folder), "-c", str(configuration)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            _await(running.secure, process)
            yield running
        finally:
            process.terminate()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            assert process.stderr is not None
            raise RuntimeError(process.stderr.read().decode())
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError


@pytest.fixture(params=["plain", "tls"])
def post(request: pytest.FixtureRequest, nginx: Nginx, trusting: ssl.SSLContext) -> Poster:
    if request.param == "plain":
        return Poster(Sender(AddressGuard(allow=LOOPBACK)), f"http://127.0.0.1:{nginx.plain}")
    return Poster(Sender(Lead(nginx.secure).guard(), context=trusting), "https://cms.example.com")


@dataclass(frozen=True)
class Poster:
    sender: Sender
    url: str

    def __call__(self, path: str, size: int = 10) -> Attempt:
        subscriber = Subscriber("cms", self.url + path, (SECRET,))
        return self.sender.send(subscriber, "evt_1", int(time.time()), b'"' + b"x" * size + b'"', 5.0)


def test_what_nginx_answers(post: Poster) -> None:
    assert (post("/fine").kind, post("/fine").status) == ("delivered", 204)
    assert (post("/gone").kind, post("/gone").status) == ("gone", 410)
    busy = post("/busy")
    assert (busy.kind, busy.status, busy.retry_after) == ("failed", 429, 30.0)
    moved = post("/moved").error or ""
    assert moved.startswith("answered 308, a redirect to https://www.example.com; ")
    assert "t0k3n" not in moved
    missing = post("/missing")
    assert (missing.status, "404 Not Found" in missing.excerpt) == (404, True)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(post: Poster) -> None:
    for path in ("/small", "/impatient") * 5:
        attempt = post(path, 5_000_000)
        assert (attempt.kind, attempt.status) == ("failed", 413), (path, attempt)


def test_a_body_of_many_pieces_is_taken(post: Poster) -> None:
    assert post("/fine", 5_000_000).kind == "delivered"


def test_a_limit_of_requests(post: Poster) -> None:
    assert {post("/limited").status for _ in range(3)} >= {503}


def test_a_connection_that_is_dropped(post: Poster) -> None:
    attempt = post("/drop")
    assert (attempt.kind, attempt.status, attempt.error) == (
        "failed",
        None,
        "the connection was closed before an answer came",
    )


def test_the_log_shows_http_1_1_although_http_2_was_on_offer(post: Poster, nginx: Nginx) -> None:
    post("/fine")
    assert '"POST /fine HTTP/1.1" 204' in (nginx.folder / "access.log").read_text(encoding="utf-8")
