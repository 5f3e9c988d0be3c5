"""The worker dies at every step: each storage and network step is enumerated, before and after it takes effect."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from shared.webhooks.sender import Attempt
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, reader, subscriber, waiting
from tests.fakes.receivers import FAILED, OK, Receivers

READ = reader(subscriber("a"), subscriber("b", payload="full"))


class Killed(BaseException):
    pass


class World:
    """A store and receivers whose every step is counted, and the last one of which may be the worker's last."""

    def __init__(self, answer: Callable[[str, int], Attempt] = lambda _who, _before: OK) -> None:
        self.clock = Clock()
        self.dies_at = -1
        self.steps: list[tuple[str, str, str]] = []
        self.excused: Counter[str] = Counter()
        self._unrecorded: str | None = None
        self.store = MemoryStore(self.clock, self._step)
        self.receivers = Receivers(answer, self._step)

    def _step(self, what: str, key: str, when: str) -> None:
        if (what, when) == ("send", "after") and self.receivers.accepted[-1:] == self.receivers.arrived[-1:]:
            self._unrecorded = key
        if (what, when) == ("create", "after") and key.endswith("receipt.json"):
            self._unrecorded = None
        self.steps.append((what, key, when))
        if len(self.steps) - 1 == self.dies_at:
            if self._unrecorded:
                self.excused[self._unrecorded] += 1
            self._unrecorded = None
            raise Killed

    def live(self, work: Callable[[Node], object], dies_at: int = -1) -> bool:
        """Let a new worker do ``work`` until it dies; say whether it came to the end."""
        self.steps.clear()
        self.dies_at = dies_at
        try:
            work(Node(self.store, READ, self.receivers, clock=self.clock, rng=random.Random(3)))
        except Killed:
            return False
        return True

    def sweep_until_empty(self) -> None:
        for _ in range(30):
            if not waiting(self.store):
                return
            self.clock.now += 130
            self.live(sweep)
        raise AssertionError(f"still waiting: {self.store.under('outbox/')}")

    def check(self, told: str) -> None:
        """Everybody has it; a repeat is the same, and happened only where it may."""
        for who in ("a", "b"):
            accepted = [arrival for arrival in self.receivers.accepted if arrival[0] == who]
            assert accepted, f"{who} was lost after {told}"
            assert len(accepted) <= 1 + self.excused[who], f"{who} heard it again after {told}"
            assert len({arrival for arrival in self.receivers.arrived if arrival[0] == who}) == 1
            assert f"deliveries/job1/succeeded/to/{who}/0/receipt.json" in self.store.objects
        assert "jobs/job1/deliveries/publish/final/0/receipt.json" in self.store.objects


def tell(node: Node) -> None:
    node.tell()


def sweep(node: Node) -> None:
    node.sweep()


def steps_of(world: World, work: Callable[[Node], object]) -> list[tuple[str, str, str]]:
    assert world.live(work)
    return list(world.steps)


def first_fails(_who: str, before: int) -> Attempt:
    return FAILED if before == 0 else OK


TELL = steps_of(World(), tell)


def name(step: tuple[str, str, str]) -> str:
    return f"{step[2]} {step[0]} {step[1]}"


@pytest.mark.parametrize(
    ("answer", "windows"), [(lambda _who, _before: OK, 4), (first_fails, 0)], ids=["well", "first-fails"]
)
@pytest.mark.parametrize("again", ["redelivered", "swept"])
def test_killed_at_every_step_of_telling(again: str, answer: Callable[[str, int], Attempt], windows: int) -> None:
    """The notification comes again at once; or never, and the timer does it, once anything was enqueued.

    ``windows``: of two receivers, each after its 2xx and before our receipt takes effect.
    """
    total = len(steps_of(World(answer), tell))
    assert total > 20
    died = repeated = 0
    for number in range(total):
        world = World(answer)
        assert not world.live(tell, number)
        told = name(world.steps[-1])
        died += 1
        if again == "redelivered" or not waiting(world.store):
            world.live(tell)
        world.sweep_until_empty()
        world.check(told)
        repeated += sum(world.excused.values())
    assert died == total
    assert repeated == windows


def test_killed_at_every_step_of_a_sweep_that_delivers_what_failed_before() -> None:
    def due() -> World:
        world = World(first_fails)
        world.live(tell)
        world.clock.now += 100
        return world

    total = len(steps_of(due(), sweep))
    assert total > 15
    for number in range(total):
        world = due()
        assert not world.live(sweep, number)
        told = name(world.steps[-1])
        world.sweep_until_empty()
        world.check(told)


def test_killed_at_every_step_of_telling_and_again_at_every_step_of_what_repairs_it() -> None:
    worlds = 0
    for first in range(len(TELL)):
        second = 0
        while True:
            world = World()
            world.live(tell, first)
            if not waiting(world.store):
                break  # nothing was enqueued yet, so the notification comes again: as above
            world.clock.now += 130
            died = not world.live(sweep, second)
            told = f"{name(TELL[first])} and step {second} of the sweep"
            world.sweep_until_empty()
            world.check(told)
            worlds += 1
            second += 1
            if not died:
                break
    assert worlds > 500


