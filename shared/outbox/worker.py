"""Does what is in the outbox: new tasks at once, and in a sweep what is due, side by side, fairly, and over in time."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.errors import RelayError, RetryableError
from shared.logs import log_error
from shared.metrics import note_due, note_outcome
from shared.outbox.outbox import Claimed, Handler, Outbox
from shared.outbox.outcome import Outcome, State
from shared.outbox.partitions import side_by_side
from shared.outbox.task import Task, TaskKind

Handlers = Mapping[TaskKind, Handler]
Result = tuple[Task, Outcome]
_Item = tuple[Task, Claimed | Outcome | None]  # claimed before, or what came of that, or not yet

_SHORTEST_LEASE = 120.0  # seconds; eight times the deadline of a delivery
_GRACE = 30.0  # seconds after its time limit in which a worker may still be ending
_MOST = 1000  # tasks of one partition in memory at a time
_PASSES = 20


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
        run = _Run(self.outbox, self.handlers(), seconds, self.outbox.now() + 1000 * seconds)
        failures: list[tuple[Task, RelayError]] = []

        def begin(task: Task) -> tuple[Task, Claimed | Outcome] | None:
            try:
                return run.begin(task, expedite=task in expedite)
            except RelayError as error:
                failures.append((task, error))
                return None

        threads = self.outbox.threads
        begun = filter(None, side_by_side(new, begin, threads=threads))
        work: list[tuple[str, _Item]] = [(_partition(task), (task, claimed)) for task, claimed in begun]
        results = side_by_side(work, run.work, run.follow, threads=threads)
        if failures:
            raise NotEnqueued(results, failures)
        return results

    def sweep(self, seconds: float) -> dict[str, int]:
        """Do what is due, and what becomes due by that; begin nothing that could outlast ``seconds``.

        Returns:
            How many tasks came to each ``State``.
        """
        run = _Run(self.outbox, self.handlers(), seconds, self.outbox.now() + 1000 * seconds)
        counts: Counter[str] = Counter()
        for _ in range(_PASSES):
            found: list[tuple[str, _Item]] = [
                (_partition(task), (task, None)) for task in sorted(run.due(), key=_order)
            ]
            done = side_by_side(found, run.work, run.follow, threads=self.outbox.threads)
            counts.update(outcome.state.value for _, outcome in done)
            if not found or run.is_over():
                break
        return dict(counts)


@dataclass(frozen=True)
class _Run:
    """One use of the outbox: its handlers, its time, and what it has met."""

    outbox: Outbox
    handlers: Handlers
    seconds: float
    ends: float  # in milliseconds since 1970
    seen: set[str] = field(default_factory=set)  # keys; a set's own operations are atomic
    resting: set[str] = field(default_factory=set)  # partitions

    def is_over(self) -> bool:
        return self.outbox.now() >= self.ends

    def due(self) -> Iterator[Task]:
        """Yield the tasks that are due and that this run has not met."""
        taken: Counter[str] = Counter()
        now, number, oldest = self.outbox.now(), 0, 0.0
        for task in self.outbox.listed(now):
            number, oldest = number + 1, oldest or (now - task.due) / 1000
            known = task.kind in self.handlers and task.key not in self.seen
            if known and _partition(task) not in self.resting and taken[_partition(task)] < _MOST:
                taken[_partition(task)] += 1
                self.seen.add(task.key)
                yield task
        note_due(number, oldest)

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
            self.outbox.enqueue_all(claimed.next_tasks)
        return task, claimed

    def work(self, item: _Item) -> Result:
        """Do one task, claimed before or not; a surprise in it must not cost the others."""
        task, begun = item
        try:
            outcome = self._perform(task, begun)
        except Exception as error:  # noqa: BLE001 - the task stays where it is
            trace = None if isinstance(error, RelayError) else traceback.format_tb(error.__traceback__)
            log_error("outbox.task.failed", error, task=task.key, trace=trace)
            outcome = Outcome(State.FAILED)
        note_outcome(f"{task.kind.value}.{outcome.state.value}")
        return task, outcome

    def follow(self, result: Result) -> Iterator[tuple[str, _Item]]:
        """Yield what follows from a task's end: it is due only later, in case that this worker dies."""
        for task in result[1].next_tasks:
            self.seen.add(task.key)
            yield _partition(task), (task, None)

    def _perform(self, task: Task, begun: Claimed | Outcome | None) -> Outcome:
        handler = self.handlers[task.kind]
        if begun is None:
            if not self._in_time(handler):
                return Outcome(State.OUT_OF_TIME)
            if reason := handler.suspended(task):
                self.resting.add(_partition(task))
                return Outcome.without_attempt(State.SUSPENDED, reason)
            begun = self.outbox.claim(task, self._lease(task))
            if isinstance(begun, Outcome):
                self._catch_up(task, begun)
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


def _partition(task: Task) -> str:
    """Name those whose tasks wait for one another: a subscriber's, or all of a kind; no subscriber has a colon."""
    return task.subscriber or f"{task.kind.value}:"


def _order(task: Task) -> tuple[bool, int]:
    """Sort first attempts before retries, which must not hold them up, and the newest of them before what was held."""
    return (True, task.due) if task.attempt > 1 else (False, -task.due)
