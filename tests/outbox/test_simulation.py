"""Random schedules of many workers over one store: nothing is lost, everything ends, and only a crash repeats.

Every call of the store, of MPS and every send is a step. Before it another worker may run; the worker may be killed, or
frozen for minutes; the call may be refused, take effect without its answer arriving, or take effect 90 s late. Clocks
are up to two hours off, and lists up to two minutes behind. What else may happen is the list ``HAPPENINGS``.
"""

from __future__ import annotations

import logging
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from greenlet import greenlet  # type: ignore[import-untyped]  # it has no types

from local.recorded import jobs
from shared.errors import AccessRefused, RelayError, TimedOut, Unavailable
from shared.jobs import artifact_key
from shared.publishing.publisher import Deferred
from shared.publishing.reports import Word
from shared.triggers import JobChanged, Publish
from shared.webhooks.payload import webhook_id
from shared.webhooks.sender import Attempt
from shared.webhooks.subscribers import Subscriber, Subscribers
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Node, next_due, subscriber, waiting
from tests.fakes.receivers import FAILED, OK

SCHEDULES = 10_000 if os.environ.get("SOAK") else 200
TRIES = 9  # of the platform
CHAOS = 12  # turns, before it calms down
JOBS = ("job1", "job2", "job3")
FATAL = "job3"  # where it is so, whoever publishes it is killed for want of memory
PROCESSING, FAIL = (b'{"JobStatus":"%s","Results":{"Result":[]}}' % word for word in (b"Processing", b"Fail"))
EMPTY, GOOD = b'{"JobStatus":"Success","Results":{"Result":[]}}', jobs()["meta"].response
TRUTHS = ((GOOD,), (FAIL, GOOD), (EMPTY, GOOD), (PROCESSING, GOOD), (PROCESSING, FAIL))  # one after the other
REFUSED = Attempt("failed", 400, 30, "no", None, "answered 400")
ERRORS = (AccessRefused, TimedOut, Unavailable)
ABOUT = {
    webhook_id(job, f"{name}{revision}"): job
    for job in JOBS
    for name in ("processing", "failed", "succeeded")
    for revision in ("", *(f"-{number}" for number in range(2, 30)))
}
RECEIPT = re.compile(r"(?:deliveries/(.+)/(.+)/to/(.+)|jobs/(.+)/deliveries/publish/.+)/(.+)/receipt\.json")


class Killed(BaseException):
    """The platform ended the worker; nothing it does from here on has any effect."""


class Worker:
    """One process: its clock, its connections, its place in the schedule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = self.frozen = self.was_frozen = False
        self.unrecorded: set[tuple[str, str]] = set()  # whom it told of what, between a 2xx and our receipt
        skew = world.rng.choice([0, world.rng.uniform(-180, 180), world.rng.uniform(-7200, 7200)])
        connection: Any = _Connection(self)
        self.node = Node(
            connection,
            world.subscribers,
            connection,
            clock=lambda: world.now + skew,
            rng=world.rng,
            source=connection,
        )

    def step(self, what: str, key: str, when: str) -> None:
        world, rng = self.world, self.world.rng
        if self.dead:
            raise Killed
        if what == "create" and when == "after" and (found := RECEIPT.fullmatch(key)) and found[1]:
            self.unrecorded.discard((found[3], webhook_id(found[1], found[2])))
        if what not in {"send", "query"} and rng.random() < world.freezing:
            self.frozen = self.was_frozen = True
        world.switch()
        if self.dead or rng.random() < world.deadly:
            self.dead = True
            raise Killed
        if what != "send" and rng.random() < world.flaky:
            raise rng.choice(ERRORS)(f"{what} {key} {when}")


class _Connection:
    """Store, MPS and receivers as one worker reaches them: both the request and the answer may be lost."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._world = worker.world

    def __getattr__(self, what: str) -> Callable[..., object]:
        operation = getattr(self._world.store, what)

        def call(key: str, *rest: object) -> object:
            try:
                self._worker.step(what, key, "before")
            except RelayError:
                if what in {"create", "put", "delete"}:
                    self._world.come_late(lambda: operation(key, *rest))
                raise
            result = operation(key, *rest)
            if what in {"list", "children"}:
                result = iter(list(result))
            self._worker.step(what, key, "after")
            return result

        return call

    def query(self, job: str, _deadline: float, _admits: object) -> bytes:
        self._worker.step("query", job, "before")
        if self._world.fatal and job == FATAL:
            self._worker.dead = True
            self._world.killed_by_memory += not self._worker.was_frozen
            raise Killed
        return self._world.truth[job][0]

    def send(self, to: Subscriber, message: str, _timestamp: int, body: bytes) -> Attempt:
        self._worker.step("send", "", "before")
        answer = self._world.answer(self._worker, to.id, message, body)
        self._worker.step("send", "", "after")
        return answer


