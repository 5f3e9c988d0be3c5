"""Where tasks wait: in the bucket by partition, or in any queue that keeps a message until it is due."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from shared.errors import AccessRefused
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.task import Task, TaskKind
from shared.outbox.task_queue import Batch
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Clock, Node, World, reader, subscriber, waiting
from tests.fakes.receivers import FAILED, OK, Receivers

NOW = int(START * 1000)


class DelayedMessages:
    """A ``TaskQueue`` as a service with delayed messages would be one: one partition, no leases, shows things twice."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}

    def add(self, task: Task) -> None:
        self.tasks[task.key] = task

    def remove(self, task: Task) -> None:
        self.tasks.pop(task.key, None)

    def partitions(self, now: int) -> list[str]:
        return sorted({task.partition for task in self.tasks.values() if task.due <= now})

    def due(self, partition: str, now: int, after: str = "") -> Batch:
        assert not after
        found = [task for task in self.tasks.values() if task.due <= now and task.partition == partition]
        return Batch((*found, *found[:1]))

    def hold(self, partition: str, _now: int, _worker: str) -> str:
        return partition

    def let_go(self, lease: str) -> None:
        assert lease

    def waiting(self) -> Iterator[Task]:
        return iter(list(self.tasks.values()))


def test_the_protocol_needs_no_bucket_to_say_what_is_due() -> None:
    clock, queue = Clock(), DelayedMessages()
    store = MemoryStore(clock)
    receivers = Receivers(lambda who, before: FAILED if who == "b" and before < 30 else OK)
    node = Node(store, reader(subscriber("a"), subscriber("b")), receivers, clock=clock, queue=queue)
    for number in range(15):
        node.tell(f"job{number}")
    for _ in range(300):
        clock.now += 3600
        node.sweep()
    assert store.under("outbox/") == []
    assert queue.tasks == {}
    told = Counter((who, message) for who, message, _ in receivers.accepted)
    assert len(told) + len(store.under("dead/deliveries/")) == 30
    assert max(told.values()) == 1


def test_a_batch_is_the_longest_due_and_where_more_is_due_the_latest_too() -> None:
    store = MemoryStore(Clock())
    queue = BucketQueue(store)
    tasks = [Task(TaskKind.DELIVERY, f"j{n}", "succeeded", "a", "0", NOW, NOW - 10**6 + 1000 * n) for n in range(1100)]
    for task in tasks:
        store.load(task.key, b"{}", 0)
    due = [task for task in tasks if task.due <= NOW]
    batch = queue.due("delivery~a~first", NOW)
    assert batch.tasks[:200] == tuple(due[:200])
    assert batch.tasks[200:] == tuple(due[-61:])
    assert len(store.calls) == 2
    seen = set(batch.tasks)
    while batch.after:
        batch = queue.due("delivery~a~first", NOW, batch.after)
        seen.update(batch.tasks)
    assert seen == set(due)


def test_of_a_short_partition_and_one_that_is_not_due_one_list_tells() -> None:
    store = MemoryStore(Clock())
    for number in range(300):
        store.load(Task(TaskKind.DELIVERY, f"j{number}", "succeeded", "a", "0", NOW, NOW + 1 + number).key, b"{}", 0)
    store.load(Task(TaskKind.DELIVERY, "j", "succeeded", "a", "0", NOW, NOW, 2).key, b"{}", 0)
    queue = BucketQueue(store)
    assert queue.due("delivery~a~first", NOW) == Batch(())
    assert len(queue.due("delivery~a~retry", NOW).tasks) == 1
    assert store.calls == [("list", "outbox/delivery~a~first/"), ("list", "outbox/delivery~a~retry/")]


def test_keys_of_others_in_a_partition_hide_no_task() -> None:
    store = MemoryStore(Clock())
    for number in range(450):
        store.load(f"outbox/delivery~a~first/0{number}", b"{}", 0)
    task = Task(TaskKind.DELIVERY, "j", "succeeded", "a", "0", NOW, NOW)
    store.load(task.key, b"{}", 0)
    Node(store, reader(subscriber("a")), Receivers(lambda _who, _before: OK), clock=Clock()).sweep()
    assert task.key not in store.objects, "it is about no event, so it is tried again later"


def herd(sweeps: int, deliveries: int, seed: int = 1) -> int:
    """Return the store calls that so many sweeps at the same moment cost, until everything is delivered."""
    from greenlet import greenlet  # type: ignore[import-untyped]  # it has no types

    clock = Clock()
    rng, store = random.Random(seed), MemoryStore(clock)
    up = [False]
    receivers = Receivers(lambda _who, _before: OK if up[0] else FAILED)
    names = [subscriber(name) for name in "abcde"]
    Node(store, reader(*names), receivers, clock=clock)
    for number in range(deliveries // 5):
        Node(store, reader(*names), receivers, clock=clock).tell(f"job{number}")
        for key in store.under("subscribers/"):
            store.lose(key)
    up[0] = True
    clock.now += 100
    store.calls.clear()
    store.gate = lambda *_: greenlet.getcurrent().parent.switch() if greenlet.getcurrent().parent else None
    receivers.gate = store.gate
    nodes = [Node(store, reader(*names), receivers, clock=clock, rng=random.Random(n)) for n in range(sweeps)]
    running = [greenlet(node.sweep) for node in nodes]
    while running:
        chosen = rng.choice(running)
        chosen.switch()
        running = [each for each in running if not each.dead]
    assert waiting(store) == []
    assert len(receivers.accepted) == deliveries
    return len(store.calls)


@pytest.mark.parametrize("deliveries", [60, 300])
def test_twenty_sweeps_at_once_cost_at_most_twice_the_calls_of_one_per_delivery(deliveries: int) -> None:
    assert herd(20, deliveries) <= 2 * herd(1, deliveries)


def test_a_sweep_that_died_keeps_a_partition_from_others_for_half_a_minute() -> None:
    world = World(reader(subscriber("a")), lambda _who, before: FAILED if before == 0 else OK)
    world.tell()
    world.clock.now += 100
    now = int(world.clock.now * 1000)
    assert BucketQueue(world.store).hold("delivery~a~retry", now, "dead")
    assert world.sweep() == {}
    assert world.sweep(30) == {"delivered": 1}
    world.sweep(60)
    assert world.store.under("outbox/") == [], "leases that are over are removed"


def test_a_lease_that_cannot_be_removed_keeps_nothing_from_being_done() -> None:
    world = World(reader(subscriber("a")), lambda _who, before: FAILED if before == 0 else OK)
    world.tell()
    world.store.load("outbox/held~delivery~a~first~1", b"dead", 0)

    def gate(what: str, key: str, _when: str) -> None:
        if what == "delete" and key.startswith("outbox/held~"):
            raise AccessRefused("the role may not delete there")

    world.store.gate = gate
    assert world.sweep(100) == {"delivered": 1}
