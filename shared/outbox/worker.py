"""One sweep of the outbox: what is due, side by side, fairly, and over in time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

from shared.keys import DELIVERY, FAN_OUT, PUBLISH, Owed
from shared.outbox.outbox import Outbox
from shared.outbox.partitions import side_by_side

_NEEDS = {DELIVERY: 20.0, FAN_OUT: 10.0, PUBLISH: 60.0}  # seconds that must be left to begin one
_MOST = 1000  # entries of one lane in memory at a time
_PASSES = 20


def sweep(outbox: Outbox, do: Callable[[Owed], str], seconds: float, threads: int) -> dict[str, int]:
    """Go through what is due, and through what becomes due by that, for ``seconds`` at most.

    Args:
        outbox: what is owed.
        do: does what an entry asks for and returns what came of it. ``held``: so is all that waits in the same lane.
        seconds: nothing is begun that could outlast them.
        threads: how many entries at a time.

    Returns:
        How many entries came to what ``do`` said; ``left``: no time.
    """
    ends = outbox.now() + 1000 * seconds
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    held: set[str] = set()
    lock = threading.Lock()

    def work(owed: Owed) -> None:
        in_time = outbox.now() + 1000 * min(_NEEDS[owed.kind], seconds / 2) <= ends
        state = do(owed) if in_time else "left"
        with lock:
            counts[state] += 1
            if state == "held":
                held.add(_lane(owed))

    def due() -> Iterator[tuple[str, Owed]]:
        lanes: Counter[str] = Counter()
        for owed in outbox.listed(outbox.now()):
            lane = _lane(owed)
            if lane not in held and owed.key not in seen and owed.kind in _NEEDS and lanes[lane] < _MOST:
                lanes[lane] += 1
                seen.add(owed.key)
                yield lane, owed

    for _ in range(_PASSES):
        found = list(due())
        side_by_side(found, work, threads=threads)
        if not found or outbox.now() >= ends:
            break
    return dict(counts)


def _lane(owed: Owed) -> str:
    return owed.subscriber or f"{owed.kind}:"  # no subscriber has a colon