class World(logging.Handler):
    """Everything the workers share, what happens to them, and what came of it."""

    def __init__(self, seed: int) -> None:
        super().__init__(logging.ERROR)
        self.rng = rng = random.Random(seed)
        self.now = START
        self.deadly = rng.choice([0.0, 0.01, 0.03])
        self.flaky = rng.choice([0.0, 0.02, 0.1])
        self.freezing = rng.choice([0.0, 0.003])
        self.failing = rng.choice([0.0, 0.3])
        behind = rng.choice([0, 0, 5, 120])
        self.fatal = rng.random() < 0.2
        self.peaceful = not (self.deadly or self.flaky or self.freezing or self.fatal)
        self.jobs = JOBS if self.fatal else JOBS[: rng.randint(1, 3)]
        self.truth = {job: rng.choice(TRUTHS) for job in self.jobs}
        self.refused = {("b", job) for job in self.jobs if rng.random() < 0.1}  # partial refusers
        self.store = MemoryStore(lambda: self.now, self._note_letter, lag=lambda: rng.uniform(0, behind))
        self.late: list[tuple[float, Callable[[], object]]] = []
        self.frozen: list[tuple[Worker, greenlet]] = []
        self.payload = "full"
        self.owed: set[str] = set()  # jobs that a handler said it would not lose
        self.accepted: defaultdict[tuple[str, str], list[tuple[Worker, bytes]]] = defaultdict(list)
        self.repeats: Counter[tuple[str, str]] = Counter()  # that no crash explains
        self.asked: Counter[tuple[str, str]] = Counter()  # repeats that operators asked for
        self.letters: set[str] = set()
        self.lines: set[tuple[str, str, str]] = set()
        self.killed_by_memory = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "outbox.dead":
            fields = record.__dict__["fields"]
            self.lines.add((fields["jobId"], fields["about"] if fields["subscriber"] else "", fields["subscriber"]))

    def subscribers(self) -> Subscribers:
        return Subscribers((subscriber("a"), subscriber("b", payload=self.payload)), ())

    def answer(self, worker: Worker, who: str, message: str, body: bytes) -> Attempt:
        job, heard = ABOUT[message], self.accepted[who, message]
        if (who, job) in self.refused:
            return REFUSED
        if self.rng.random() < self.failing:
            return FAILED
        self.repeats[who, job] += bool(heard) and (who, message) not in heard[-1][0].unrecorded
        heard.append((worker, body))
        worker.unrecorded.add((who, message))
        return OK

    def come_late(self, effect: Callable[[], object]) -> None:
        if self.rng.random() < 0.5:
            self.late.append((self.now + self.rng.uniform(0, 90), effect))

    def switch(self) -> None:
        self.pass_time(self.rng.random() * 0.2)
        greenlet.getcurrent().parent.switch()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for due, effect in [each for each in self.late if each[0] <= self.now]:
            self.late.remove((due, effect))
            effect()

    def run(self, happenings: Sequence[Happening]) -> bool:
        """Have all this happen side by side, a worker each; say whether one of them came to its end."""
        ended: list[bool] = []

        def life(worker: Worker, happening: Happening) -> None:
            try:
                happening(self, worker)
                ended.append(True)
            except (Killed, RelayError):
                worker.dead = True

        workers = [Worker(self) for _ in happenings]
        running = [(w, greenlet(lambda w=w, h=h: life(w, h))) for w, h in zip(workers, happenings, strict=True)]
        self._switch_among(running)
        return bool(ended)

    def wake(self) -> None:
        """Let the frozen go on, one after the other."""
        frozen, self.frozen = self.frozen, []
        for worker, thread in frozen:
            worker.frozen = False
            self._switch_among([(worker, thread)])

    def _switch_among(self, running: list[tuple[Worker, greenlet]]) -> None:
        while running:
            number = self.rng.randrange(len(running))
            worker, thread = running[number]
            thread.switch()
            if thread.dead or worker.frozen:
                del running[number]
                self.frozen += [] if thread.dead else [(worker, thread)]

    def _note_letter(self, what: str, key: str, when: str) -> None:
        if (what, when) == ("create", "after"):
            self.letters.add(key)

    def play_out(self, *, chaos: int) -> None:
        """Let timers sweep until nothing is left to do; what happens beside that ends after some turns."""
        for turn in range(400):
            happenings: list[Happening] = [sweep]
            if turn < chaos:
                happenings += self.rng.choices(HAPPENINGS, k=self.rng.choice([0, 0, 1, 5]))
            else:
                self.deadly = self.flaky = self.freezing = 0.0
                self.truth = {job: truth[-1:] for job, truth in self.truth.items()}
                if not waiting(self.store) and not self.frozen and not self.late:
                    if not self.letters_of_jobs():
                        return
                    happenings.append(replay_jobs)
            due = next_due(self.store) if waiting(self.store) else 0
            self.pass_time(max(130, due - self.now + self.rng.choice([-100, 1, 200])))
            if turn >= chaos or self.rng.random() < 0.5:
                self.wake()
            self.run(happenings)
        raise AssertionError("the outbox was never empty")

    def letters_of_jobs(self) -> list[str]:
        """Return the letters of publications that can go well."""
        return [key for key in self.store.under("dead/jobs/") if not self.fatal or FATAL not in key]


