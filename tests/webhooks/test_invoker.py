"""Calling functions with the real aliyun-fc2 over loopback: what goes over the wire, and what each failure becomes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from local.cloud.server import Fault, Request, Response, StandIn
from shared import invoker
from shared.credentials import Credentials
from shared.errors import (
    AccessRefused,
    PermanentError,
    RelayError,
    Throttled,
    TimedOut,
    Unavailable,
)
from shared.invoker import Invoker
from shared.settings import EventFunction

KEY = Credentials("LTAIabcdefgh12345678", "S3cr3tS3cr3tS3cr3tS3cr3t", "CAISt0k3nt0k3nt0k3n")
TARGET = EventFunction("media", "prod", "publisher")


class FunctionCompute(StandIn):
    """As much of the API of 2016-08-15 as an invocation needs; checks the signature and remembers task IDs."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: set[str] = set()

    def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"FC {KEY.access_key_id}:{signature(request)}":
            return failure(403, "SignatureNotMatch")
        task = request.headers.get("x-fc-stateful-async-invocation-id")
        if request.headers.get("x-fc-invocation-type") == "Async":
            if task in self.tasks:
                return failure(409, "StatefulAsyncInvocationAlreadyExists")
            self.tasks.add(task or "")
            return Response(202)
        return Response(200, b"got " + request.body)


def signature(request: Request) -> str:
    headers = sorted((name, value) for name, value in request.headers.items() if name.startswith("x-fc-"))
    lines = [request.method, "", request.headers["content-type"], request.headers["date"]]
    lines += [f"{name}:{value}" for name, value in headers]
    text = "\n".join([*lines, request.path])
    return base64.b64encode(hmac.new(KEY.access_key_secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def failure(status: int, code: str) -> Response:
    body = orjson.dumps({"ErrorCode": code, "ErrorMessage": f"signed {KEY.security_token} wrongly"})
    return Response(status, body, {"x-fc-request-id": "req-1"})


@pytest.fixture
def cloud() -> Iterator[FunctionCompute]:
    with FunctionCompute() as running:
        yield running


@pytest.fixture
def calls(cloud: FunctionCompute) -> Invoker:
    return Invoker(cloud.url, lambda: KEY)


def test_a_call_returns_what_the_function_returned(cloud: FunctionCompute, calls: Invoker) -> None:
    assert calls.call("media", "prod", "index_job", b"{}", timeout=10) == b"got {}"
    (request,) = cloud.requests
    assert (request.method, request.path) == (
        "POST",
        "/2016-08-15/services/media.prod/functions/index_job/invocations",
    )
    assert request.headers["x-fc-security-token"] == KEY.security_token
    assert "x-fc-invocation-type" not in request.headers


def test_without_a_qualifier_and_without_a_token(cloud: FunctionCompute) -> None:
    calls = Invoker(cloud.url, lambda: Credentials(KEY.access_key_id, KEY.access_key_secret))
    assert calls.call("media", None, "index_job", b"", timeout=10) == b"got "
    assert cloud.requests[0].path == "/2016-08-15/services/media/functions/index_job/invocations"
    assert "x-fc-security-token" not in cloud.requests[0].headers


def test_a_task_is_accepted_once(cloud: FunctionCompute, calls: Invoker) -> None:
    assert calls.hand_off(TARGET, b'{"command":"publish"}', "job-1") is True
    assert calls.hand_off(TARGET, b'{"command":"publish"}', "job-1") is False
    assert calls.hand_off(TARGET, b'{"command":"publish"}', "job-2") is True
    for request in cloud.requests:
        assert request.headers["x-fc-invocation-type"] == "Async"
        assert request.headers["x-fc-async-task-id"] == request.headers["x-fc-stateful-async-invocation-id"]


def test_a_lost_answer_is_recognised_when_it_is_repeated(cloud: FunctionCompute, calls: Invoker) -> None:
    cloud.fail(Fault("reset-after"))
    with pytest.raises(Unavailable):
        calls.hand_off(TARGET, b"{}", "job-1")
    assert calls.hand_off(TARGET, b"{}", "job-1") is False


def test_credentials_are_read_at_every_call(cloud: FunctionCompute) -> None:
    keys = [Credentials("LTAIother0000", "wrong"), KEY]
    calls = Invoker(cloud.url, lambda: keys.pop(0))
    with pytest.raises(AccessRefused):
        calls.call("media", None, "index_job", b"", timeout=10)
    assert calls.call("media", None, "index_job", b"", timeout=10) == b"got "


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failure(429, "ResourceThrottled"), Throttled),
        (failure(401, "Unauthorized"), AccessRefused),
        (failure(403, "AccessDenied"), AccessRefused),
        (failure(404, "FunctionNotFound"), PermanentError),
        (failure(400, "InvalidArgument"), PermanentError),
        (failure(413, "PayloadTooLarge"), PermanentError),
        (failure(500, "InternalServerError"), Unavailable),
        (failure(503, "ServiceUnavailable"), Unavailable),
        (Response(502, b"<html>Bad Gateway</html>"), Unavailable),
        (Response(404, b""), PermanentError),
        (Response(400, b"[1]"), PermanentError),
        (Response(302, b"", {"location": "http://127.0.0.1:9/"}), PermanentError),
        (Response(200, b'{"errorMessage":"x"}', {"x-fc-error-type": "UnhandledInvocationError"}), Unavailable),
        (Response(200, b"no json", {"x-fc-error-type": "FunctionUnhandledError"}), Unavailable),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Response) else "",
)
def test_what_each_answer_becomes(
    cloud: FunctionCompute, calls: Invoker, answer: Response, error: type[RelayError]
) -> None:
    cloud.fail(Fault("answer", response=answer))
    with pytest.raises(RelayError) as caught:
        calls.call("media", "prod", "index_job", b"{}", timeout=10)
    assert type(caught.value) is error
    assert caught.value.fields["status"] == answer.status
    assert "media.prod/index_job" in caught.value.message
    assert len(cloud.requests) == 1, "retrying is the caller's business"


