"""Work side by side, fairly: whoever hangs holds up its own lane and nobody else's."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Generic, TypeVar

_T = TypeVar("_T")


class _Lanes(Generic[_T]):
    """Queues served in turn, of which each may have only so many items in work."""

    def __init__(self, items: Iterable[tuple[str, _T]], per_lane: int) -> None:
        self._per_lane = per_lane
        self._lock = threading.Lock()
        self._working: Counter[str] = Counter()
        self._waiting: dict[str, deque[_T]] = {}
        for lane, item in items:
            self._waiting.setdefault(lane, deque()).append(item)
        self._turns = deque(self._waiting)
        self.count = sum(map(len, self._waiting.values()))

    def take(self) -> tuple[str, _T] | None:
        """Return the next item; None once every lane is empty or busy, for then its own workers take the rest."""
        with self._lock:
            for _ in range(len(self._turns)):
                lane = self._turns.popleft()
                if self._working[lane] < self._per_lane:
                    self._working[lane] += 1
                    item = self._waiting[lane].popleft()
                    if self._waiting[lane]:
                        self._turns.append(lane)
                    return lane, item
                self._turns.append(lane)
        return None

    def done(self, lane: str) -> None:
        with self._lock:
            self._working[lane] -= 1


def side_by_side(
    items: Iterable[tuple[str, _T]], work: Callable[[_T], None], *, threads: int = 32, per_lane: int = 4
) -> None:
    """Call ``work``, which must not raise, for every item, and return when all is done.

    Args:
        items: (lane, item); lanes take turns, items of one lane keep their order.
        work: what to do with an item.
        threads: how many items may be in work; with one, or for one item, no thread is started.
        per_lane: how many of one lane may be.
    """
    lanes = _Lanes(items, per_lane)

    def serve() -> None:
        while taken := lanes.take():
            lane, item = taken
            try:
                work(item)
            finally:
                lanes.done(lane)

    crew = [
        threading.Thread(target=copy_context().run, args=(serve,), daemon=True)
        for _ in range(min(threads, lanes.count) - 1)
    ]
    for thread in crew:
        thread.start()
    serve()
    for thread in crew:
        thread.join()
