"""Work side by side, fairly: whoever hangs holds up its own partition and nobody else's."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Generic, TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")
Item = tuple[str, _T]  # the name of its partition, and what is to be done


def side_by_side(
    items: Iterable[Item[_T]],
    work: Callable[[_T], _R],
    follow: Callable[[_R], Iterable[Item[_T]]] | None = None,
    *,
    threads: int = 32,
    per_partition: int = 4,
) -> list[_R]:
    """Call ``work`` for every item and for every item that follows from its result; return all results.

    Partitions take turns, and items of one partition keep their order. Once all is done, the first error that was
    raised is raised, if there was one.

    Args:
        items: what there is at first.
        work: what to do with one.
        follow: what is to be done because of a result.
        threads: how many items may be in work; none is started that would have nothing to do.
        per_partition: how many of one partition may be.
    """
    crew = _Crew(work, follow, threads, per_partition)
    crew.add(items)
    crew.serve()
    for thread in crew.started:
        thread.join()
    if crew.failures:
        raise crew.failures[0]
    return crew.results


class _Crew(Generic[_T, _R]):
    def __init__(
        self,
        work: Callable[[_T], _R],
        follow: Callable[[_R], Iterable[Item[_T]]] | None,
        threads: int,
        per_partition: int,
    ) -> None:
        self._work = work
        self._follow = follow
        self._threads = threads
        self._per_partition = per_partition
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[_T]] = {}
        self._turns: deque[str] = deque()  # partitions in which something may begin; one turn for each
        self._busy: Counter[str] = Counter()
        self.started: list[threading.Thread] = []
        self.results: list[_R] = []
        self.failures: list[Exception] = []

    def add(self, items: Iterable[Item[_T]]) -> None:
        with self._changed:
            for partition, item in items:
                waiting = self._waiting.setdefault(partition, deque())
                waiting.append(item)
                if len(waiting) == 1 and self._busy[partition] < self._per_partition:
                    self._turns.append(partition)
            self._changed.notify_all()

    def serve(self) -> None:
        """Work until nothing is waiting and nothing in work could bring more."""
        while (found := self._take()) is not None:
            partition, item = found
            try:
                result = self._work(item)
                more = list(self._follow(result)) if self._follow else []
            except Exception as error:  # noqa: BLE001 - raised once the others have had their turn
                self.failures.append(error)
            else:
                self.results.append(result)
                self.add(more)
            self._give_back(partition)

    def _take(self) -> Item[_T] | None:
        with self._changed:
            while not self._turns:
                if not self._busy.total():
                    return None
                self._changed.wait()
            partition = self._turns.popleft()
            item = self._waiting[partition].popleft()
            self._busy[partition] += 1
            if self._waiting[partition] and self._busy[partition] < self._per_partition:
                self._turns.append(partition)
            if self._turns and len(self.started) + 1 < self._threads:
                self._start()
            return partition, item

    def _give_back(self, partition: str) -> None:
        with self._changed:
            was_full = self._busy[partition] == self._per_partition
            self._busy[partition] -= 1
            if was_full and self._waiting[partition]:
                self._turns.append(partition)
            self._changed.notify_all()

    def _start(self) -> None:
        # Each begins with the state of the invocation, such as the request ID of its log lines.
        thread = threading.Thread(target=copy_context().run, args=(self.serve,), daemon=True)
        self.started.append(thread)
        thread.start()
