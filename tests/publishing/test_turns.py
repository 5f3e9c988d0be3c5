"""Large responses take turns, small ones pass, and nobody waits for ever."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from local.recorded import jobs
from shared.errors import NotAdmitted, RetryableError, Unavailable
from shared.outbox.outcome import State
from shared.outbox.task import TaskKind
from shared.outbox.worker import Worker
from shared.publishing.handler import PublishHandler
from shared.publishing.turns import Admits, Turns
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, reader, subscriber
from tests.fakes.receivers import FAILED, OK, Receivers

RESPONSE = jobs()["documented"].response
LARGE = RESPONSE.rstrip() + b" " * (2 << 20)


class Mps:
    """Answers whatever it has, if that is admitted; remembers who was in work when it did."""

    def __init__(self, response: bytes, both: threading.Barrier | None = None) -> None:
        self.response = response
        self.asked: list[str] = []
        self._both = both

    def query(self, job_id: str, _deadline: float, admits: Admits) -> bytes:
        self.asked.append(job_id)
        if self._both:
            self._both.wait(20)
        if not admits(len(self.response)):
            raise NotAdmitted("large")
        return self.response


def test_a_turn_takes_what_it_needs_and_gives_it_back() -> None:
    turns = Turns(together=100, free=10)
    with turns.turn() as one, turns.turn() as two, turns.turn() as three:
        assert one.admits(60)
        assert two.admits(40)
        assert not three.admits(11)
        assert three.admits(10), "small ones never wait"
        assert one.admits(60), "what it has it has"
        assert not one.admits(61)
    with turns.turn() as alone:
        assert alone.admits(1_000_000), "larger than all together is alone"
        with turns.turn() as other:
            assert not other.admits(11)


def test_who_waits_is_served_in_order_and_before_whoever_comes_later() -> None:
    turns, served, begun = Turns(together=100, free=10), [], threading.Semaphore(0)

    def work(name: int) -> None:
        with turns.turn() as turn:
            begun.release()
            turn.wait()
            served.append(name)

    with ThreadPoolExecutor(3) as pool, turns.turn() as first:
        assert first.admits(50)
        for name in range(3):
            pool.submit(work, name)
            begun.acquire()
            while len(turns._waiting) <= name:  # nothing else tells that it waits
                threading.Event().wait(0.001)
        with turns.turn() as late:
            assert not late.admits(20)
        first.give_back()
    assert served == [0, 1, 2]


def test_waiting_ends_with_an_error_that_is_worth_retrying_and_holds_nobody_up() -> None:
    turns = Turns(together=100, free=10, patience=0.01)
    with turns.turn() as one, turns.turn() as two:
        assert one.admits(100)
        with pytest.raises(RetryableError, match="tried again later"):
            two.wait()
    with turns.turn() as three:
        assert three.admits(100)


def test_who_has_no_turn_in_good_time_is_left_to_the_next_sweep_and_has_made_no_attempt() -> None:
    clock, mps, turns = Clock(), Mps(LARGE), Turns(patience=0.01)
    store = MemoryStore(clock)
    node = Node(store, None, None, clock=clock, source=mps)
    handlers = {TaskKind.PUBLISH: PublishHandler(store, mps, None, 2.0, turns=turns)}
    worker = Worker(node.outbox, lambda: handlers)
    with turns.turn() as other:
        assert other.admits(len(LARGE))
        ((_, outcome),) = worker.run_now([node.task("job1")], 600)
        assert outcome.state is State.OUT_OF_TIME
        for _ in range(3):
            clock.now += 60
            assert worker.sweep(270) == {"out_of_time": 1}
    assert store.under("jobs/") == []
    assert worker.sweep(270) == {"settled": 1}
    assert [key for key in store.under("jobs/") if key.endswith("claim.json")] == [node.task("job1").claim_key]
    clock.now += 900
    assert worker.sweep(270) == {"already_ended": 1}
    assert store.under("outbox/delivery") == store.under("outbox/publish") == []


def test_of_two_large_publications_one_waits_and_asks_again() -> None:
    mps = Mps(LARGE)
    store = MemoryStore(Clock())
    node = Node(store, reader(), Receivers(lambda _who, _before: OK), clock=Clock(), threads=2, source=mps)
    found = node.worker.run_now([node.task(f"job{number}") for number in range(4)], 600)
    assert [outcome.state for _, outcome in found] == [State.SETTLED] * 4
    assert set(mps.asked) == {f"job{number}" for number in range(4)}


def test_small_ones_are_asked_for_and_read_side_by_side() -> None:
    mps = Mps(RESPONSE, threading.Barrier(2))
    node = Node(
        MemoryStore(Clock()), reader(), Receivers(lambda _who, _before: OK), clock=Clock(), threads=2, source=mps
    )
    found = node.worker.run_now([node.task("job1"), node.task("job2")], 600)
    assert [outcome.state for _, outcome in found] == [State.SETTLED] * 2
    assert len(mps.asked) == 2


def test_a_failure_that_is_kept_keeps_no_response() -> None:
    mps = Mps(RESPONSE + b" ")
    before = sys.getrefcount(mps.response)

    def gate(what: str, key: str, when: str) -> None:
        if what == "put" and key.endswith("report.html") and when == "before":
            raise Unavailable("OSS answered 503")

    store = MemoryStore(Clock(), gate)
    node = Node(store, reader(), Receivers(lambda _who, _before: OK), clock=Clock(), source=mps)
    ((_, outcome),) = node.worker.run_now([node.task()], 600)
    assert isinstance(outcome.error, Unavailable)
    del store.objects["jobs/job1/response.json"]
    after = sys.getrefcount(mps.response)
    assert after == before


def test_the_loser_of_a_race_publishes_what_came_first() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    first = orjson.dumps({**orjson.loads(RESPONSE), "UserData": "the first"})

    class Racing(Mps):
        def query(self, job_id: str, deadline: float, admits: Admits) -> bytes:
            store.put(f"jobs/{job_id}/response.json", first)
            return super().query(job_id, deadline, admits)

    node = Node(store, reader(), Receivers(lambda _who, _before: OK), clock=clock, source=Racing(RESPONSE))
    ((_, outcome),) = node.worker.run_now([node.task()], 600)
    assert outcome.state is State.SETTLED
    assert orjson.loads(store.get("jobs/job1/summary.json"))["userData"] == "the first"


def test_equal_bodies_are_one_object_in_memory_and_in_the_bucket() -> None:
    clock, down = Clock(), [True]
    store = MemoryStore(clock)
    receivers = Receivers(lambda _who, _before: FAILED if down[0] else OK)
    full = [subscriber(f"full{number}", payload="full") for number in range(20)]
    others = [subscriber("thin"), subscriber("picks", payload="full", select="userData")]
    long = orjson.dumps({**orjson.loads(RESPONSE), "Message": "m" * 70_000})
    node = Node(store, reader(*full, *others), receivers, clock=clock, threads=8, source=Mps(long))
    node.worker.run_now([node.task()], 600)
    bodies = {who: body for who, _, body in receivers.arrived}
    assert len({id(bodies[each.id]) for each in full}) == 1
    assert len({bodies[each.id] for each in (*full, *others)}) == 3
    stored = [len(each.body) for key, each in store.objects.items() if key.endswith("body.json")]
    assert sum(size > 70_000 for size in stored) == 1

    receivers.arrived.clear()
    down[0] = False
    clock.now += 120
    later = Node(
        store, reader(*(subscriber(each.id, payload="thin") for each in full)), receivers, clock=clock, threads=8
    )
    assert later.sweep()["delivered"] == 20
    again = {who: body for who, _, body in receivers.arrived}
    assert {again[each.id] for each in full} == {bodies["full0"]}
    assert len({id(body) for body in again.values()}) <= 2


def test_a_body_whose_first_is_gone_is_made_again() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    receivers = Receivers(lambda who, before: FAILED if who == "b" and not before else OK)
    long = orjson.dumps({**orjson.loads(RESPONSE), "Message": "m" * 70_000})
    both = reader(subscriber("a", payload="full"), subscriber("b", payload="full"))
    node = Node(store, both, receivers, clock=clock, source=Mps(long))
    node.worker.run_now([node.task()], 600)
    (first,) = (key for key in store.under("deliveries/") if key.endswith("body.json"))
    store.lose(first)
    clock.now += 120
    assert node.sweep()["delivered"] == 1
    assert len({body for _, _, body in receivers.arrived}) == 1
