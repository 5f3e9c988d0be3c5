"""What docs/webhooks.md shows to receivers works as it stands there."""

from __future__ import annotations

import atexit
import base64
import functools
import hmac
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared import __version__
from shared.outbox.schedule import RETRY_INTERVALS
from shared.smarttag import summarise
from shared.webhooks import payload
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.signing import sign
from shared.webhooks.subscribers import parse
from tests.webhooks.net import SECRET

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "webhooks.md").read_text()
OTHER = "whsec_" + base64.b64encode(b"somebody else's secret, also long").decode()
BODY = '{"type":"smarttag.job.succeeded","data":{"jobId":"任务"}}'.encode()
JOB = "88c6ca184c0e47098a5b665e2a126797"

NODE_MAIN = """
const body = require("node:fs").readFileSync(0);
try { verify(process.env.SECRET, process.env, body); } catch (error) { process.exit(1); }
"""


GO_MAIN = """
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	body, _ := io.ReadAll(os.Stdin)
	header := http.Header{}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		header.Set(name, os.Getenv(name))
	}
	if Verify(os.Getenv("SECRET"), header, body) != nil {
		os.Exit(1)
	}
}
"""


def sample(language: str, position: int = 0) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[position])


def in_python(secret: str, headers: dict[str, str], body: bytes) -> bool:
    space: dict[str, Any] = {}
    exec(compile(sample("python"), "webhooks.md", "exec"), space)  # noqa: S102 - our own page
    try:
        return bool(space["verify"](secret, headers, body) == json.loads(body))
    except ValueError:
        return False


def in_node(secret: str, headers: dict[str, str], body: bytes) -> bool:
    return run([shutil.which("node") or "node", "-e", sample("js") + NODE_MAIN], secret, headers, body)


def in_go(secret: str, headers: dict[str, str], body: bytes) -> bool:
    return run([str(go_program())], secret, headers, body)


