"""Random schedules of many workers over one store: nothing is lost, and only a crash in one place repeats.

Every store operation and every send is a step, before which another worker may run, the worker may be killed, or the
operation may take effect without its answer arriving. Workers' clocks disagree by minutes; lists may be behind.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from greenlet import greenlet  # type: ignore[import-untyped]  # it has no types

from shared.errors import RelayError, Unavailable
from shared.webhooks.sender import Attempt
from shared.webhooks.subscribers import Subscriber
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Node, next_due, reader, subscriber, waiting
from tests.fakes.receivers import FAILED, OK, Receivers

WORKERS = 4
SCHEDULES = 10_000 if os.environ.get("SOAK") else 1000
READ = reader(subscriber("a"), subscriber("b", payload="full"))


class Killed(BaseException):
    """The platform ended the worker; nothing it does from here on has any effect."""


class Worker:
    """One process: its clock, its connection to the store, its place in the schedule."""

    def __init__(self, world: World, skew: float) -> None:
        self.world = world
        self.dead = False
        self.sent_unrecorded: str | None = None  # to whom, between a 2xx and our receipt
        self.failing = 0
        store: Any = _Connection(world.store, self)
        receivers: Any = _Line(world.receivers, self)
        self.node = Node(store, READ, receivers, clock=lambda: world.now + skew, rng=world.rng)

    def step(self, what: str, key: str, when: str) -> None:
        world = self.world
        if self.dead:
            raise Killed
        if what == "create" and "receipt" in key and when == "after":
            self.sent_unrecorded = None
        world.switch()
        if self.dead or (world.deadly and world.rng.random() < world.deadly):
            self.dead = True
            if self.sent_unrecorded:
                world.excused[self.sent_unrecorded] += 1
            raise Killed
        if what != "send" and world.rng.random() < world.flaky and self.failing < 2:
            self.failing += 1  # fewer in a row than are tried: a store that is down is a crash of another kind
            raise Unavailable(f"{what} {key}: no answer")
        self.failing = 0


class World:
    """Everything the workers share."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.deadly = self.rng.choice([0.0, 0.01, 0.03])
        self.flaky = self.rng.choice([0.0, 0.1, 0.25])
        stale = self.rng.choice([0, 3])
        failing = self.rng.choice([0.0, 0.3])
        self.store = MemoryStore(lambda: self.now, lag=lambda: self.rng.randint(0, stale))
        self.receivers = Receivers(lambda _who, _before: FAILED if self.rng.random() < failing else OK)
        self.excused: Counter[str] = Counter()

    def switch(self) -> None:
        self.now += self.rng.random() * 0.2
        greenlet.getcurrent().parent.switch()

    def run(self, jobs: list[Callable[[Worker], object]]) -> list[bool]:
        """Run the jobs side by side, one worker each; say which of them came to their end."""
        finished = [False] * len(jobs)

        def life(number: int, worker: Worker) -> None:
            try:
                jobs[number](worker)
                finished[number] = True
            except (Killed, RelayError):
                worker.dead = True

        workers = [Worker(self, self.rng.uniform(-180, 180)) for _ in jobs]
        threads = [greenlet(lambda n=n, w=w: life(n, w)) for n, w in enumerate(workers)]
        running = list(threads)
        while running:
            chosen = self.rng.choice(running)
            chosen.switch()
            if chosen.dead:
                running.remove(chosen)
        return finished


class _Connection:
    """The store as one worker reaches it: both the request and the answer may be lost."""

    def __init__(self, store: MemoryStore, worker: Worker) -> None:
        self._store = store
        self._worker = worker

    def __getattr__(self, what: str) -> Callable[..., object]:
        operation = getattr(self._store, what)

        def call(key: str, *rest: object) -> object:
            self._worker.step(what, key, "before")
            result = operation(key, *rest)
            if what == "list":
                result = iter(list(result))
            self._worker.step(what, key, "after")
            return result

        return call


class _Line:
    def __init__(self, receivers: Receivers, worker: Worker) -> None:
        self._receivers = receivers
        self._worker = worker

    def send(self, to: Subscriber, webhook_id: str, timestamp: int, body: bytes) -> Attempt:
        self._worker.step("send", "", "before")
        answer = self._receivers.send(to, webhook_id, timestamp, body)
        if answer.kind == "delivered":
            self._worker.sent_unrecorded = to.id
        self._worker.step("send", "", "after")
        return answer


def simulate(seed: int) -> World:
    world = World(seed)
    # Duplicates of one notification, which the platform redelivers until one worker has acknowledged it.
    for _ in range(50):
        count = world.rng.randint(1, WORKERS)
        if any(world.run([lambda w: w.node.tell()] * count)):
            break
        world.now += 5
    else:
        raise AssertionError("never acknowledged")
    # Timers sweep, at times several at once.
    for turn in range(200):
        if turn > 20:
            world.deadly = 0.0
        if not waiting(world.store):
            if not world.store.under("dead/jobs/"):
                return world
            # Ten workers in a row died of it; somebody looks at the letter and replays it.
            node = Node(world.store, READ, world.receivers, clock=lambda: world.now)
            for key in world.store.under("dead/jobs/"):
                node.dead.replay(key.removeprefix("dead/").removesuffix(".json"), lambda _raw: None)
        world.now = max(world.now + 60, next_due(world.store) + world.rng.choice([-100, 1, 200]))
        world.run([lambda w: w.node.sweep()] * world.rng.randint(1, WORKERS))
    raise AssertionError("the outbox was never empty")


@pytest.mark.parametrize("part", range(10))
def test_no_schedule_loses_anything_and_only_a_crash_before_our_receipt_repeats(part: int) -> None:
    for seed in range(part * SCHEDULES // 10, (part + 1) * SCHEDULES // 10):
        world = simulate(seed)
        for who in ("a", "b"):
            accepted = [body for to, _, body in world.receivers.accepted if to == who]
            given_up = world.store.under(f"dead/deliveries/job1~succeeded~{who}")
            assert accepted or given_up, f"seed {seed}: {who} was lost"
            assert len(accepted) <= 1 + world.excused[who], f"seed {seed}: {who} heard it {len(accepted)} times"
            assert len(set(accepted)) <= 1, f"seed {seed}: a repeat differs"
