"""An endpoint that has been down for a week: a sweep costs what can be done, not what waits. Time is virtual.

``SOAK=1 pytest tests/outbox/test_backlog.py -s`` takes up to three million tasks, and prints the figures.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

import orjson
import pytest

from shared.outbox.schedule import GIVE_UP
from shared.outbox.task import Task, TaskKind, parse_key
from shared.webhooks.endpoint_health import TRIPS_AT
from shared.webhooks.sender import Attempt
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Clock, Node, reader, subscriber, waiting
from tests.fakes.receivers import FAILED, OK, Receivers

SIZES = [10_000, 100_000, 1_000_000, 3_000_000] if os.environ.get("SOAK") else [1_000, 10_000]
CALL = 0.015  # seconds of a store call
BATCH = 200  # tasks that a list brings
TOO_OLD = 300  # tasks that have waited for 96 h


class Sweep:
    """One sweep of a bucket in which so many tasks wait behind a dead endpoint, and one retry for a healthy one."""

    def __init__(self, size: int) -> None:
        self.clock = Clock()
        store = MemoryStore(self.clock)
        now, step = int(START * 1000), int(GIVE_UP * 1000) // size
        oldest = now - int(GIVE_UP * 1000) - TOO_OLD * step
        store.load_all(self._task(number, oldest + number * step).key for number in range(size))
        store.load("subscribers/down/breaker.json", orjson.dumps({"failures": TRIPS_AT + 9}), 0)
        self.took: dict[str, float] = {}
        receivers = Receivers(self._answer)
        self.up = False
        node = Node(store, reader(subscriber("down"), subscriber("well")), receivers, clock=self.clock)
        node.tell("good")
        self.up = True
        self.clock.now += 73
        store.calls.clear()
        store.gate = self._pass
        self.began = self.clock.now
        self.counts = Counter(node.sweep(270))
        self.lists = [key for what, key in store.calls if what == "list"]
        self.calls = len(store.calls)
        self.letters = len(store.under("dead/deliveries/"))
        self.seconds = self.clock.now - self.began
        began = int(self.began * 1000)
        left = [task for key in waiting(store) if (task := parse_key(key))]
        self.unburied = sum(began - task.enqueued_at >= GIVE_UP * 1000 for task in left)
        lists, took = len(self.lists), self.took["well"] - self.began
        print(
            f"{size:,} tasks: {lists} lists, {self.letters} buried in {self.seconds:.0f} s, the retry at {took:.2f} s"
        )

    @staticmethod
    def _task(number: int, at: int) -> Task:
        attempt = 1 if number % 50 else 2
        return Task(TaskKind.DELIVERY, f"j{number}", "succeeded", "down", "0", at, at + 120_000, attempt)

    def _answer(self, who: str, _before: int) -> Attempt:
        if self.up:
            self.took.setdefault(who, self.clock.now)
        return OK if who == "well" and self.up else FAILED

    def _pass(self, _what: str, _key: str, when: str) -> None:
        if when == "before":
            self.clock.now += CALL


@cache
def swept(size: int) -> Sweep:
    return Sweep(size)


@pytest.mark.parametrize("size", SIZES)
def test_what_can_be_done_is_done_in_the_first_seconds(size: int) -> None:
    assert swept(size).counts["delivered"] == 1
    assert swept(size).took["well"] - swept(size).began < 5


@pytest.mark.parametrize("size", SIZES)
def test_what_has_waited_for_96_hours_is_buried(size: int) -> None:
    assert swept(size).letters >= TOO_OLD
    assert swept(size).unburied == 0


@pytest.mark.parametrize("size", SIZES)
def test_more_is_buried_in_a_second_than_a_million_events_a_day_bring(size: int) -> None:
    assert swept(size).letters / swept(size).seconds > 1_000_000 / 86_400


def test_the_list_requests_of_a_sweep_do_not_grow_with_what_waits() -> None:
    # What grows old enough while it buries comes with the size of the backlog: a list for each batch of these.
    lists = [len(swept(size).lists) - swept(size).letters // BATCH for size in SIZES]
    assert max(lists) <= 14
    assert lists[-1] <= lists[0] + 2
