"""Many jobs in one request: each is tried on its own, again while it is worth it and time remains, and then put off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from shared.errors import RetryableError
from shared.http.problems import Busy

_LONGEST_PAUSE = 5.0

Result = dict[str, Any]


class Bulk:
    """Works off bulk requests, one at a time in an instance.

    Args:
        seconds: all the time a request has; the function's own time-out must be longer.
        workers: jobs at once; fewer than the limiter's slots, so that single requests get through.
        pause: between rounds, in seconds, times the number of the round.
        clock: seconds, monotonic.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        seconds: float = 45.0,
        workers: int = 16,
        pause: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds = seconds
        self._workers = workers
        self._unit = pause
        self._clock = clock
        self._sleep = sleep
        self._turn = threading.Lock()

    def run(
        self, job_ids: Sequence[str], one: Callable[[str, float], Result], later: Callable[[str], Result]
    ) -> dict[str, Result | Exception]:
        """Call ``one(job_id, seconds_left)`` for each; return its result or its last error, in the order given.

        ``later(job_id)`` puts off a job that time was too short for.

        Raises:
            Busy: another bulk request is being worked off.
        """
        if not self._turn.acquire(blocking=False):
            raise Busy("another bulk request is being worked off", retry_after=self._seconds / 2)
        try:
            with ThreadPoolExecutor(self._workers) as pool:
                return self._rounds(pool, job_ids, one, later)
        finally:
            self._turn.release()

    def _rounds(
        self,
        pool: ThreadPoolExecutor,
        job_ids: Sequence[str],
        one: Callable[[str, float], Result],
        later: Callable[[str], Result],
    ) -> dict[str, Result | Exception]:
        deadline = self._clock() + self._seconds

        def in_time(job_id: str) -> Result:
            left = deadline - self._clock()
            if left <= 0:
                raise Busy("no time was left for this job in this request", retry_after=5)
            return one(job_id, left)

        done: dict[str, Result | Exception] = {job_id: {} for job_id in job_ids}
        pending, rounds, pause = list(done), 0, 0.0
        while pending and deadline - self._clock() > pause:
            self._sleep(pause)
            done |= _each(pool, in_time, pending)
            errors = {job_id: found for job_id in pending if isinstance(found := done[job_id], RetryableError)}
            rounds += 1
            pending, pause = list(errors), self._pause(rounds, errors.values())
        return done | _each(pool, later, pending)

    def _pause(self, rounds: int, errors: Iterable[RetryableError]) -> float:
        asked = [error.retry_after or 0.0 for error in errors]
        return min(_LONGEST_PAUSE, max([self._unit * rounds, *asked]))


def _each(
    pool: ThreadPoolExecutor, call: Callable[[str], Result], job_ids: Iterable[str]
) -> dict[str, Result | Exception]:
    def guarded(job_id: str) -> Result | Exception:
        try:
            return call(job_id)
        except Exception as error:  # noqa: BLE001 - every job is answered, whatever became of it
            return error

    running = {job_id: pool.submit(copy_context().run, guarded, job_id) for job_id in job_ids}
    return {job_id: future.result() for job_id, future in running.items()}
