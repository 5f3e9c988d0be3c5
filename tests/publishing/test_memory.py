"""What whole processes take at most (RSS): many large publications cost no more than one alone.

``SOAK=1 pytest tests/publishing/test_memory.py -s`` takes the sizes of real ones, and prints the figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.bench import inputs
from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.receiver import Receiver
from local.cloud.server import Request, Response

ROOT = Path(__file__).parents[2]
SECRET = "whsec_c2VjcmV0IG9mIHRoZSByZWNlaXZlciBpbiB0ZXN0cw=="
SOAK = bool(os.environ.get("SOAK"))
soaking = pytest.mark.skipif(not SOAK, reason="it decodes a gigabyte; make soak runs it")
# Takes events and sweeps as the platform would have it do, then says on the last line what it took at most, in bytes.
CHILD = """
import json, os, sys
from shared.publishing.turns import Turns
from shared.settings import Settings
from shared.relay import Relay
from tests.memory import peak
what, *jobs = sys.argv[1:]
event = [{"Type": "smarttag", "JobId": job, "State": "Success"} for job in jobs]
relay = Relay(Settings.from_env(os.environ), turns=Turns(patience=3000))  # the machine may be slow
relay.begin(os.environ, None)
if what == "sweep":
    relay.outbox.enqueue_all(relay.publisher.task(job, reported_status="Success") for job in jobs)
    event = {"triggerTime": "2026-01-01T00:00:00Z", "triggerName": "sweep"}
relay.handle(json.dumps(event).encode(), request_id="memory", seconds=3600)
print(json.dumps({"peak": peak()}))
"""


class _Racing(MpsStandIn):
    """While it answers, another worker stores another response of the same job."""

    store: Path | None = None
    other = b""

    def answer(self, request: Request) -> Response:
        if self.store is not None:
            self.store.mkdir(parents=True, exist_ok=True)
            (self.store / "response.json").write_bytes(self.other)
        return super().answer(request)


class World:
    """MPS with one response under many IDs, a receiver, and processes that publish."""

    def __init__(self, folder: Path, response: bytes, stack: ExitStack) -> None:
        self.folder = folder
        self.jobs = [f"{number:032x}" for number in range(1, 17)]
        self.response = response
        self.mps = stack.enter_context(_Racing(dict.fromkeys(self.jobs, self.response)))
        self.receiver = stack.enter_context(Receiver(SECRET))

    def peak(self, name: str, what: str, jobs: int, subscribers: int = 1, payload: str = "full") -> float:
        """Return what a process took at most that did so many jobs, in MB; fail unless it did."""
        told = len(self.receiver.deliveries)
        entries = [
            {"id": f"s{n}", "url": f"{self.receiver.url}/{n}", "secrets": ["env:SUBSCRIBER_SECRET"], "payload": payload}
            for n in range(subscribers)
        ]
        folder = self.folder / name
        folder.mkdir()
        (folder / "subscribers.json").write_text(json.dumps({"version": 1, "subscribers": entries}))
        if name == "loser":
            self.mps.store = folder / "out" / "jobs" / self.jobs[0]
            self.mps.other = self.response.replace(b'"UserData":""', b'"UserData":"other"')
        env = {
            "MPS_ENDPOINT": self.mps.url,
            "OUTPUT_URL": f"file://{folder}/out",
            "SUBSCRIBERS_URL": f"file://{folder}/subscribers.json",
            "SUBSCRIBER_SECRET": SECRET,
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
        }
        command = [sys.executable, "-c", CHILD, what, *self.jobs[:jobs]]
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=3600, check=True)
        self.mps.store = None
        assert len(list((folder / "out").glob("jobs/*/manifest.json"))) == jobs
        assert sum(each.verified for each in self.receiver.deliveries[told:]) == jobs * subscribers
        taken: float = json.loads(ended.stdout.splitlines()[-1])["peak"] / 1e6
        print(f"{name}: {taken:.0f} MB, of responses of {len(self.response) / 1e6:.1f} MB")
        return taken


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[[bytes], World]]:
    with ExitStack() as stack:
        yield lambda response: World(tmp_path, response, stack)


def test_a_sweep_costs_no_more_than_one_of_its_publications(world: Callable[[bytes], World]) -> None:
    made = world(inputs.envelope({"OCR": inputs.ocr(71 if SOAK else 3)}))
    alone = made.peak("alone", "event", 1)
    most = 1.15 if SOAK else 1.3  # the smaller they are, the more of it is the process itself
    assert made.peak("sweep", "sweep", 4 if SOAK else 3) <= most * alone
    if SOAK:
        assert made.peak("loser", "event", 1) <= most * alone


@soaking
def test_sixteen_at_once_cost_no_more_than_one(world: Callable[[bytes], World]) -> None:
    made = world(inputs.envelope({"OCR": inputs.ocr(21)}))
    alone = made.peak("alone", "event", 1)
    assert made.peak("at-once", "event", 16) <= 1.15 * alone


@soaking
def test_twenty_subscribers_of_the_whole_summary_cost_no_more_than_one(world: Callable[[bytes], World]) -> None:
    made = world(inputs.envelope({"VideoLabel": inputs.video(12)}))
    alone = made.peak("alone", "event", 1)
    assert made.peak("twenty", "event", 1, 20) <= 1.15 * alone
    bodies = [path.stat().st_size for path in made.folder.glob("twenty/out/**/to/*/body.json")]
    assert len(bodies) == 1
    assert bodies[0] > 1_500_000
