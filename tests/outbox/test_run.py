"""Many jobs, many faults, days of schedule: every delivery is made, or dead with its reasons."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from local.cloud.server import Fault, Request, Response, StandIn
from shared.errors import RelayError, Throttled, Unavailable
from shared.settings import Settings
from shared.storage.directory import DirectoryStore
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Attempt, Sender
from shared.webhooks.subscribers import Subscriber
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, reader, subscriber, waiting
from tests.fakes.receivers import OK, Receivers

NAMES = "abcde"
MANY = 2000 if os.environ.get("SOAK") else 200
FAULTS = (
    Attempt("failed", 500, 20, "", None, "answered 500"),
    Attempt("failed", 429, 20, "", 900.0, "answered 429"),
    Attempt("failed", None, 15000, "", None, "no complete answer within the deadline"),
    Attempt("failed", 302, 20, "", None, "answered 302"),
)


class World:
    """2,000 jobs and five subscribers, one of which is down for a week; a fifth of everything fails."""

    def __init__(self, jobs: int) -> None:
        self.rng = random.Random(20261122)
        self.jobs = [f"job{number}" for number in range(jobs)]
        self.clock = Clock()
        self.faulty = True
        self.down = {"e"}
        self.store = MemoryStore(self.clock, self._fault)
        self.receivers = Receivers(self._answer)
        self.arrivals: Counter[str] = Counter()
        to = [subscriber(name) for name in NAMES]
        self.node = Node(self.store, reader(*to), self.receivers, clock=self.clock, rng=self.rng, publish=self._publish)

    def _publish(self, _job: str, _reported: str, _series: str) -> None:
        if self.faulty and self.rng.random() < 0.2:
            raise Throttled("MPS: Throttling.User", retry_after=3.0)

    def notified(self, job: str) -> bool:
        """What the callback does with a notification; the platform repeats it while this is False."""
        try:
            self.node.tell(job)
        except RelayError:
            return False
        return True

    def sweep(self) -> None:
        try:
            self.node.sweep(1e9)
        except RelayError:
            return  # the next one is a minute away

    def _fault(self, what: str, key: str, _when: str) -> None:
        if self.faulty and self.rng.random() < 0.1:  # before or after each operation: 20 % in all
            raise Unavailable(f"OSS: {what} {key}")

    def _answer(self, who: str, _before: int) -> Attempt:
        if who in self.down or (self.faulty and self.rng.random() < 0.2):
            return self.rng.choice(FAULTS)
        return OK


def test_many_jobs_5_subscribers_and_a_fifth_of_everything_failing() -> None:
    world = World(MANY)
    for job in world.jobs:
        while not world.notified(job):
            pass
        world.clock.now += 0.5
    for _ in range(110):
        world.clock.now += 7200
        world.sweep()
    world.faulty = False
    world.sweep()

    assert waiting(world.store) == []
    delivered = {
        (who, body.split(b'"jobId":"')[1].split(b'"')[0].decode()) for who, _, body in world.receivers.accepted
    }
    dead = {}
    for name in world.node.dead.names():
        facts = world.node.dead.show(name)
        dead[facts["subscriber"], facts["jobId"]] = facts
    wanted = {(who, job) for who in NAMES for job in world.jobs}
    assert len(wanted) == MANY * 5
    assert wanted == delivered | dead.keys()
    assert all(facts["reason"] and all(each["error"] for each in facts["attempts"]) for facts in dead.values())
    assert {(who, job) for who, job in dead if who == "e"} == {("e", job) for job in world.jobs}

    world.down.clear()
    world.clock.now += 3600
    for name in list(world.node.dead.names()):
        world.node.dead.replay(name, lambda _raw: None)
    while waiting(world.store):
        world.sweep()
        world.clock.now += 3600
    after = {(who, body.split(b'"jobId":"')[1].split(b'"')[0].decode()) for who, _, body in world.receivers.accepted}
    assert after == wanted
    assert list(world.node.dead.names()) == []
    bodies: dict[tuple[str, str], set[bytes]] = {}
    for who, webhook_id, body in world.receivers.arrived:
        bodies.setdefault((who, webhook_id), set()).add(body)
    assert len(bodies) == MANY * 5
    assert all(len(each) == 1 for each in bodies.values()), "every repeat is the same"


def about(path: str, job: str) -> Callable[[Request], bool]:
    return lambda request: request.path == path and f'"{job}"'.encode() in request.body


class Receiver(StandIn):
    def answer(self, _request: Request) -> Response:
        return Response(204)


def test_the_same_over_real_sockets_and_files_with_all_threads(tmp_path: Path) -> None:
    clock = Clock(time.time())
    settings = Settings.from_env({"OUTPUT_URL": f"file://{tmp_path}", "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8"})
    jobs = [f"job{number}" for number in range(20)]
    with Receiver() as receiver:
        rng = random.Random(7)
        chosen = {(f"/{name}", job) for name in NAMES for job in jobs if rng.random() < 0.2}
        for path, job in sorted(chosen):
            response = Response(rng.choice([302, 404, 500, 503]))
            kind = rng.choice(["answer", "reset", "cut", "stall"])
            receiver.fail(Fault(kind, match=about(path, job), response=response, seconds=0.05))
        to = [Subscriber(id=name, url=f"{receiver.url}/{name}", secrets=("whsec_" + "A" * 32,)) for name in NAMES]
        sender = Sender(AddressGuard(settings.webhook_allow))
        node = Node(DirectoryStore(tmp_path), reader(*to), sender, clock=clock, threads=32)
        states = Counter(state for job in jobs for state in node.tell(job).values())
        assert states["delivered"] >= 100 - len(chosen)
        assert states["waiting"] >= len(chosen) // 2
        for _ in range(5):
            clock.now += 600
            node.sweep()
        assert list(node.outbox.listed()) == []
        assert {each["state"] for job in jobs for each in node.state(job)} == {"delivered"}
        assert sum(len(node.state(job)) for job in jobs) == 100


@pytest.mark.parametrize("hanging", ["e", "a"])
def test_one_that_hangs_starves_nobody(hanging: str) -> None:
    """It answers only when everybody else has been served: if it had all threads, that would never be."""
    clock = Clock()
    store = MemoryStore(clock)
    served = threading.Semaphore(0)
    everybody_else = threading.Event()
    hung: list[bool] = []
    up = [False]

    def answer(who: str, _before: int) -> Attempt:
        if not up[0]:
            return FAULTS[0]
        if who == hanging:
            hung.append(everybody_else.wait(60))
            return FAULTS[2]
        served.release()
        return OK

    node = Node(store, reader(*(subscriber(name) for name in NAMES)), Receivers(answer), clock=clock, threads=8)
    for number in range(40):
        node.tell(f"job{number}")
    up[0] = True
    for key in store.under("subscribers/"):
        store.lose(key)
    clock.now += 200
    sweeping = threading.Thread(target=node.sweep)
    sweeping.start()
    for _ in range(4 * 40):
        assert served.acquire(timeout=60)
    everybody_else.set()
    sweeping.join(60)

    assert not sweeping.is_alive()
    assert all(hung)
    assert 1 <= len(hung) <= 8, "the breaker opened after the first few"
    assert {key.split("~")[1] for key in waiting(store)} == {hanging}
