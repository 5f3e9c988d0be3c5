"""Subscribers whose expressions would take the function down, beside forty good ones, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.receiver import Receiver

ROOT = Path(__file__).parents[2]
JOB = "88c6ca184c0e47098a5b665e2a126797"
SECRET = "whsec_c2VjcmV0IG9mIHRoZSByZWNlaXZlciBpbiB0ZXN0cw=="
GOOD = 40
MOST_MEMORY = 400  # MB
# Handles one event as the platform would, then says on the last line what memory it took at most, in bytes.
CHILD = """
import json, sys
from functions import mns_callback
from tests.memory import peak
mns_callback.handler(sys.argv[1].encode(), None)
print(json.dumps({"peak": peak()}))
"""


def doubled(start: str, step: str, times: int) -> str:
    return "|".join([start, *[step] * times])


KNOWN_BEFORE = {
    "doubling": {"select": doubled("@", "[@,@]", 19)},
    "far-doubling": {"select": doubled("@", "[@,@]", 24)},
    "joining": {"select": doubled("'abc'", "join('',[@,@])", 40)},
}
KNOWN_ONLY_WITH_A_JOB = {
    "joining-names": {"select": doubled("persons[].name|join('',@)", "join('',[@,@])", 40)},
    "sorting-names": {"when": doubled("persons[].name", "[@,@]|[]|sort(@)", 30)},
    "doubling-names": {"select": doubled("persons[].name", "[@,@]", 30)},
}
CULPRITS = KNOWN_BEFORE | KNOWN_ONLY_WITH_A_JOB


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as running:
        yield running


@pytest.fixture(scope="module")
def lines(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what the function printed."""
    folder = tmp_path_factory.mktemp("costly")
    good: dict[str, dict[str, Any]] = {
        f"good-{n}": {"when": "length(persons) > `1`", "select": "persons[].name"} for n in range(GOOD)
    }
    entries = [
        {"id": name, "url": f"{receiver.url}/{name}", "secrets": ["env:SUBSCRIBER_SECRET"], **more}
        for name, more in (CULPRITS | good).items()
    ]
    (folder / "subscribers.json").write_text(json.dumps({"version": 1, "subscribers": entries}))
    with ExitStack() as stack:
        mps = stack.enter_context(MpsStandIn({JOB: (ROOT / "local" / "recorded" / "documented.json").read_bytes()}))
        env = {
            "MPS_ENDPOINT": mps.url,
            "OUTPUT_URL": f"file://{folder}/out",
            "SUBSCRIBERS_URL": f"file://{folder}/subscribers.json",
            "SUBSCRIBER_SECRET": SECRET,
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
        }
        event = json.dumps({"Type": "smarttag", "JobId": JOB, "State": "Success"})
        command = [sys.executable, "-c", CHILD, event]
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_every_good_subscriber_is_told(receiver: Receiver, lines: list[dict[str, Any]]) -> None:
    assert lines
    told = sorted(delivery.path for delivery in receiver.deliveries if delivery.verified)
    assert told == sorted(f"/good-{n}" for n in range(GOOD))


def test_the_process_stays_small(lines: list[dict[str, Any]]) -> None:
    assert 0 < lines[-1]["peak"] < MOST_MEMORY * 1024 * 1024


@pytest.mark.parametrize("name", KNOWN_BEFORE)
def test_a_culprit_of_the_file_alone_is_named_at_once(lines: list[dict[str, Any]], name: str) -> None:
    (said,) = [line for line in lines if (line.get("event"), line.get("subscriber")) == ("subscriber.broken", name)]
    assert said["level"] == "ERROR"
    assert "select takes more than 20,000 steps" in said["reason"]


@pytest.mark.parametrize("name", CULPRITS)
def test_each_culprit_fails_alone_and_on_the_record(lines: list[dict[str, Any]], name: str) -> None:
    errors = [json.dumps(line) for line in lines if line.get("subscriber") == name]
    assert any("steps; make it simpler" in error for error in errors)
