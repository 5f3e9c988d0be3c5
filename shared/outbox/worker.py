"""Does what is in the outbox: new tasks at once, and in a sweep what is due, side by side, fairly, and over in time."""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from uuid import uuid4

from shared import tracing
from shared.errors import RelayError, RetryableError
from shared.logs import log, log_error
from shared.metrics import note_due, note_outcome
from shared.outbox.outbox import Claimed, Handler, Outbox
from shared.outbox.outcome import Outcome, State
from shared.outbox.partitions import side_by_side
from shared.outbox.schedule import is_too_late
from shared.outbox.task import Task, TaskKind

Handlers = Mapping[TaskKind, Handler]
Result = tuple[Task, Outcome]

_SHORTEST_LEASE = 120.0  # seconds; eight times the deadline of a delivery
_GRACE = 30.0  # seconds after its time limit in which a worker may still be ending
_LATE = 600.0  # seconds


class NotEnqueued(RetryableError):
    """Some of what was asked for could not be written down; everything else of it is done or will be."""

    def __init__(self, results: Sequence[Result], failures: Sequence[tuple[Task, RelayError]]) -> None:
        jobs = [task.job_id for task, _ in failures]
        super().__init__(f"{len(jobs)} tasks could not be enqueued: {failures[0][1].message}", jobs=jobs)
        self.results = results
        self.failures = failures


@dataclass(frozen=True)
class Worker:
    """Works the outbox through the handlers of a table; safe to share between threads."""

    outbox: Outbox
    handlers: Callable[[], Handlers]  # made anew for each run, because handlers may remember what they have read

    def run_now(self, tasks: Iterable[Task], seconds: float, *, expedite: Collection[Task] = ()) -> list[Result]:
        """Enqueue new tasks, all of them before the first is worked on, and work on them and on what follows from them.

        What ``seconds`` are too short for is left to the sweep. A task that was enqueued before absorbs this one; where
        one of ``expedite`` waits there for its next attempt, it has that now.

        Returns:
            What came of each task of which something came.

        Raises:
            NotEnqueued: after everything else was done.
        """
        new = [(task.job_id, task) for task in tasks]
        run = _Run(self.outbox, self.handlers(), seconds, self.outbox.now())
        failures: list[tuple[Task, RelayError]] = []

        def begin(task: Task) -> tuple[Task, Claimed | Outcome] | None:
            try:
                return run.begin(task, expedite=task in expedite)
            except RelayError as error:
                failures.append((task, error))
                return None

        threads = self.outbox.threads
        begun = filter(None, side_by_side(new, begin, threads=threads))
        work = [(_turn(task.partition), _Do(task, claimed)) for task, claimed in begun]
        results = _results(side_by_side(work, run.step, itemgetter(1), threads=threads))
        if failures:
            raise NotEnqueued(results, failures)
        return results

    def sweep(self, seconds: float) -> dict[str, int]:
        """Do what is due and no other worker is looking after; begin nothing that could outlast ``seconds``.

        Returns:
            How many tasks came to each ``State``.
        """
        run = _Run(self.outbox, self.handlers(), seconds, self.outbox.now())
        done = side_by_side(run.openings(), run.step, itemgetter(1), threads=self.outbox.threads)
        counts = Counter(outcome.state.value for _, outcome in _results(done))
        run.end()
        return dict(counts)


@dataclass(frozen=True, slots=True)
class _Do:
    """A task to be done: claimed before, or what came of that, or not yet."""

    task: Task
    begun: Claimed | Outcome | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    """Partitions of one turn to look into, one after the other, and from where in each."""

    turn: str
    partitions: tuple[tuple[str, str], ...]


_Item = tuple[str, _Do | _Open]  # with its turn
_Done = tuple[Result | None, list[_Item]]  # and what is to be done next