def test_a_refused_connection_fails_at_once() -> None:
    """The SDK itself would try for thirty seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(Unavailable, match="could not be reached"):
        Invoker(url, lambda: KEY).call("media", None, "index_job", b"", timeout=10)
    assert time.monotonic() - started < 10


def test_silence_ends_at_the_time_limit(cloud: FunctionCompute, calls: Invoker) -> None:
    cloud.fail(Fault("stall"))
    with pytest.raises(TimedOut, match="did not answer"):
        calls.call("media", None, "index_job", b"", timeout=0.3)
    with pytest.raises(TimedOut, match="no time was left"):
        calls.call("media", None, "index_job", b"", timeout=-1)


def test_a_dripping_answer_ends_at_the_time_limit(cloud: FunctionCompute, calls: Invoker) -> None:
    """Silence alone is not enough: each piece would start the wait anew, and the lease would end before the call."""
    cloud.fail(Fault("drip", seconds=0.1))
    started = time.monotonic()
    with pytest.raises(TimedOut, match="too slowly"):
        calls.call("media", None, "index_job", b"x" * 100, timeout=0.5)
    assert time.monotonic() - started < 5


def test_an_endless_answer_is_not_read_to_its_end(cloud: FunctionCompute, calls: Invoker) -> None:
    cloud.fail(Fault("answer", response=Response(200, b"x" * 1_000_000)))
    assert len(calls.call("media", None, "index_job", b"", timeout=10)) <= 1 << 18


def test_the_endpoint_of_an_account() -> None:
    assert invoker.endpoint("1234567890", "cn-shanghai") == "https://1234567890.cn-shanghai.fc.aliyuncs.com"


def test_no_log_and_no_error_shows_a_credential(cloud: FunctionCompute, calls: Invoker) -> None:
    """On the root logger at DEBUG, where the SDK writes what it signs and, with errors, all its headers."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        calls.call("media", None, "index_job", b"", timeout=10)
        shown = []
        for answer in (failure(403, "SignatureNotMatch"), failure(500, KEY.security_token + "!"), Response(503, b"<")):
            cloud.fail(Fault("answer", response=answer))
            with pytest.raises(RelayError) as caught:
                calls.call("media", None, "index_job", b"", timeout=10)
            shown += [repr(caught.value), repr(caught.value.fields), repr(caught.value.__cause__)]
        cloud.fail(Fault("reset"))
        with pytest.raises(Unavailable) as broken:
            calls.call("media", None, "index_job", b"", timeout=10)
        shown += [repr(broken.value), repr(broken.value.__cause__)]
        root.warning("still heard")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    everything = stream.getvalue() + "".join(shown)
    assert "still heard" in everything
    for secret in (KEY.access_key_secret, KEY.security_token, "FC LTAI"):
        assert secret not in everything


def test_the_sdk_is_imported_when_it_is_first_used() -> None:
    program = (
        "import sys, shared.invoker; shared.invoker.Invoker('https://x', lambda: None); print('fc2' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "False"
