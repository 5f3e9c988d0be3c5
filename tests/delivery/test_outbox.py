"""The small parts: keys, the schedule, lanes, the breaker's elections."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import keys
from shared.errors import Unavailable
from shared.keys import Owed
from shared.outbox.outbox import GIVE_UP, SCHEDULE, Outbox, Verdict, next_due
from shared.outbox.partitions import side_by_side
from shared.webhooks.endpoint_health import TRIPS_AT, WINDOW, EndpointHealth
from tests.delivery.memory_store import MemoryStore
from tests.delivery.support import Clock

ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
times = st.integers(10**12, 10**13 - 1)
owings = st.builds(
    Owed,
    st.sampled_from([keys.PUBLISH, keys.FAN_OUT, keys.DELIVERY]),
    ids,
    st.sampled_from(["succeeded", "failed", ""]),
    ids,
    st.sampled_from(["0", keys.round_name("req")]),
    times,
    times,
    st.integers(1, 200),
)


@given(owings)
def test_an_entry_is_its_key(owed: Owed) -> None:
    assert keys.parse_owed(owed.key) == owed
    assert len(owed.key.encode()) < 255


@given(owings, owings)
def test_entries_sort_by_due_time(one: Owed, other: Owed) -> None:
    if one.due < other.due:
        assert one.key < other.key


@pytest.mark.parametrize("key", ["outbox/readme.txt", "outbox/123/x", "outbox/0000000000001/a~b~c~d~e~x~1"])
def test_what_somebody_else_put_into_the_outbox_is_no_entry(key: str) -> None:
    assert keys.parse_owed(key) is None


@given(owings, times, st.one_of(st.none(), st.floats(0, 1e12)), st.integers(0, 2**32))
def test_the_next_attempt_is_never_early_never_over_a_day_and_a_fifth_away(
    owed: Owed, tried: int, retry_after: float | None, seed: int
) -> None:
    due = next_due(owed, tried, retry_after, random.Random(seed))
    if owed.kind == keys.FAN_OUT:
        assert due is not None
        assert 60_000 <= due - tried <= 86_400_000
    elif owed.number > len(SCHEDULE) or tried - owed.since >= GIVE_UP * 1000:
        assert due is None
    else:
        assert due is not None
        wait = (due - tried) / 1000
        assert wait >= min(SCHEDULE[owed.number - 1], 86400)
        assert wait >= min(retry_after or 0, 86400) - 0.001
        assert wait <= max(SCHEDULE[owed.number - 1] * 1.2, min(retry_after or 0, 86400)) + 0.001


def test_lanes_take_turns_and_keep_their_order() -> None:
    done: list[str] = []
    items = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("c", "c2")]
    side_by_side(items, done.append, threads=1)
    assert done == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_lanes_are_bounded_overall_and_each_and_everything_is_done() -> None:
    lock = threading.Lock()
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    done = Counter[str]()

    def work(lane: str) -> None:
        with lock:
            now[lane] += 1
            now["all"] += 1
            most[lane] = max(most[lane], now[lane])
            most["all"] = max(most["all"], now["all"])
        threading.Event().wait(0.002)
        with lock:
            now[lane] -= 1
            now["all"] -= 1
            done[lane] += 1

    side_by_side([(lane, lane) for lane in "aaaaabbbbbcdefgh" * 10], work, threads=6, per_lane=2)
    assert done == Counter("aaaaabbbbbcdefgh" * 10)
    assert most["all"] <= 6
    assert max(most[lane] for lane in "abcdefgh") <= 2


def test_the_state_of_the_invocation_follows_into_the_threads() -> None:
    from contextvars import ContextVar

    request: ContextVar[str] = ContextVar("request")
    request.set("r1")
    seen: list[str] = []
    side_by_side([(str(n), n) for n in range(8)], lambda _: seen.append(request.get()), threads=4)
    assert seen == ["r1"] * 8


def tripped(store: MemoryStore, clock: Clock) -> None:
    breakers = EndpointHealth(store, clock)
    for _ in range(TRIPS_AT):
        breakers.note("a", "https://a", "failed")


def test_a_failure_that_was_recorded_is_followed_up_at_once_and_not_after_the_lease() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    outbox = Outbox(store, clock, random.Random(1))
    owed = Owed(keys.DELIVERY, "job", "succeeded", "cms", "0", outbox.now(), outbox.now())
    outbox.owe(owed)
    verdict = outbox.step(owed, lambda: Verdict("again", {"kind": "failed"}))
    outbox.owe(owed)  # as if the worker had died just after it recorded the failure
    (following,) = (entry for entry in outbox.listed() if entry != owed)
    outbox.strike(following)
    assert outbox.step(owed, lambda: Verdict("delivered")).state == "again", "this attempt has been made"
    assert list(outbox.listed()) == [following]
    assert following.number == 2
    assert following.due == verdict.record["next"]


def test_of_all_workers_one_probes_in_each_window() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    tripped(store, clock)
    for _ in range(3):
        clock.now += WINDOW
        workers = [EndpointHealth(store, clock) for _ in range(5)]
        assert Counter(worker.allows("a") for worker in workers) == {True: 1, False: 4}
        assert len(store.under("subscribers/a/probe-")) == 1, "probes of earlier windows are cleared away"


def test_a_probe_that_dies_blocks_nobody_after_its_window() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    tripped(store, clock)
    clock.now += WINDOW
    assert EndpointHealth(store, clock).allows("a")
    clock.now += WINDOW
    assert EndpointHealth(store, clock).allows("a")


def test_a_store_that_does_not_answer_costs_advice_and_nothing_else() -> None:
    clock = Clock()

    def down(*_: str) -> None:
        raise Unavailable("OSS is down")

    breakers = EndpointHealth(MemoryStore(clock, down), clock)
    assert breakers.allows("a")
    for kind in ("failed", "gone", "delivered"):
        breakers.note("a", "https://a", kind)
    assert breakers.allows("a")
