"""Ten thousand dead letters over a store that takes 15 ms for a request: read, selected and replayed side by side.

``SOAK=1 pytest tests/outbox/test_many_dead_letters.py -s`` takes all of them, and prints how long it took.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter

import orjson

from shared.errors import Unavailable
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.dead_letters import DeadLetters, Selection
from shared.outbox.outbox import Outbox
from shared.outbox.records import iso
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock

SOAK = bool(os.environ.get("SOAK"))
LETTERS = 10_000 if SOAK else 400
REQUEST = 0.015  # seconds


class Slow:
    """Takes its time for each request, and remembers how many it had at a time."""

    def __init__(self) -> None:
        self.slow = False
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, _what: str, _key: str, when: str) -> None:
        if not self.slow or when != "before":
            return
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(REQUEST)
        with self._lock:
            self._now -= 1


def refuse(_name: str, _raw: bytes) -> None:
    raise AssertionError("none of them is a message")


def test_they_are_listed_and_replayed_side_by_side_by_subscriber_and_by_time() -> None:
    clock, gate = Clock(), Slow()
    store = MemoryStore(clock, gate)
    now = int(clock.now * 1000)
    for number in range(LETTERS):
        job, who = f"job{number:05d}", f"s{number % 4}"
        about = {"version": 2, "kind": "delivery", "jobId": job, "event": "succeeded", "subscriber": who}
        letter = {**about, "reason": "answered 500", "deadAt": iso(now + number), "series": "0"}
        store.load(f"dead/deliveries/{job}~succeeded~{who}~0.json", orjson.dumps(letter), 0)
    dead = DeadLetters(Outbox(store, BucketQueue(store), clock, random.Random(1)))
    gate.slow = True

    begun = time.monotonic()
    found = dead.read(Selection())
    listed = time.monotonic() - begun
    assert len(found) == LETTERS
    assert Counter(what for what, _ in store.calls)["get"] == LETTERS
    assert gate.most > 8, "one after the other it would take minutes"

    store.calls.clear()
    half = LETTERS // 2
    late = dead.read(Selection(subscriber="s1", since=iso(now + half)))
    assert len(late) == half // 4
    assert Counter(what for what, _ in store.calls)["get"] == LETTERS // 4, (
        "of other subscribers' only the names are read"
    )

    store.calls.clear()
    begun = time.monotonic()
    done = dead.replay_all([*late, *(each for each in found if each not in late)], refuse)
    replayed = time.monotonic() - begun
    assert [each for each in done if each.error is not None] == []
    assert list(dead.names()) == []
    assert len(list(dead.outbox.listed())) == LETTERS
    assert len(store.calls) < 2.1 * LETTERS
    print(f"{LETTERS} letters: listed in {listed:.1f} s, replayed in {replayed:.1f} s")
    assert (listed < 20 and replayed < 180) or not SOAK


def test_an_error_of_the_store_keeps_back_one_letter_only() -> None:
    clock = Clock()

    def gate(what: str, key: str, when: str) -> None:
        if what == "get" and "job1~" in key and when == "before":
            raise Unavailable("OSS answered 503")
        if what == "delete" and "job2~" in key and when == "before":
            raise Unavailable("OSS answered 503")

    store = MemoryStore(clock, gate)
    for number in range(5):
        about = {"version": 2, "kind": "delivery", "jobId": f"job{number}", "event": "succeeded", "subscriber": "cms"}
        letter = {**about, "reason": "answered 500", "deadAt": "2026-01-01T00:00:00.000Z", "series": "0"}
        store.load(f"dead/deliveries/job{number}~succeeded~cms~0.json", orjson.dumps(letter), 0)
    dead = DeadLetters(Outbox(store, BucketQueue(store), clock, random.Random(1)))
    done = dead.replay_all(dead.read(Selection()), refuse)
    assert [each.name.partition("~")[0] for each in done if each.error is not None] == [
        "deliveries/job1",
        "deliveries/job2",
    ]
    assert {task.job_id for task in dead.outbox.listed()} == {"job0", "job2", "job3", "job4"}
    store.gate = lambda _what, _key, _when: None
    assert all(each.error is None for each in dead.replay_all(dead.read(Selection()), refuse))
    assert len({task.prefix for task in dead.outbox.listed()}) == 5
