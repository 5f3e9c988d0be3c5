"""Any sequence of requests, sweeps, faults and deaths loses nothing and repeats only what it may.

``SOAK=1`` runs many. Unlike in test_simulation.py one worker works at a time, and more can happen to it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from shared.errors import BadInput, RelayError, Throttled, Unavailable
from shared.webhooks.payload import webhook_id
from shared.webhooks.sender import Attempt
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, next_due, reader, subscriber, waiting
from tests.fakes.receivers import FAILED, GONE, OK, Receivers

NAMES = ("a", "b", "c")
MOODS = {"up": OK, "down": FAILED, "gone": GONE}

JOBS = st.sampled_from(["job1", "job2", "job3"])
# What a worker has just done, or is about to do, when it is killed.
MOMENTS = st.sampled_from(
    [
        "after create /publish/final/0/attempt-",
        "before create /publish/final/0/receipt.json",
        "after put outbox/",
        "after create /event.json",
        "after send ",
        "after create /body.json",
        "after create .result.json",
        "before create /0/receipt.json",
        "after create dead/",
        "before delete outbox/",
        "after delete /delivery~",
        "before delete dead/",
    ]
)
# After how many such moments, or steps of any kind, the worker is killed, which answers of its store are lost, and how
# wrong its clock is.
NTH = st.sampled_from([0, 0, 1, 2])
FATES = st.tuples(
    st.one_of(st.none(), st.tuples(MOMENTS, NTH), st.tuples(MOMENTS, NTH), st.tuples(st.just(""), st.integers(0, 80))),
    st.frozensets(st.integers(0, 30), max_size=2),  # fewer in a row than are tried
    st.sampled_from([0, 0, -90, 90]),  # seconds
)
WELL = (None, frozenset[int](), 0)
Fate = tuple[tuple[str, int] | None, frozenset[int], int]


class Killed(BaseException):
    """The platform ended the worker."""


class OutboxUse(RuleBasedStateMachine):
    """A bucket, three subscribers, a service, and one worker after another."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.behind = 0
        self.store = MemoryStore(self.clock, self._step, lambda: self.behind)
        self.receivers = Receivers(self._answer, self._step)
        self.moods = dict.fromkeys(NAMES, "up")
        self.payload = "thin"
        self.service = "up"
        self.fate: Fate = WELL
        self.steps = self.answers = self.requests = 0
        self.accepted_unrecorded: tuple[str, str] | None = None
        self.excused: Counter[tuple[str, str]] = Counter()  # by subscriber and webhook ID
        self.asked: Counter[tuple[str, str]] = Counter()  # for sending again
        self.unacknowledged: set[str] = set()
        self.notified: set[str] = set()
        self.were_gone: set[str] = set()

    # What happens.

    @initialize(moods=st.lists(st.sampled_from(["up", "up", "down"]), min_size=3, max_size=3))
    def begin(self, moods: list[str]) -> None:
        self.moods = dict(zip(NAMES, moods, strict=True))

    @rule(job=JOBS, fate=FATES)
    def notify(self, job: str, fate: Fate) -> None:
        """The platform repeats a notification until a worker has acknowledged it."""
        self.unacknowledged.add(job)
        if self._live(lambda node: node.tell(job), fate):
            self.unacknowledged.discard(job)
            self.notified.add(job)

    @rule(job=JOBS, fate=FATES)
    def ask(self, job: str, fate: Fate) -> None:
        """Somebody asks for a publication now, whatever waits for its next attempt."""

        def work(node: Node) -> None:
            task = node.task(job)
            node.worker.run_now([task], 600, expedite=[task])

        if self._live(work, fate):
            self.notified.add(job)

    @rule(job=JOBS, fate=FATES)
    def ask_for_all_of_it_again(self, job: str, fate: Fate) -> None:
        self.requests += 1
        self.asked.update((who, webhook_id(job, "succeeded")) for who in NAMES)
        if self._live(lambda node: node.tell(job, request=f"request-{self.requests}"), fate):
            self.notified.add(job)

    @rule(job=JOBS, who=st.sampled_from(NAMES), fate=FATES)
    def redeliver(self, job: str, who: str, fate: Fate) -> None:
        self.requests += 1
        self.asked[who, webhook_id(job, "succeeded")] += 1
        self._live(lambda node: node.redeliver(job, who, f"request-{self.requests}"), fate)

    @rule(after=st.sampled_from([1, 60, 130, 3600, 86400]), fate=FATES, behind=st.integers(0, 3))
    def sweep(self, after: int, fate: Fate, behind: int) -> None:
        self.clock.now += after
        self.behind = behind
        self._live(lambda node: node.sweep(), fate)
        self.behind = 0

    @rule(who=st.sampled_from(NAMES), mood=st.sampled_from(["up", "down"]))
    def receiver_changes(self, who: str, mood: str) -> None:
        self.moods[who] = mood

    @rule()
    def the_last_receiver_leaves(self) -> None:
        self.moods["c"] = "gone"

    @rule(payload=st.sampled_from(["thin", "full"]))
    def subscribers_change(self, payload: str) -> None:
        """What was made for a subscriber once is what it gets, however it is configured since."""
        self.payload = payload

    @rule(mood=st.sampled_from(["up", "throttled", "refusing"]))
    def service_changes(self, mood: str) -> None:
        self.service = mood

    @precondition(lambda self: self.store.under("dead/"))
    @rule(number=st.integers(0, 9), fate=FATES)
    def replay(self, number: int, fate: Fate) -> None:
        letters = self.store.under("dead/")
        key = letters[number % len(letters)]
        self._replay(key, fate)

    def teardown(self) -> None:
        """Heal the world, and look at what has become of everything."""
        self.service = "up"
        self.moods = dict.fromkeys(NAMES, "up")
        for job in sorted(self.unacknowledged):
            self.notify(job, WELL)
        assert not self.unacknowledged
        self._sweep_to_the_end()
        self._check(buried=True)
        while letters := self.store.under("dead/"):
            self._replay(letters[0], WELL)
            self._sweep_to_the_end()
        self._check(buried=False)

    def _sweep_to_the_end(self) -> None:
        for _ in range(100):
            if not waiting(self.store):
                return
            self.clock.now = max(self.clock.now + 60, next_due(self.store) + 1)
            assert self._live(lambda node: node.sweep(), WELL)
        raise AssertionError(f"still waiting: {waiting(self.store)}")

    def _check(self, *, buried: bool) -> None:
        accepted = Counter((who, message) for who, message, _ in self.receivers.accepted)
        for job in sorted(self.notified):
            for who in NAMES:
                told = accepted[who, webhook_id(job, "succeeded")] or self._was_gone(job, who)
                assert told or (buried and self._is_buried(job, who)), f"{who} never heard of {job}"
        for each, times in accepted.items():
            assert times <= 1 + self.excused[each] + self.asked[each], f"{each[0]} heard it {times} times"
        bodies: dict[tuple[str, str], bytes] = {}
        for who, message, body in self.receivers.arrived:
            assert bodies.setdefault((who, message), body) == body, "a repeat differs"

    def _is_buried(self, job: str, who: str) -> bool:
        """Say whether a dead letter names the delivery, or the job that could not be published; with its reason."""
        letters = [orjson.loads(self.store.objects[key].body) for key in self.store.under("dead/")]
        return any(
            each["jobId"] == job and each.get("subscriber", who) == who and each["reason"] and each["attempts"]
            for each in letters
        )

    def _was_gone(self, job: str, who: str) -> bool:
        """Say whether the subscriber had answered 410 before the job was published, so that it was left out."""
        receipts = [key for key in self.store.under(f"jobs/{job}/deliveries/publish/") if key.endswith("receipt.json")]
        found = [orjson.loads(self.store.objects[key].body) for key in receipts]
        named = {name for receipt in found for name in receipt.get("subscribers", ())}
        return who in self.were_gone and who not in named

    # What a worker meets.

    def _live(self, work: Callable[[Node], object], fate: Fate) -> bool:
        """Let a new worker do the work; say whether it could answer that it did."""
        self.fate, self.steps, self.answers = fate, 0, 0
        read = reader(subscriber("a"), subscriber("b", payload=self.payload), subscriber("c"))
        node = Node(
            self.store, read, self.receivers, clock=lambda: self.clock() + fate[2], publish=self._publish, seconds=600
        )
        try:
            work(node)
        except (Killed, RelayError):
            return False
        finally:
            self.accepted_unrecorded = None
            self.fate = WELL
        return True

    def _replay(self, key: str, fate: Fate) -> None:
        letter = orjson.loads(self.store.objects[key].body)
        for who in [letter["subscriber"]] if "subscriber" in letter else NAMES:
            self.asked[who, webhook_id(letter["jobId"], "succeeded")] += 1
        name = key.removeprefix("dead/").removesuffix(".json")
        self._live(lambda node: node.dead.replay(name, _no_message), fate)

    def _step(self, what: str, key: str, when: str) -> None:
        if (what, when) == ("send", "after") and self.receivers.accepted[-1:] == self.receivers.arrived[-1:]:
            self.accepted_unrecorded = self.receivers.accepted[-1][:2]
        if (what, when) == ("create", "after") and key.endswith("/receipt.json"):
            self.accepted_unrecorded = None
        moment, number = self.fate[0] or ("never", 1)
        self.steps += is_at(moment, what, key, when)
        if self.steps > number:
            if self.accepted_unrecorded is not None:
                self.excused[self.accepted_unrecorded] += 1
            raise Killed
        if what != "send" and when == "after":
            self.answers += 1
            if self.answers - 1 in self.fate[1]:
                raise Unavailable(f"{what} {key}: no answer")

    def _answer(self, who: str, _before: int) -> Attempt:
        if self.moods[who] == "gone":
            self.were_gone.add(who)
        return MOODS[self.moods[who]]

    def _publish(self, _job: str, _reported: str, _series: str) -> None:
        if self.service == "throttled":
            raise Throttled("slow down")
        if self.service == "refusing":
            raise BadInput("it stays broken")


def is_at(moment: str, what: str, key: str, when: str) -> bool:
    if not moment:
        return True
    now, _, rest = moment.partition(" ")
    operation, _, part = rest.partition(" ")
    return (now, operation) == (when, what) and part in key


def _no_message(raw: bytes) -> None:
    raise AssertionError(f"no message: {raw!r}")


def test_nothing_is_lost_and_nothing_is_repeated_that_may_not_be() -> None:
    soak = bool(os.environ.get("SOAK"))
    run_state_machine_as_test(
        OutboxUse,
        settings=settings(
            max_examples=20_000 if soak else 40,
            stateful_step_count=50 if soak else 30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