@functools.cache
def go_program() -> Path:
    """Build the page's sample with a main of ours."""
    folder = Path(tempfile.mkdtemp(prefix="smarttag-go-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "verify.go").write_text(sample("go").replace("package webhook", "package main"))
    (folder / "main.go").write_text(GO_MAIN)
    sources = [str(folder / "main.go"), str(folder / "verify.go")]
    environment = {**os.environ, "GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "build", "-o", str(folder / "verify"), *sources], env=environment, check=True, timeout=300)
    return folder / "verify"


def run(command: list[str], secret: str, headers: dict[str, str], body: bytes) -> bool:
    environment = {**os.environ, **headers, "SECRET": secret}
    ran = subprocess.run(command, input=body, env=environment, capture_output=True, check=False, timeout=60)
    assert not ran.stderr, ran.stderr
    return ran.returncode == 0


@pytest.mark.parametrize(
    "verifies",
    [
        in_python,
        pytest.param(in_node, marks=pytest.mark.needs("node")),
        pytest.param(in_go, marks=pytest.mark.needs("go")),
    ],
)
def test_the_sample_accepts_what_is_ours_and_nothing_else(
    verifies: Callable[[str, dict[str, str], bytes], bool],
) -> None:
    now = int(time.time())

    def headers(*secrets: str, at: int = now) -> dict[str, str]:
        signature = sign(secrets, "msg_1", at, BODY)
        return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}

    assert verifies(SECRET, headers(SECRET), BODY)
    assert verifies(SECRET, headers(OTHER, SECRET), BODY), "during a rotation"
    assert not verifies(SECRET, headers(OTHER), BODY)
    assert not verifies(SECRET, headers(SECRET), BODY + b" ")
    assert not verifies(SECRET, headers(SECRET, at=now - 400), BODY)
    assert not verifies(SECRET, headers(SECRET, at=now + 400), BODY)
    assert not verifies(SECRET, {**headers(SECRET), "webhook-id": "msg_2"}, BODY)
    for odd in ("", "garbage", "v1", "v1,", "v1,abc", "v1,a,b", "v2," + headers(SECRET)["webhook-signature"][3:]):
        assert not verifies(SECRET, {**headers(SECRET), "webhook-signature": odd}, BODY), odd
    assert not verifies(SECRET, {**headers(SECRET), "webhook-timestamp": "now"}, BODY)


def test_the_example_body_has_the_shape_of_the_real_one() -> None:
    response = (ROOT / "local" / "recorded" / "documented.json").read_bytes()
    summary = orjson.loads(summarise(response, JOB).to_json())
    real = payload.make_event(JOB, "succeeded", "2026-11-22T08:30:00Z", summary, "oss://media-results/smarttag")
    shown = json.loads(sample("json"))
    assert shown == real
    assert f"webhook-id: {payload.webhook_id(JOB, 'succeeded')}" in PAGE


def test_the_signatures_shown_are_those_of_the_body_shown() -> None:
    """Verified as the standard says, and not with what signed them."""
    shown = dict(re.findall(r"^(webhook-\w+): (.+)$", sample("http"), re.MULTILINE))
    body = json.dumps(json.loads(sample("json")), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert f"{len(body):,} bytes" in PAGE
    signed = f"{shown['webhook-id']}.{shown['webhook-timestamp']}.".encode() + body
    (secret,), (key,) = re.findall(r"`whsec_(\w{32})`", PAGE), re.findall(r"`whpk_(\S{44})`", PAGE)
    symmetric, asymmetric = shown["webhook-signature"].split(" ")
    expected = hmac.digest(base64.b64decode(secret), signed, "sha256")
    assert symmetric == "v1," + base64.b64encode(expected).decode()
    signature = base64.b64decode(asymmetric.removeprefix("v1a,"))
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(signature, signed)


def test_the_body_shown_is_written_as_it_is_sent() -> None:
    (subscriber,) = parse(
        orjson.dumps(
            {"version": 1, "subscribers": [{"id": "a", "url": "https://a.example.com/", "secrets": [SECRET]}]}
        ),
        {},
        AddressGuard().target,
    ).good
    shown = json.loads(sample("json"))
    sent = payload.make_body(shown, subscriber, None)  # type: ignore[arg-type]  # a thin body asks for no summary
    assert sent == json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_the_user_agent_shown_is_the_one_sent() -> None:
    assert f"User-Agent: smarttag-relay/{__version__}\n" in PAGE


def test_the_example_subscribers_are_good() -> None:
    env = {f"SUBSCRIBER_{name}_SECRET": SECRET for name in ("CMS", "REVIEW", "INDEXER")}
    subscribers = parse(
        sample("json", 1).encode(), {**env, "SUBSCRIBER_REVIEW_TOKEN": "Bearer x"}, AddressGuard().target
    )
    assert not subscribers.broken
    assert [subscriber.id for subscriber in subscribers.good] == ["cms", "review-desk", "indexer"]


def test_the_examples_of_when_are_good() -> None:
    section = PAGE.split("| told of | `when` |\n|---|---|\n")[1].split("\n\n")[0]
    expressions = re.findall(r"\| `{1,2}([^|]*?[^`])`{1,2}(?: \||\s\()", section)
    assert len(expressions) == 4
    entries = [
        {"id": f"s{number}", "url": "https://a.example.com/", "secrets": [SECRET], "when": expression}
        for number, expression in enumerate(expressions)
    ]
    body = orjson.dumps({"version": 1, "subscribers": entries})
    subscribers = parse(body, {}, AddressGuard().target)
    assert not subscribers.broken
    summary = orjson.loads(summarise((ROOT / "local" / "recorded" / "documented.json").read_bytes(), JOB).to_json())
    assert [subscriber.matches(summary) for subscriber in subscribers.good] == [False, True, False, False]


def test_the_schedule_shown_is_the_schedule() -> None:
    units = {"min": 60, "h": 3600}
    text = PAGE.split("**The schedule.**")[1].split("after the one before")[0]
    assert tuple(int(n) * units[unit] for n, unit in re.findall(r"(\d+)\s+(min|h)\b", text)) == RETRY_INTERVALS
