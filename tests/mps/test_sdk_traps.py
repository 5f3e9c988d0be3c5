"""What aliyun-python-sdk-core 2.16.1 does wrong and the client must not: each trap has a test.

The SDK's own client is put on trial beside ours where that shows that the trap is real.
"""

from __future__ import annotations

import io
import logging
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.server import Fault, Response
from shared.errors import AccessRefused, BadSettings, RelayError, ResponseTooLarge, Unavailable
from shared.mps.client import MpsClient
from shared.settings import Settings
from tests.mps.recorded import JOB, RESPONSE

ROOT = Path(__file__).parents[2]
SECRETS = (ROLE.access_key_secret, ROLE.security_token, ROLE.access_key_id, "Signature=")


@contextmanager
def listener(context: ssl.SSLContext | None, answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Accept connections one after the other; record the first bytes of each, then answer."""
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                try:
                    stream = context.wrap_socket(connection, server_side=True) if context else connection
                    heard.append(stream.recv(65536))
                    stream.sendall(answer)
                    stream.close()
                except OSError as error:
                    heard.append(type(error).__name__.encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], heard
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(RESPONSE), RESPONSE)


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, str]:
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return authority, str(file)


@pytest.mark.parametrize("scheme", ["https", "HTTPS".lower()])
def test_https_is_spoken_whatever_object_the_word_is(authority: tuple[trustme.CA, str], scheme: str) -> None:
    """The SDK compares its protocol by identity: an equal string silently goes out as plain HTTP."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    with listener(context, ANSWER) as (port, heard):
        client = MpsClient(f"{scheme}://127.0.0.1:{port}", "cn-shanghai", lambda: ROLE, 1 << 20, ca_file=authority[1])
        assert client.query(JOB, 10) == RESPONSE
    assert heard[0].startswith(b"POST /?")


def test_an_https_endpoint_gets_no_plain_text_ever() -> None:
    with listener(None, b"") as (port, heard):
        client = MpsClient(f"https://127.0.0.1:{port}", "cn-shanghai", lambda: ROLE, 1 << 20)
        with pytest.raises(Unavailable):
            client.query(JOB, 1)
    assert heard
    assert all(piece.startswith(b"\x16\x03") for piece in heard), "TLS handshakes only"


@pytest.mark.parametrize("name", ["another.example", None])
def test_a_certificate_of_somebody_else_is_refused(authority: tuple[trustme.CA, str], name: str | None) -> None:
    """Wrong name under the right authority, then the right name under a foreign one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer = authority[0] if name else trustme.CA()
    issuer.issue_cert(name or "127.0.0.1").configure_cert(context)
    with listener(context, ANSWER) as (port, heard):
        client = MpsClient(f"https://127.0.0.1:{port}", "cn-shanghai", lambda: ROLE, 1 << 20, ca_file=authority[1])
        with pytest.raises(Unavailable, match="SSLError"):
            client.query(JOB, 1)
    assert not [piece for piece in heard if piece.startswith(b"POST")]


@pytest.mark.parametrize(
    "endpoint",
    ["http://mts.cn-shanghai.aliyuncs.com", "http://10.0.0.1", "ftp://127.0.0.1", "mts.cn-shanghai.aliyuncs.com"],
)
def test_plain_http_is_for_loopback_only(endpoint: str) -> None:
    with pytest.raises(BadSettings, match="MPS_ENDPOINT"):
        Settings.from_env({"OUTPUT_URL": "oss://bucket", "MPS_ENDPOINT": endpoint})


def test_a_refused_signature_without_a_colon_is_no_index_error(mps: MpsStandIn, client: MpsClient) -> None:
    mps.refuse(400, "SignatureDoesNotMatch", "no colon in here")
    with pytest.raises(AccessRefused):
        client.query(JOB, 10)


FAULTS = [
    Fault("reset", 99),
    Fault("stall", 99, seconds=2),
    Fault("cut", 99),
    Fault(
        "answer",
        99,
        response=Response(400, b'{"Code":"SignatureDoesNotMatch","Message":"server string to sign is:POST"}'),
    ),
    Fault("answer", 99, response=Response(200, b"<html>")),
    Fault("answer", 99, response=Response(500, b"")),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.response.status}")
def test_no_error_and_no_log_shows_a_credential(
    mps: MpsStandIn, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK writes the signed URL into ClientException and logs it; urllib3 logs every URL at DEBUG."""
    caplog.set_level(logging.DEBUG)
    client = MpsClient(mps.url, "cn-shanghai", lambda: ROLE, 1 << 20)
    assert client.query(JOB, 10) == RESPONSE
    mps.fail(fault)
    with pytest.raises(RelayError) as caught:
        client.query(JOB, 1)
    told = io.StringIO()
    traceback.print_exception(caught.value, file=told)
    text = f"{told.getvalue()}{caught.value.fields}{caplog.text}"
    assert not [secret for secret in SECRETS if secret in text]
    chained = caught.value.__cause__ or caught.value.__context__
    assert chained is None or isinstance(chained, RelayError)


def test_the_message_of_a_refusal_is_not_repeated(mps: MpsStandIn) -> None:
    """It holds the string that was signed, and in it the STS token."""
    wrong = MpsClient(mps.url, "cn-beijing", lambda: ROLE, 1 << 20)
    mps.refuse(400, "SignatureDoesNotMatch", f"server string to sign is:{ROLE.security_token}")
    with pytest.raises(AccessRefused) as caught:
        wrong.query(JOB, 10)
    assert ROLE.security_token not in f"{caught.value}{caught.value.fields}"


def test_a_response_over_the_limit_is_refused_without_reading_it(mps: MpsStandIn) -> None:
    """The SDK reads whatever comes into memory, then parses it."""
    client = MpsClient(mps.url, "cn-shanghai", lambda: ROLE, 1000)
    mps.set_answers(JOB, [b'{"JobStatus":"' + b"x" * 984 + b'"}'])
    assert len(client.query(JOB, 10)) == 1000
    mps.set_answers(JOB, [b'{"JobStatus":"' + b"x" * 985 + b'"}'])
    with pytest.raises(ResponseTooLarge, match="1000 bytes: raise MAX_RESULT_BYTES"):
        client.query(JOB, 10)


def test_the_limit_holds_where_no_length_is_told() -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [b'{"JobStatus":"', b"x" * 2000, b'"}', b""])
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with listener(None, answer) as (port, _):
        for limit, fits in ((2016, True), (2015, False)):
            client = MpsClient(f"http://127.0.0.1:{port}", "cn-shanghai", lambda: ROLE, limit)
            if fits:
                assert len(client.query(JOB, 10)) == 2016
            else:
                with pytest.raises(ResponseTooLarge):
                    client.query(JOB, 10)


QUERY = """
import sys
from local.cloud.accounts import ROLE
from shared.mps.client import MpsClient
print(MpsClient(sys.argv[1], "cn-shanghai", lambda: ROLE, 1 << 20).query(sys.argv[2], 10))
"""


def test_the_environment_can_neither_redirect_nor_print_requests(mps: MpsStandIn) -> None:
    """The SDK obeys proxies (without NO_PROXY), and with DEBUG=sdk prints the signed URL on standard error."""
    nowhere = "http://127.0.0.1:9"
    env = {"HTTP_PROXY": nowhere, "http_proxy": nowhere, "ALL_PROXY": nowhere, "DEBUG": "sdk"}
    done = subprocess.run(
        [sys.executable, "-c", QUERY, mps.url, JOB],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{RESPONSE!r}\n", "")


def test_nothing_heavy_is_imported_before_the_first_query() -> None:
    code = (
        "import sys; from shared.mps.client import MpsClient\n"
        "MpsClient('https://mps.invalid', 'cn-shanghai', lambda: None, 1)\n"
        "print([name for name in ('aliyunsdkcore', 'urllib3', 'certifi') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
