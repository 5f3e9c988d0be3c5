"""One JSON line per event, and no secret in it."""

from __future__ import annotations

import base64
import importlib.metadata
import io
import json
import logging
import os
import random
import sys
import threading
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import logs
from shared.errors import JobNotFound
from shared.relay import relay


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


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("https://b.example.com/k?Signature=abc%2Bdef&x=1", "abc%2Bdef"),
        ("SecurityToken=CAISfake&y", "CAISfake"),
        ("Authorization: FC ak:sig", "ak:sig"),
        ("{'Authorization': 'Bearer t0p-s3cret', 'Host': 'h'}", "t0p-s3cret"),
        ('{"authorization":"acs ak:sig"}', "ak:sig"),
        ("x-acs-security-token: CAISfake", "CAISfake"),
    ],
)
def test_signed_urls_and_headers_are_masked(stream: io.StringIO, text: str, secret: str) -> None:
    logs.log("x", text=text)
    assert "***" in lines(stream)[0]["text"]
    assert secret not in stream.getvalue()


def test_a_protected_value_is_masked_whatever_it_looks_like(stream: io.StringIO) -> None:
    logs.protect("ordinary words 42")
    try:
        raise ValueError("boom with ordinary words 42")
    except ValueError:
        logging.getLogger("smarttag").exception("unexpected")
    assert "ordinary words 42" not in stream.getvalue()
    assert "ValueError: boom with ***" in lines(stream)[0]["trace"]


HOSTILE = (
    *('"', "\\", '\\"', "'", "\n", "\r\n", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\udfff"),
    *("{", "}", '":', '","level":"INFO', "é", "中", "\U0001f3ac", "\u202e", "***", "env:X", "bearer ", "Signature="),
)
SECRETS = tuple(f'{sign}s3cr"et\\{number}{sign}' for number, sign in enumerate(HOSTILE))
FIELDS = st.recursive(
    st.none() | st.booleans() | st.text() | st.sampled_from(HOSTILE + SECRETS) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(st.text() | st.sampled_from(SECRETS), inner)
    ),
    max_leaves=10,
)


@settings(deadline=None)  # of a machine under load
@given(st.dictionaries(st.text(), FIELDS, max_size=3))
def test_any_field_makes_one_parseable_line(fields: dict[str, Any]) -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    logs.log("x", value=fields, odd="\ud800", big=2**70)
    assert len(lines(stream)) == 1


def test_a_log_of_hostile_requests_is_json_line_by_line() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    logs.protect(*SECRETS)
    chance = random.Random(4)
    count = 100_000 if os.environ.get("SOAK") else 3_000
    for _ in range(count):
        target = "".join(chance.choices(HOSTILE + SECRETS, k=6))
        logs.log("http.request", target=f"GET /{target} HTTP/1.1", headers={target: [target]}, agent=target)
    written = stream.getvalue().splitlines()
    assert len(written) == count
    for line in written:
        entry = json.loads(line)
        assert entry["event"] == "http.request"
        assert "s3cr" not in line
        orjson.loads(line)


class Kind(Enum):
    WAITING = "waiting"


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_what_is_no_json_is_written_as_text(stream: io.StringIO) -> None:
    endless: list[object] = []
    endless.append(endless)
    deep: object = "end"
    for _ in range(50_000):
        deep = [deep]
    logs.log("x", odd=[Unprintable(), b"bytes", {1: 2}, {3}, Kind.WAITING, float("nan"), 10**5000])
    logs.log("x", endless=endless, deep=deep)
    first, second = lines(stream)
    assert first["odd"][:6] == ["<Unprintable>", "b'bytes'", {"1": 2}, [3], "waiting", None]
    assert int(first["odd"][6], 16) == 10**5000
    assert {"endless", "deep"} <= set(second)


def test_two_hundred_subscribers_and_credentials_that_rotate_are_all_masked(stream: io.StringIO) -> None:
    keys = [f"role-key-{number:08}" for number in range(300)]
    secrets = [f"Bearer subscriber-{number:08}" for number in range(200)]
    for key in keys:
        logs.protect(key)
    for secret in secrets:
        logs.protect(f"plain-{secret[7:]}", secret)
    for secret in (*keys, *secrets):
        logs.log(
            "x", text=f"it said {secret}", deep=({"a": [secret.rpartition(" ")[2]]},), **{secret: f"plain-{secret[7:]}"}
        )
    text = stream.getvalue()
    assert len(lines(stream)) == 500
    assert "role-key" not in text
    assert "subscriber-" not in text


def test_whoever_reads_the_file_of_two_hundred_subscribers_masks_every_secret(
    stream: io.StringIO, tmp_path: Path
) -> None:
    env = {"OUTPUT_URL": f"file://{tmp_path}/out", "SUBSCRIBERS_URL": f"file://{tmp_path}/subscribers.json"}
    entries = []
    for number in range(200):
        key = base64.b64encode(f"{number:032}".encode()).decode()
        env |= {
            f"SUBSCRIBER_KEY_{number}": f"whsec_{key}",
            f"SUBSCRIBER_TOKEN_{number}": f"Bearer token-of-{number:04}",
        }
        headers = {"Authorization": f"env:SUBSCRIBER_TOKEN_{number}", "X-Key": f"written-out-{number:04}"}
        secrets = [f"env:SUBSCRIBER_KEY_{number}"]
        entries.append({"id": f"s{number}", "url": "https://a.example.com/", "secrets": secrets, "headers": headers})
    (tmp_path / "subscribers.json").write_text(json.dumps({"version": 1, "subscribers": entries}))
    found = relay(env).subscribers()  # what every delivery reads first, without the deliveries
    logs.set_up("INFO", stream)  # the relay set it up for standard output
    assert len(found.good) == 200
    for number in range(200):
        values = [env[f"SUBSCRIBER_KEY_{number}"], f"token-of-{number:04}", f"written-out-{number:04}"]
        logs.log("x", level=logging.ERROR, text=" and ".join(values), deep=[{"echo": values}])
    assert len(lines(stream)) == 200
    for word in ("token-of", "written-out", "whsec_", "MDAwMDAw"):
        assert word not in stream.getvalue()


def test_a_secret_is_masked_as_others_spell_it_too(stream: io.StringIO) -> None:
    secret = 'CAIS+fake/"token"\\=='
    logs.protect(f"Bearer {secret}")
    error = ValueError({"Authorization": f"Bearer {secret}"})
    logs.log("x", error=repr(error), url=f"https://b.example.com/?t={quote(secret, safe='')}&x=1", body=repr([secret]))
    assert "fake" not in stream.getvalue()
    assert lines(stream)[0]["url"] == "https://b.example.com/?t=***&x=1"


def test_the_longer_of_two_secrets_is_masked_whole(stream: io.StringIO) -> None:
    logs.protect("inner-secret")
    logs.protect("outer-inner-secret-rest")
    logs.log("x", text="outer-inner-secret-rest")
    assert lines(stream)[0]["text"] == "***"


def test_a_secret_learnt_by_another_thread_disturbs_no_line() -> None:
    over = threading.Event()

    def learn() -> None:
        for number in range(500):
            logs.protect(f"learnt-secret-{number}")
            if over.is_set():
                return

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
