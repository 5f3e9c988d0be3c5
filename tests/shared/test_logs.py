"""One JSON line per event, and no secret in it."""

from __future__ import annotations

import importlib.metadata
import io
import logging
import sys
import threading
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import logs
from shared.errors import JobNotFound


@pytest.fixture
def stream() -> io.StringIO:
    target = io.StringIO()
    logs.set_up("INFO", target)
    return target


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_fields(stream: io.StringIO) -> None:
    with logs.bind(requestId="r-1"):
        logs.log("job.published", jobId="abc", names=["万立骏"])
    logs.log("after")
    first, second = lines(stream)
    assert first["event"] == "job.published"
    assert (first["requestId"], first["jobId"], first["names"], first["level"]) == ("r-1", "abc", ["万立骏"], "INFO")
    assert "requestId" not in second
    assert first["version"] == second["version"] == importlib.metadata.version("smarttag-relay")


def test_an_error_is_logged_with_its_own_fields(stream: io.StringIO) -> None:
    logs.log_error("job.dead", JobNotFound("MPS does not know job abc", jobId="abc"))
    (line,) = lines(stream)
    assert (line["level"], line["error"], line["jobId"]) == ("ERROR", "JobNotFound", "abc")


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "LTAI5tFakeFakeFakeFake12",
        "STS.NTFakeFakeFakeFake",
    ],
)
def test_secrets_are_known_by_their_shape(stream: io.StringIO, secret: str) -> None:
    logs.log("x", level=logging.ERROR, text=f"a {secret} b", nested={"deep": [secret]})
    assert secret not in stream.getvalue()
    assert "a *** b" in stream.getvalue()


@pytest.mark.parametrize("text", ["Signature=abc%2Bdef&x=1", "SecurityToken=CAISfake&y", "Authorization: FC ak:sig"])
def test_signed_urls_and_headers_are_masked(stream: io.StringIO, text: str) -> None:
    logs.log("x", text=text)
    assert "***" in lines(stream)[0]["text"]


def test_a_protected_value_is_masked_whatever_it_looks_like(stream: io.StringIO) -> None:
    logs.protect("ordinary words 42")
    try:
        raise ValueError("boom with ordinary words 42")
    except ValueError:
        logging.getLogger("smarttag").exception("unexpected")
    assert "ordinary words 42" not in stream.getvalue()
    assert "ValueError: boom with ***" in lines(stream)[0]["trace"]


@given(st.dictionaries(st.text(), st.recursive(st.text() | st.integers() | st.floats(), st.lists), max_size=3))
def test_any_field_makes_one_parseable_line(fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    logs.log("x", value=fields, odd="\ud800", big=2**70)
    assert len(lines(stream)) == 1


def test_a_secret_learnt_by_another_thread_disturbs_no_line() -> None:
    over = threading.Event()

    def learn() -> None:
        number = 0
        while not over.is_set():
            logs.protect(f"learnt-secret-{(number := number + 1)}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=learn)
    thread.start()
    try:
        assert {logs.redact("an ordinary line") for _ in range(2000)} == {"an ordinary line"}
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)
