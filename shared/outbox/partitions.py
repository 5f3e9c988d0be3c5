"""Work side by side, fairly: whoever hangs holds up its own lane and nobody else's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import TypeVar

_T = TypeVar("_T")


def side_by_side(
    items: Iterable[tuple[str, _T]], work: Callable[[_T], None], *, threads: int = 32, per_lane: int = 4
) -> None:
    """Call ``work`` for every item and return when all is done; then raise the first error, if any was raised.

    Args:
        items: (lane, item); lanes take turns, items of one lane keep their order.
        work: what to do with an item.
        threads: how many items may be in work; with one, or for one item, no thread is started.
        per_lane: how many of one lane may be.
    """
    lanes: dict[str, deque[_T]] = {}
    for lane, item in items:
        lanes.setdefault(lane, deque()).append(item)
    # A turn is a lane's right to have one item in work; it is given back when that is done.
    turns = deque(lane for turn in range(per_lane) for lane, waiting in lanes.items() if turn < len(waiting))
    failures: list[Exception] = []

    def serve() -> None:
        while turns:  # else all that waits is for those who hold its lane's turns
            try:
                lane = turns.popleft()
                item = lanes[lane].popleft()
            except IndexError:  # another thread was quicker, or nothing waits in this lane any more
                continue
            try:
                work(item)
            except Exception as error:  # noqa: BLE001 - raised below, once the others have had their turn
                failures.append(error)
            turns.append(lane)

    count = min(threads, sum(map(len, lanes.values())))
    crew = [threading.Thread(target=copy_context().run, args=(serve,), daemon=True) for _ in range(count - 1)]
    for thread in crew:
        thread.start()
    serve()
    for thread in crew:
        thread.join()
    if failures:
        raise failures[0]
