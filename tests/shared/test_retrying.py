"""The retry loop in virtual time, whatever the attempts do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import AccessRefused, RetryableError, Throttled, TimedOut, Unavailable
from shared.retrying import Limits, Pace, retry

NO_TIME = TimedOut("no time was left")


@dataclass
class Attempts:
    """Each takes some seconds, then fails with an error or succeeds with None."""

    plan: list[tuple[float, RetryableError | None]]
    factor: float = 1.0
    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    seen: list[tuple[float, float]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    def __call__(self, end: float, patience: float) -> int:
        self.seen.append((end, patience))
        self.starts.append(self.now)
        seconds, error = self.plan[min(len(self.seen), len(self.plan)) - 1]
        self.now += min(seconds, patience)
        if error is not None:
            raise error
        return len(self.seen)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def run(self, limits: Limits) -> int:
        return retry(self, limits, Pace(lambda: self.now, self.sleep, lambda: self.factor), lambda: NO_TIME)


failures = st.one_of(
    st.builds(Unavailable, st.just("down")),
    st.builds(Throttled, st.just("slow down"), retry_after=st.none() | st.floats(0, 60)),
)
limits_of_all_kinds = st.builds(
    Limits,
    read=st.floats(0.1, 60),
    total=st.floats(0, 60),
    attempts=st.integers(1, 8),
    backoff=st.floats(0.001, 5),
)


@given(
    st.lists(st.tuples(st.floats(0, 20), failures), min_size=1, max_size=8),
    st.integers(0, 9),
    limits_of_all_kinds,
    st.floats(0, 1),
)
def test_time_and_attempts_are_bounded(
    failed: list[tuple[float, RetryableError]], successes: int, limits: Limits, factor: float
) -> None:
    attempts = Attempts([*failed, *([(0.0, None)] if successes else [])], factor)
    end = attempts.now + limits.total
    result, raised = None, None
    try:
        result = attempts.run(limits)
    except RetryableError as error:
        raised = error
    made = len(attempts.seen)
    if raised is None:
        assert result == made == len(failed) + 1
    else:
        assert raised is (failed[min(made, len(failed)) - 1][1] if made else NO_TIME)
        assert raised.__context__ is None
    assert len(attempts.seen) <= limits.attempts
    assert attempts.now <= end + 1e-6
    assert len(attempts.slept) == max(0, len(attempts.seen) - 1)
    for index, (pause, (_, error)) in enumerate(zip(attempts.slept, attempts.plan, strict=False)):
        assert error is not None
        assert pause == pytest.approx(max(factor * limits.backoff * 2**index, error.retry_after or 0))
    for start, (told, patience) in zip(attempts.starts, attempts.seen, strict=True):
        assert told == end
        assert 0 < patience <= min(limits.read, end - start)


def test_an_attempt_that_hangs_leaves_time_for_another_and_the_last_has_all_of_it() -> None:
    attempts = Attempts([(99, Unavailable("silence"))])
    with pytest.raises(Unavailable):
        attempts.run(Limits(read=99, total=16, attempts=3, backoff=0))
    assert [patience for _, patience in attempts.seen] == [8, 4, 4]


def test_what_time_does_not_cure_is_not_tried_again() -> None:
    def refused(_end: float, _patience: float) -> None:
        raise error

    error, slept = AccessRefused("no"), []
    with pytest.raises(AccessRefused):
        retry(refused, Limits(), Pace(sleep=slept.append), lambda: NO_TIME)
    assert slept == []