Happening = Callable[[World, Worker], object]


def sweep(_world: World, worker: Worker) -> None:
    worker.node.sweep()


def notify(world: World, worker: Worker) -> None:
    """One event of all jobs, in no order."""
    messages = [
        JobChanged(job, world.rng.choice([orjson.loads(world.truth[job][0])["JobStatus"], "Success", ""]), "")
        for job in world.rng.sample(world.jobs, len(world.jobs))
    ]
    ends = {message.job_id for message in messages if message.state != "Processing"}
    try:
        worker.node.publisher.receive(messages, request_id="event", seconds=600)
    except Deferred as error:
        world.owed |= ends - {report["jobId"] for report in error.reports if report["outcome"] == Word.DEFERRED}
        raise
    world.owed |= ends


def change_truth(world: World, worker: Worker) -> None:
    world.truth = {job: truth[-1:] for job, truth in world.truth.items()}
    notify(world, worker)


def change_subscribers(world: World, _worker: Worker) -> None:
    world.payload = "full" if world.payload == "thin" else "thin"


def replay(world: World, worker: Worker, names: Sequence[str] = ()) -> None:
    for name in names or list(worker.node.dead.names()):
        if name.startswith("deliveries/"):
            job, _, who, _ = name.removeprefix("deliveries/").split("~")
            world.asked[who, job] += 1
        worker.node.dead.replay(name, lambda _raw: None)


def replay_jobs(world: World, worker: Worker) -> None:
    for key in world.letters_of_jobs():
        replay(world, worker, [key.removeprefix("dead/").removesuffix(".json")])


def redeliver(world: World, worker: Worker) -> None:
    who, job = world.rng.choice("ab"), world.rng.choice(world.jobs)
    world.asked[who, job] += 1
    worker.node.redeliver(job, who, f"request {world.now}")


