"""One worker process in a world that a test makes: outbox, handlers and subscribers over a given store and sender."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson

from shared.catalogue.catalogue import Catalogue
from shared.jobs import SUMMARY, JobStatus, artifact_key
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.dead_letters import DeadLetters
from shared.outbox.outbox import Outbox
from shared.outbox.outcome import Outcome, State
from shared.outbox.task import FIRST, Task, TaskKind, parse_key, redelivery_id
from shared.outbox.task_queue import TaskQueue
from shared.outbox.worker import Handlers, Result, Worker
from shared.publishing.erasure import EraseHandler
from shared.publishing.handler import JobSource, PublishHandler
from shared.publishing.publisher import Publisher
from shared.publishing.turns import Admits, Turn
from shared.storage.retrying import RetryingStore
from shared.webhooks.announcer import Announcer, FanOutHandler
from shared.webhooks.delivery_handler import DeliveryHandler
from shared.webhooks.endpoint_health import EndpointHealth
from shared.webhooks.history import deliveries_of
from shared.webhooks.operator_events import OperatorEvents
from shared.webhooks.stored_event import StoredEvents
from shared.webhooks.subscriber_cache import SubscriberCache
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers
from tests.fakes.memory_store import MemoryStore
from tests.fakes.receivers import OK, Receivers

START = 1_790_000_000.0
BASE = "oss://bucket/out"
Publishes = Callable[[str, str, str], None]  # job ID, status reported, series


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def document(job: str = "job1", status: str = "Success", **more: Any) -> dict[str, Any]:
    """Return the JSON of a summary."""
    empty: dict[str, Any] = {
        "jobId": job,
        "status": status,
        "userData": "ticket-7",
        "message": "",
        "media": {"kind": "video", "durationMs": 60000, "durationSource": "maxTo", "durationErrorMs": None},
        "transcript": None,
        "screenText": None,
        "title": None,
    }
    lists = ("persons", "tags", "classifications", "concepts", "chapters", "alerts", "warnings")
    return {**empty, **{name: [] for name in lists}, **more}


class SummaryInMemory:
    """A ``SummarySource``."""

    def __init__(self, summary: dict[str, Any]) -> None:
        self._summary = summary

    def summary(self) -> dict[str, Any]:
        return self._summary

    def summary_json(self) -> bytes:
        return orjson.dumps(self._summary, option=orjson.OPT_SORT_KEYS)


def subscriber(name: str, **more: Any) -> Subscriber:
    return Subscriber(id=name, url=f"https://{name}.example.com/hook", secrets=(), **more)


def reader(*subscribers: Subscriber | Broken) -> Callable[[], Subscribers]:
    good = tuple(each for each in subscribers if isinstance(each, Subscriber))
    broken = tuple(each for each in subscribers if isinstance(each, Broken))
    return lambda: Subscribers(good, broken)


class _Tells(PublishHandler):
    """Publishes nothing but a summary that says so, and has it told; ``first`` may raise."""

    first: Publishes | None = None

    def publish(self, task: Task, _turn: Turn) -> Outcome:
        if self.first is not None:
            self.first(task.job_id, task.event, task.series)
        status = JobStatus(task.event or "Success")
        summary = orjson.dumps(document(task.job_id, status.value))
        if status.is_final:
            self.store.put(artifact_key(task.job_id, SUMMARY), summary)
        return self.announce(task, status, summary, {"fresh": status.is_final})


class _NoSource:
    def query(self, job_id: str, _deadline: float, _admits: Admits) -> bytes:
        raise AssertionError(f"{job_id} was to be queried")


class Node:
    """One process: ``store`` and ``sender`` as it reaches them, ``clock`` as it reads it, and its time limit."""

    def __init__(
        self,
        store: Any,
        read: Callable[[], Subscribers] | None,
        sender: Any,
        *,
        clock: Callable[[], float],
        rng: random.Random | None = None,
        threads: int = 1,
        base: str = BASE,
        seconds: float = 600.0,
        publish: Publishes | None = None,
        source: JobSource | None = None,
        query_seconds: float = 2.0,
        queue: TaskQueue | None = None,
    ) -> None:
        """Make the process; with a ``source`` it really publishes what that answers."""
        self.store = store
        self.source = source
        self._query_seconds = query_seconds
        self.publish = publish
        self._sender = sender
        self._clock = clock
        self._base = base
        self._seconds = seconds
        self._retrying = RetryingStore(store)
        self._cache = None if read is None else SubscriberCache(read, clock)
        self._operators = None if self._cache is None else OperatorEvents(self._retrying, self._cache, clock)
        given_up = {} if self._operators is None else {"given_up": self._operators.given_up}
        self.outbox = Outbox(
            self._retrying,
            queue or BucketQueue(self._retrying, threads),
            clock,
            rng or random.Random(1),
            threads=threads,
            **given_up,
        )
        self.dead = DeadLetters(self.outbox)
        self.worker = Worker(self.outbox, self.handlers)
        self.eraser = EraseHandler(self.outbox, Catalogue(self._retrying, clock), PublishHandler.lease)
        self.publisher = Publisher(self.worker, self.dead, clock)

    def handlers(self) -> Handlers:
        if self._cache is None:
            return {TaskKind.PUBLISH: self._publishes(None), TaskKind.ERASE: self.eraser}
        events, health, announcer = self._parts()
        return {
            TaskKind.ERASE: self.eraser,
            TaskKind.PUBLISH: self._publishes(announcer),
            TaskKind.FAN_OUT: FanOutHandler(announcer),
            TaskKind.DELIVERY: DeliveryHandler(events, self._cache, health, self._sender, self._clock, self._recovered),
        }

    def _recovered(self, subscriber_id: str, since: str) -> None:
        assert self._operators is not None
        self.outbox.enqueue_all(self._operators.recovered(subscriber_id, since))

    def _publishes(self, announcer: Announcer | None) -> PublishHandler:
        if self.source is not None:
            catalogue = Catalogue(self._retrying, self._clock)
            return PublishHandler(self.store, self.source, announcer, self._query_seconds, catalogue=catalogue)
        tells = _Tells(self.store, _NoSource(), announcer, self._query_seconds)
        object.__setattr__(tells, "first", self.publish)
        return tells

    def _parts(self) -> tuple[StoredEvents, EndpointHealth, Announcer]:
        assert self._cache is not None
        events, health = StoredEvents(self._retrying), EndpointHealth(self.store, self._clock)
        return events, health, Announcer(events, self._cache, self._base, self._clock)

    def task(self, job: str = "job1", status: str = "Success", request: str | None = None) -> Task:
        """Return the publication of a job; a redelivery where a ``request`` asks for it."""
        return self.publisher.task(job, FIRST if request is None else redelivery_id(request), status)

    def tell(self, job: str = "job1", status: str = "Success", request: str | None = None) -> dict[str, str]:
        """Publish a job and return how each subscriber fared; ``*`` where they are not even known."""
        return told(self.worker.run_now([self.task(job, status, request)], self._seconds))

    def told(self, job: str, status: str) -> bool:
        """Say whether the delivery of this event is enqueued for everybody, and all is said in a receipt."""
        fan_out = any(task.kind is TaskKind.FAN_OUT and task.job_id == job for task in self.outbox.listed())
        return not fan_out and self.outbox.read_receipt(self.task(job, status)) is not None

    def redeliver(self, job: str, subscriber_id: str, request: str) -> dict[str, str]:
        task = self._parts()[2].redelivery(job, subscriber_id, request)
        return told(self.worker.run_now([task], 600, expedite=[task]))

    def sweep(self, seconds: float = 600.0) -> dict[str, int]:
        return self.worker.sweep(seconds)

    def state(self, job: str) -> list[dict[str, Any]]:
        return deliveries_of(self.store, job)


def told(results: list[Result]) -> dict[str, str]:
    """Return how each subscriber fared, in the words of the API."""
    found: dict[str, str] = {}
    for task, outcome in results:
        if task.kind is TaskKind.DELIVERY:
            waiting = {State.RETRY, State.SUSPENDED, State.OUT_OF_TIME, State.FAILED}
            before = {State.CLAIMED_ELSEWHERE, State.ALREADY_ENDED}
            state = "waiting" if outcome.state in waiting else "duplicate" if outcome.state in before else outcome.state
            found[task.subscriber] = str(getattr(state, "value", state))
        elif outcome.state is State.ALREADY_ENDED:
            found |= dict.fromkeys(outcome.record.detail.get("subscribers", ()), "duplicate")
        elif any(each.kind is TaskKind.FAN_OUT for each in outcome.next_tasks):
            found["*"] = "waiting"
    return found


def waiting(store: MemoryStore) -> list[str]:
    """Return the keys of all tasks, and of whatever else lies there except leases on partitions."""
    return [key for key in store.under("outbox/") if not key.startswith("outbox/held~")]


def next_due(store: MemoryStore) -> float:
    """Return when the next task is due, in seconds."""
    return min(task.due for key in waiting(store) if (task := parse_key(key))) / 1000


class World:
    """One store, one clock, one set of receivers, and a node of its own; others are made by ``node``."""

    def __init__(
        self,
        read: Callable[[], Subscribers] | None,
        answer: Callable[[str, int], Any] = lambda _who, _before: OK,
        *,
        threads: int = 1,
        publish: Publishes | None = None,
    ) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.receivers = Receivers(answer)
        self.read = read
        self.one = self.node(threads=threads, publish=publish)

    def node(self, read: Callable[[], Subscribers] | None = None, **more: Any) -> Node:
        """Return another worker in the same world."""
        return Node(self.store, read or self.read, self.receivers, **{"clock": self.clock, **more})

    def tell(self, job: str = "job1", status: str = "Success", request: str | None = None) -> dict[str, str]:
        return self.one.tell(job, status, request)

    def sweep(self, after: float = 0.0, seconds: float = 600.0) -> dict[str, int]:
        self.clock.now += after
        return self.one.sweep(seconds)

    @property
    def waiting(self) -> list[str]:
        return waiting(self.store)

    @property
    def letters(self) -> list[str]:
        return list(self.one.dead.names())

    def reason(self, letter: str) -> str:
        return str(self.one.dead.show(letter)["reason"])
