"""How much is done at once: the account's 100 QuerySmarttagJob calls per second are shared by all its callers.

Source of the 100: the quota in the vendor's API metadata. Several instances may run, so each takes a part.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.http.problems import Busy


class Limiter:
    """At most ``slots`` at once and ``per_second`` starts a second, after a burst of ``burst``.

    Args:
        clock: seconds, monotonic.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        slots: int = 24,
        per_second: float = 60.0,
        burst: int = 20,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._free = threading.BoundedSemaphore(slots)
        self._interval = 1.0 / per_second
        self._burst = burst * self._interval
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, patience: float) -> Iterator[None]:
        """Hold a slot; wait for it for at most ``patience`` seconds, then raise ``Busy``."""
        deadline = self._clock() + patience
        if not self._free.acquire(timeout=max(0.0, patience)):
            raise Busy("every slot for queries is taken", retry_after=2)
        try:
            self._sleep(self._turn(deadline))
            yield
        finally:
            self._free.release()

    def _turn(self, deadline: float) -> float:
        """Take the next start time and return the seconds until then; take none if it lies behind the deadline."""
        with self._lock:
            now = self._clock()
            start = max(self._next, now - self._burst)
            if start > max(deadline, now):
                raise Busy("the rate of queries is used up", retry_after=start - now)
            self._next = start + self._interval
        return max(0.0, start - now)
