"""Receivers that refuse some events for good and take all others, over hours of virtual time.

``SOAK=1 pytest tests/outbox/test_endpoints.py -s`` takes all rates, and prints how long good events waited.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import orjson
import pytest

from shared.webhooks.sender import Attempt
from shared.webhooks.subscribers import Subscriber
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, reader, subscriber
from tests.fakes.receivers import OK, Receivers

SOAK = bool(os.environ.get("SOAK"))
HOURS = 6 if SOAK else 1
ANSWERS = {
    "says no": Attempt("failed", 422, 20, "", None, "answered 422"),
    "falls over": Attempt("failed", 500, 20, "", None, "answered 500"),
    "hangs": Attempt("failed", None, 15000, "", None, "no complete answer within the deadline"),
}


class Picky(Receivers):
    """Fails for good at some jobs; ``taken`` is when it took the others."""

    def __init__(self, clock: Clock, refused: Callable[[int], bool], failure: Attempt) -> None:
        super().__init__(lambda _who, _before: OK)
        self.taken: dict[int, float] = {}
        self._clock = clock
        self._refused = refused
        self._failure = failure

    def send(
        self, subscriber: Subscriber, webhook_id: str, timestamp: int, body: bytes, deadline: float = 15.0
    ) -> Attempt:
        job = int(orjson.loads(body)["data"]["jobId"])
        if self._refused(job):
            return self._failure
        self.taken[job] = self._clock.now
        return super().send(subscriber, webhook_id, timestamp, body, deadline)


def waits(refused: Callable[[int], bool], per_minute: int, failure: Attempt) -> list[float]:
    """Tell of so many jobs a minute and sweep once a minute; return how many seconds each good event waited, sorted."""
    clock, rng = Clock(), random.Random(4)
    picky = Picky(clock, refused, failure)
    node = Node(MemoryStore(clock), reader(subscriber("a")), picky, clock=clock, rng=rng)
    told: dict[int, float] = {}
    for job in range(HOURS * 60 * per_minute):
        told[job] = clock.now
        node.tell(str(job))
        clock.now += 60 / per_minute
        if job % per_minute == 0:
            node.sweep(50)
    for _ in range(10):
        clock.now += 60
        node.sweep(50)
    found = sorted(picky.taken.get(job, clock.now) - at for job, at in told.items() if not refused(job))
    half = found[len(found) // 2]
    print(
        f"{len(found)} good events: the median waited {half:.1f} s, p99 {p99(found):.1f} s, the last {found[-1]:.1f} s"
    )
    return found


def p99(found: list[float]) -> float:
    return found[len(found) * 99 // 100]


@pytest.mark.parametrize("failure", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("share", [20, 5] if SOAK else [20])
@pytest.mark.parametrize("per_minute", [30, 120] if SOAK else [30])
def test_whoever_refuses_some_events_gets_the_others_at_once(per_minute: int, share: int, failure: Attempt) -> None:
    bad = {job for job in range(HOURS * 60 * per_minute) if random.Random(job).random() < share / 100}
    assert p99(waits(bad.__contains__, per_minute, failure)) < 60


@pytest.mark.parametrize("failure", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("burst", [1200, 300] if SOAK else [300])
def test_a_burst_of_refused_events_holds_up_no_good_one_for_long(burst: int, failure: Attempt) -> None:
    found = waits(range(100, 100 + burst).__contains__, 120 if SOAK else 30, failure)
    assert p99(found) < 60
    assert found[-1] < 300