@dataclass(frozen=True)
class _Run:
    """One use of the outbox: its handlers, its time, and what it has met. Operations of sets and dicts are atomic."""

    outbox: Outbox
    handlers: Handlers
    seconds: float
    began: int  # in milliseconds since 1970, as ends
    worker: str = field(default_factory=lambda: uuid4().hex)
    leases: set[str] = field(default_factory=set)  # of partitions
    resting: set[str] = field(default_factory=set)  # partitions
    first_due: dict[str, tuple[int, int]] = field(default_factory=dict)  # when something there was due, and how much

    @property
    def ends(self) -> float:
        return self.began + 1000 * self.seconds

    def openings(self) -> list[_Item]:
        """Return where to begin; in an order of its own, so that sweeps at the same time take different work."""
        names = self.outbox.queue.partitions(self.outbox.now())
        self.outbox.rng.shuffle(names)
        turns: dict[str, list[str]] = {}
        for name in names:
            turns.setdefault(_turn(name), []).append(name)
        return [
            (turn, _Open(turn, tuple((name, "") for name in sorted(found, key=_is_retry))))
            for turn, found in turns.items()
        ]

    def end(self) -> None:
        """Let others look after the partitions, and say so if something has waited for long."""
        late = {name: (self.began - due) / 1000 for name, (due, _) in self.first_due.items()}
        note_due(sum(number for _, number in self.first_due.values()), max(late.values(), default=0.0))
        if where := [name for name, seconds in late.items() if seconds > _LATE]:
            seconds = int(max(late.values()))
            log("outbox.late", level=logging.WARNING, seconds=seconds, partitions=where[:20])
        for lease in self.leases:
            try:
                self.outbox.queue.let_go(lease)
            except RelayError as error:  # it runs out
                log_error("outbox.lease.kept", error, level=logging.WARNING)

    def step(self, item: _Do | _Open) -> _Done:
        """Do one thing; a surprise in it must not cost the others."""
        if isinstance(item, _Do):
            result = self.work(item)
            return result, [(_turn(task.partition), _Do(task)) for task in self.following(item, result[1])]
        try:
            return None, self.open(item)
        except Exception as error:  # noqa: BLE001 - what is due there stays
            log_error("outbox.partition.failed", error, partition=item.partitions[0][0], trace=_trace(error))
            return None, [(item.turn, _Open(item.turn, item.partitions[1:]))] if item.partitions[1:] else []

    def open(self, item: _Open) -> list[_Item]:
        """Return the tasks of the next batch, and then the partitions that are left."""
        if self.outbox.now() >= self.ends:
            return []
        (name, after), rest = item.partitions[0], item.partitions[1:]
        now = self.outbox.now()
        batch = self.outbox.queue.due(name, now, after)
        found = [task for task in batch.tasks if task.kind in self.handlers]
        if found and not after:
            self.first_due[name] = (min(task.due for task in found), len(found))
        if name in self.resting:
            found = [task for task in found if is_too_late(task, now)]
        lease = self.outbox.queue.hold(name, now, self.worker) if found else ""
        self.leases.update([lease] if lease else [])
        # Of first attempts the latest come first: what was held up before must not hold up what comes now.
        tasks = sorted(found, key=attrgetter("due"), reverse=not _is_retry(name)) if lease else []
        if batch.after and (lease or not batch.tasks):
            rest = (*rest, (name, batch.after))
        return [(item.turn, _Do(task)) for task in tasks] + ([(item.turn, _Open(item.turn, rest))] if rest else [])

    def begin(self, task: Task, *, expedite: bool) -> tuple[Task, Claimed | Outcome]:
        """Claim a new task and write it down for the day that this worker dies.

        In this order, so that a duplicate costs two calls and no new key. Whoever dies in between has not answered, so
        that it is asked again; it then finds the claim, and writes the task down.
        """
        lease = self._lease(task)
        task = replace(task, due=self.outbox.now() + int(lease * 1000))
        claimed = self.outbox.claim(task, lease)
        while expedite and isinstance(claimed, Outcome) and claimed.state is State.RETRY:
            task = replace(task, attempt=task.attempt + 1)
            claimed = self.outbox.claim(task, lease)
        if isinstance(claimed, Claimed):
            self.outbox.enqueue(task)
        elif claimed.state is State.CLAIMED_ELSEWHERE:  # by a worker that may have died before it came to that
            news = any(each.event != task.event for each in claimed.next_tasks)  # of which that worker has not heard
            self.outbox.enqueue_all((*claimed.next_tasks, *((task,) if news else ())))
        return task, claimed

    def following(self, item: _Do, outcome: Outcome) -> tuple[Task, ...]:
        """Return what is to be done now because of this.

        That is what follows from it, due later only in case that this worker dies; and in a sweep the next attempt,
        if a worker that died has put it off for long enough.
        """
        following = outcome.next_tasks
        if item.begun is None and outcome.state is State.RETRY:
            due = outcome.record.next or sys.maxsize
            again = replace(item.task, attempt=item.task.attempt + 1, due=due)
            following += (again,) if due <= self.outbox.now() else ()
        return tuple(replace(task, traceparent=item.task.traceparent) for task in following)

    def work(self, item: _Do) -> Result:
        """Do one task, claimed before or not."""
        try:
            with tracing.following(item.task.traceparent):
                outcome = self._perform(item.task, item.begun)
        except Exception as error:  # noqa: BLE001 - the task stays where it is
            log_error("outbox.task.failed", error, task=item.task.key, trace=_trace(error))
            outcome = Outcome(State.FAILED)
        note_outcome(f"{item.task.kind.value}.{outcome.state.value}")
        return item.task, outcome

    def _perform(self, task: Task, begun: Claimed | Outcome | None) -> Outcome:
        handler = self.handlers[task.kind]
        if begun is None:
            if not self._in_time(handler):
                return Outcome(State.OUT_OF_TIME)
            if reason := handler.suspended(task):
                self.resting.add(task.partition)
                return Outcome.without_attempt(State.SUSPENDED, reason)
            begun = self.outbox.claim(task, self._lease(task))
            if isinstance(begun, Outcome):
                outcome = self._after(task, begun, handler)
                self._catch_up(task, outcome)
                return outcome
        if isinstance(begun, Outcome):
            return self._after(task, begun, handler)
        if not self._in_time(handler):
            self.outbox.release(begun)
            return Outcome(State.OUT_OF_TIME)
        return self.outbox.perform(begun, handler)

    def _catch_up(self, task: Task, outcome: Outcome) -> None:
        """Remove a task whose attempt was made, once what follows from that surely stands."""
        if outcome.state is State.CLAIMED_ELSEWHERE:
            return
        if outcome.state is State.RETRY:
            self.outbox.reschedule(task, outcome.record)
        self.outbox.remove(task)

    def _after(self, task: Task, outcome: Outcome, handler: Handler) -> Outcome:
        """Start again what had ended in a way that a later request need not put up with."""
        tasks = handler.restart(task, outcome.record) if outcome.state is State.ALREADY_ENDED else ()
        self.outbox.enqueue_all(tasks)
        return replace(outcome, next_tasks=tasks)

    def _in_time(self, handler: Handler) -> bool:
        return self.outbox.now() + 1000 * min(handler.needs, self.seconds / 2) <= self.ends

    def _lease(self, task: Task) -> float:
        """Return the handler's lease, or less: no worker outlives its time limit."""
        left = max(0.0, (self.ends - self.outbox.now()) / 1000)
        return max(_SHORTEST_LEASE, min(self.handlers[task.kind].lease, left + _GRACE))


def _results(done: Iterable[_Done]) -> list[Result]:
    return [result for result, _ in done if result is not None]


def _turn(partition: str) -> str:
    """Name the partitions that take turns with others as one: a subscriber's, or all of a kind."""
    kind, _, owner = partition.rpartition("~")[0].partition("~")
    return f"{kind}~{owner}" if kind == TaskKind.DELIVERY.value else kind


def _is_retry(partition: str) -> bool:
    return partition.endswith("~retry")


def _trace(error: Exception) -> list[str] | None:
    return None if isinstance(error, RelayError) else traceback.format_tb(error.__traceback__)