@pytest.mark.parametrize("fate", ["exhausted", "gone"])
def test_killed_at_every_step_of_giving_up(fate: str) -> None:
    """Whatever is given up is a dead letter before it is removed."""
    final = FAILED if fate == "exhausted" else Attempt("gone", 410, 1, "", None, "answered 410")

    def due() -> World:
        world = World(lambda _who, before: FAILED if before == 0 else final)
        world.live(tell)
        world.clock.now += 97 * 3600
        return world

    total = len(steps_of(due(), sweep))
    for number in range(total):
        world = due()
        assert not world.live(sweep, number)
        world.sweep_until_empty()
        assert len(world.store.under("dead/deliveries/job1~succeeded~")) == 2, name(world.steps[-1])


def test_killed_at_every_step_of_a_replay() -> None:
    def given_up() -> World:
        world = World(lambda _who, before: FAILED if before < 2 else OK)
        world.live(tell)
        world.clock.now += 97 * 3600
        world.live(sweep)
        return world

    letter = "deliveries/job1~succeeded~a~0"

    def replay(node: Node) -> None:
        node.dead.replay(letter, lambda _raw: None)

    total = len(steps_of(given_up(), replay))
    for number in range(total):
        world = given_up()
        assert not world.live(replay, number)
        if f"dead/{letter}.json" in world.store.objects:
            world.live(replay)
        world.sweep_until_empty()
        assert [who for who, _, _ in world.receivers.accepted] == ["a"]
        assert len({arrival for arrival in world.receivers.arrived if arrival[0] == "a"}) == 1


def test_a_worker_held_up_before_sending_does_not_send_on_a_lease_that_may_end() -> None:
    world = World()

    def slow(what: str, key: str, when: str) -> None:
        if (what, when) == ("create", "after") and key.endswith("to/a/0/attempt-01.claim.json"):
            world.clock.now += 61

    world.store.gate = slow
    world.live(tell)
    assert [who for who, _, _ in world.receivers.arrived] == ["b"]
    world.sweep_until_empty()
    world.check("a pause")


def test_a_live_claim_is_left_alone_until_its_lease_has_run_out_by_the_clock_of_the_store() -> None:
    world = World()
    claimed = next(i for i, step in enumerate(TELL) if step[0] == "create" and "to/a/0/attempt-01" in step[1]) + 1
    world.live(tell, claimed)
    reports: list[dict[str, int]] = []

    def swept_by_a_fast_clock(_: Node) -> None:
        fast = Node(world.store, READ, world.receivers, clock=lambda: world.clock() + 500)
        reports.append(fast.sweep())

    world.clock.now += 119
    world.live(swept_by_a_fast_clock)
    assert reports == [{"claimed_elsewhere": 1, "delivered": 1}]
    world.clock.now += 2
    world.live(swept_by_a_fast_clock)
    assert reports[-1] == {"retry": 1, "delivered": 1}
    world.check("a claim")


def test_a_worker_that_wakes_up_after_its_lease_changes_nothing_that_was_decided() -> None:
    """It was frozen between the 2xx and its receipt; another has repeated the attempt meanwhile."""
    world = World()
    frozen = [True]

    def freeze(what: str, key: str, when: str) -> None:
        if frozen[0] and (what, key, when) == ("send", "a", "after"):
            frozen[0] = False
            world.clock.now += 130
            other = Node(world.store, READ, world.receivers, clock=world.clock)
            other.sweep()

    world.receivers.gate = freeze
    world.live(tell)
    world.sweep_until_empty()
    to_a = [arrival for arrival in world.receivers.accepted if arrival[0] == "a"]
    assert len(to_a) == 2
    assert len(set(to_a)) == 1


def test_a_woken_worker_and_the_one_that_took_over_make_no_third_attempt() -> None:
    """The worker wakes up and writes its receipt between the other's result that it was lost and the next attempt."""
    world = World()
    woken: list[bool] = []

    def sleep(what: str, key: str, when: str) -> None:
        if not woken and (what, key, when) == ("send", "a", "after"):
            woken.append(True)
            world.clock.now += 130
            other = Node(world.store, READ, world.receivers, clock=world.clock)
            world.store.gate = stop_at_next_attempt
            with pytest.raises(Killed):
                other.sweep()
            world.store.gate = lambda *_: None

    def stop_at_next_attempt(what: str, key: str, when: str) -> None:
        if (what, when) == ("create", "before") and key.endswith("to/a/0/attempt-02.claim.json"):
            raise Killed

    world.receivers.gate = sleep
    world.live(tell)
    assert woken
    world.sweep_until_empty()
    assert [who for who, _, _ in world.receivers.accepted].count("a") == 1


def test_the_body_of_whoever_made_it_first_is_sent_by_everybody() -> None:
    """A redelivery asked for while the original still waits, with the configuration changed in between."""
    world = World()
    claimed = next(i for i, step in enumerate(TELL) if step[0] == "create" and "to/b/0/attempt-01" in step[1])
    world.live(tell, claimed)  # dies before it claims
    nodes = [
        Node(world.store, reader(subscriber("a"), to_b), world.receivers, clock=world.clock)
        for to_b in (subscriber("b", select="status"), subscriber("b", payload="full"))
    ]
    nodes[0].redeliver("job1", "b", "req-1")
    world.clock.now += 130
    nodes[1].sweep()

    to_b = [arrival for arrival in world.receivers.accepted if arrival[0] == "b"]
    assert len(to_b) == 2
    assert len(set(to_b)) == 1
