"""The one retry loop: a deadline, a number of attempts, full jitter between them, and what the other side asks for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from shared.errors import RelayError, RetryableError

_LEAST = 0.2  # seconds an attempt must have to be worth making
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes: monotonic seconds, waiting, and a random factor in [0, 1)."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, for one wait and for all attempts together; how many attempts; seconds of the first pause.

    A pause is twice the one before it, multiplied by a random factor below 1, and at least what the service asks for.
    """

    connect: float = 3.0
    read: float = 10.0
    total: float = 25.0
    attempts: int = 4
    backoff: float = 0.2


def retry(attempt: Callable[[float, float], _T], limits: Limits, pace: Pace, no_time: Callable[[], RelayError]) -> _T:
    """Return what an attempt returns, made again while its error is retryable and time is left.

    Args:
        attempt: called with the time by the clock when all must be over, and the seconds one wait may take at most.
        limits: for time and attempts.
        pace: how time passes.
        no_time: makes what is raised where not even one attempt can be made.

    Raises:
        RelayError: the last attempt's, or that of ``no_time``.
    """
    end = pace.clock() + limits.total
    pause = limits.backoff
    error: RelayError | None = None
    for more in range(limits.attempts - 1, -1, -1):
        left = end - pace.clock()
        if left < _LEAST:
            break
        try:
            # Half of what is left, so that one silent connection leaves time for a second.
            return attempt(end, min(limits.read, left / 2 if more else left))
        except RetryableError as failed:
            error = failed
        wait = max(pace.rng() * pause, error.retry_after or 0.0)
        if not more or pace.clock() + wait + _LEAST > end:
            break
        pace.sleep(wait)
        pause *= 2
    raise error or no_time()
