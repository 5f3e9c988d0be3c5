"""Tasks that wait in the bucket: their keys are listed, and no object is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from shared.errors import RelayError
from shared.outbox.partitions import side_by_side
from shared.outbox.task import OUTBOX, Task, parse_key
from shared.outbox.task_queue import Batch
from shared.storage import ObjectStore

_HELD = f"{OUTBOX}held~"
_WINDOW = 30_000  # ms that a lease on a partition is for; less than from one timer to the next
_OLDEST = 200  # tasks in a batch: few enough to be done in a window as a rule
_LATEST = 1000  # keys in one listing request
_RECENT = 60_000  # ms
_MOVED = 20_000  # tasks of the version before that one sweep moves
_BEHIND_DIGITS = f"{OUTBOX}:"


class BucketQueue:
    """A ``TaskQueue`` below ``outbox/``: ``<partition>/<due>~...``, and ``held~<partition>~<window>`` beside them.

    One list of the folder tells which partitions there are and which are held, so an idle sweep costs one call.
    """

    def __init__(self, store: ObjectStore, threads: int = 32) -> None:
        """Keep tasks in ``store``, one that asks again where an answer may have been lost."""
        self._store = store
        self._threads = threads

    def add(self, task: Task) -> None:
        """See ``TaskQueue.add``."""
        self._store.put(task.key, b"{}")

    def remove(self, task: Task) -> None:
        """See ``TaskQueue.remove``."""
        self._store.delete(task.key)

    def partitions(self, now: int) -> list[str]:
        """See ``TaskQueue.partitions``; leases that are over are removed, and what the version before left is moved."""
        found: list[str] = []
        held: set[str] = set()
        for key in self._children(now):
            if key.endswith("/"):
                found.append(key[len(OUTBOX) : -1])
            elif key.startswith(_HELD):
                partition, _, window = key[len(_HELD) :].rpartition("~")
                if window == str(now // _WINDOW):
                    held.add(partition)
                elif window.isdecimal() and int(window) < now // _WINDOW - 1:
                    with suppress(RelayError):  # the next sweep meets it again
                        self._store.delete(key)
        return [each for each in found if each not in held]

    def due(self, partition: str, now: int, after: str = "") -> Batch:
        """See ``TaskQueue.due``; costs one listing request, two where the first is full."""
        folder, end = f"{OUTBOX}{partition}/", f"{OUTBOX}{partition}/{now + 1:013d}"
        oldest = list(islice(self._store.list(folder, after), _OLDEST))
        goes_on, latest = len(oldest) == _OLDEST and oldest[-1] < end, list[str]()
        if goes_on and not after:
            latest = list(islice(self._store.list(folder, f"{folder}{now - _RECENT:013d}"), _LATEST))
        tasks = (parse_key(key) for key in dict.fromkeys(oldest + latest) if key < end)
        return Batch(tuple(filter(None, tasks)), oldest[-1] if goes_on else "")

    def hold(self, partition: str, now: int, worker: str) -> str:
        """See ``TaskQueue.hold``."""
        lease = f"{_HELD}{partition}~{now // _WINDOW}"
        return lease if self._store.create(lease, worker.encode()) else ""

    def let_go(self, lease: str) -> None:
        """See ``TaskQueue.let_go``."""
        self._store.delete(lease)

    def waiting(self) -> Iterator[Task]:
        """See ``TaskQueue.waiting``."""
        return filter(None, map(parse_key, self._store.list(OUTBOX)))

    def _children(self, now: int) -> Iterator[str]:
        """Yield what lies directly in the folder, once what the version before left there has been moved."""
        children = self._store.children(OUTBOX)
        first = next(children, None)
        if first is not None and first < _BEHIND_DIGITS:
            self._move_older(now)
            first, children = None, self._store.children(OUTBOX, _BEHIND_DIGITS)
        if first is not None:
            yield first
        yield from children

    def _move_older(self, now: int) -> None:
        """Move what is due under keys of the version before, which begin with the time, into its partition."""

        def move(key: str) -> None:
            if (task := parse_key(key)) is not None:
                self.add(task)
                self._store.delete(key)

        end = f"{OUTBOX}{now:013d}~"
        older: list[tuple[str, str]] = []
        for key in islice(self._store.list(OUTBOX), _MOVED):
            if key > end:
                break
            older.append((key, key))
        side_by_side(older, move, threads=self._threads)