def refresh(world: World, worker: Worker) -> None:
    messages = [Publish(job, refresh=True) for job in world.jobs if not world.fatal or job != FATAL]
    worker.node.publisher.receive(messages, request_id="refresh", seconds=600)


HAPPENINGS: tuple[Happening, ...] = (
    *[sweep] * 5,  # a herd of timers, more often than not
    notify,
    change_truth,
    change_subscribers,
    replay,
    redeliver,
    refresh,
)


def simulate(seed: int) -> World:
    world = World(seed)
    logger = logging.getLogger("smarttag")
    logger.addHandler(world)
    try:
        for _ in range(TRIES):  # the platform repeats an event until it is acknowledged, also side by side
            if world.run([notify] * world.rng.randint(1, 3)):
                break
            world.pass_time(5)
        world.play_out(chaos=CHAOS)
        check(world, world.owed)
        world.pass_time(5 * 3600)  # longer than clocks are apart
        world.run([refresh])
        world.play_out(chaos=0)
        check(world, set(world.jobs))
        check_truth(world)
    finally:
        logger.removeHandler(world)
    return world


def check(world: World, owed: set[str]) -> None:
    assert not +(world.repeats - world.asked), f"told again: {world.repeats}"
    for heard in world.accepted.values():
        assert len({body for _, body in heard}) <= 1, "a repeat differs"
    for job in owed:
        if world.fatal and job == FATAL:
            letters = world.store.under(f"dead/jobs/{job}")
            assert letters, f"{job} is neither told nor dead"
            assert b"want of memory" in world.store.objects[letters[-1]].body
            ends = sum(key.endswith("/receipt.json") for key in world.store.under(f"jobs/{job}/deliveries/publish/"))
            assert world.killed_by_memory <= 3 * ends, f"{job} killed {world.killed_by_memory} workers"
            continue
        events = announced(world, job)
        assert events - {"processing"}, f"{job} was lost"
        for event in events:
            for who in ("a", "b"):
                letters = world.store.under(f"dead/deliveries/{job}~{event}~{who}~")
                assert world.accepted[who, webhook_id(job, event)] or letters, f"{who} never heard {job} {event}"
    check_deaths(world)


def check_deaths(world: World) -> None:
    for key, stored in world.store.objects.items():
        assert not world.peaceful or b'"kind":"lost"' not in stored.body, f"nobody died, and yet: {key}"
        found = RECEIPT.fullmatch(key)
        if found and orjson.loads(stored.body)["state"] in {"dead", "gone"}:
            job, event, who, series = found[1] or found[4], found[2] or "", found[3] or "", found[5]
            about = f"{job}~{event}~{who}~{series}" if who else job if series == "0" else f"{job}~{series}"
            assert f"dead/{'deliveries' if who else 'jobs'}/{about}.json" in world.letters, f"no letter for {key}"
            assert (job, event, who) in world.lines, f"no ERROR line for {key}"


def check_truth(world: World) -> None:
    for job in world.jobs:
        if not world.fatal or job != FATAL:
            assert world.store.objects[artifact_key(job, "response.json")].body == world.truth[job][0]
            told = [world.store.objects[f"deliveries/{job}/{event}/event.json"].body for event in announced(world, job)]
            mark = b'"title":null' if world.truth[job][0] == GOOD else b'"status":"Success"'  # of another answer
            assert not all(mark in event for event in told), f"nobody heard how {job} ended"


def announced(world: World, job: str) -> set[str]:
    """Return the events that publications ended with; what one that was given up had begun to tell may be overtaken."""
    receipts = world.store.under(f"jobs/{job}/deliveries/publish/")
    found = (orjson.loads(world.store.objects[key].body) for key in receipts if key.endswith("/receipt.json"))
    return {receipt["event"] for receipt in found if "event" in receipt}


@pytest.mark.parametrize("part", range(10))
def test_no_schedule_loses_anything_everything_ends_and_only_a_crash_before_our_receipt_repeats(part: int) -> None:
    for seed in range(part * SCHEDULES // 10, (part + 1) * SCHEDULES // 10):
        try:
            simulate(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
