"""Real processes over a real directory, real sockets to a real receiver."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from standardwebhooks import Webhook

from local.cloud.server import Request, Response, StandIn

WORKER = str(Path(__file__).with_name("process.py"))
SECRET = "whsec_" + "A" * 32


class Receiver(StandIn):
    def answer(self, request: Request) -> Response:
        Webhook(SECRET).verify(request.body, request.headers)
        return Response(204)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def heard(receiver: Receiver) -> Counter[tuple[str, str]]:
    """Return how often each (subscriber, job) was told."""
    return Counter((request.path[1:], orjson.loads(request.body)["data"]["jobId"]) for request in receiver.requests)


def test_a_process_killed_at_every_step_loses_nothing_and_repeats_only_before_our_receipt(
    receiver: Receiver, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, WORKER, "crash", tmp_path, receiver.url], stdout=subprocess.PIPE, check=True, timeout=240
    )
    steps = json.loads(done.stdout)
    assert steps > 30
    told = heard(receiver)
    assert set(told) == {(who, f"job-{number}") for who in ("a", "b") for number in range(steps + 1)}
    repeated = [each for each, times in told.items() if times > 1]
    assert max(told.values()) == 2
    assert Counter(who for who, _ in repeated) == {"a": 2, "b": 2}, "after the 2xx, and before the receipt's effect"
    for who, job in repeated:
        both = [each for each in receiver.requests if each.path == f"/{who}" and f'"{job}"'.encode() in each.body]
        assert both[0].body == both[1].body
        assert both[0].headers["webhook-id"] == both[1].headers["webhook-id"]
    assert not [path for path in tmp_path.glob("*/outbox/**/*") if path.is_file()]


def test_fifty_concurrent_duplicates_in_eight_processes_tell_each_subscriber_once(
    receiver: Receiver, tmp_path: Path
) -> None:
    counts = [7, 7, 6, 6, 6, 6, 6, 6]
    workers = [
        subprocess.Popen([sys.executable, WORKER, "race", tmp_path, receiver.url, str(count)], stdout=subprocess.PIPE)
        for count in counts
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    (tmp_path / "go").touch()
    states: list[str] = []
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        states += json.loads(output)

    assert heard(receiver) == {("a", "job-1"): 1, ("b", "job-1"): 1}
    assert Counter(states)["delivered"] == 2
    assert set(states) <= {"delivered", "duplicate"}
    left = [path for path in tmp_path.glob("outbox/**/*") if path.is_file()]
    assert len(left) <= 3, "what duplicates left behind is the same task"
