"""The small parts: keys, the schedule, partitions, the breaker's elections."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Unavailable
from shared.outbox.bucket_queue import BucketQueue
from shared.outbox.outbox import Claimed, Handler, Outbox
from shared.outbox.outcome import Outcome, State
from shared.outbox.partitions import side_by_side
from shared.outbox.records import AttemptKind, Record
from shared.outbox.schedule import GIVE_UP, RETRY_INTERVALS, next_due
from shared.outbox.task import Task, TaskKind, parse_key, redelivery_id
from shared.webhooks.endpoint_health import TRIAL, TRIPS_AT, EndpointHealth, gone_at
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Clock, subscriber

ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
times = st.integers(10**12, 10**13 - 1)
events = st.sampled_from(["succeeded", "failed"])
kinds = st.one_of(
    st.tuples(st.just(TaskKind.PUBLISH), ids, st.sampled_from(["Success", ""]), st.just("")),
    st.tuples(st.just(TaskKind.FAN_OUT), ids, events, st.just("")),
    st.tuples(st.just(TaskKind.DELIVERY), ids, events, ids),
)
tasks = st.builds(
    lambda what, *rest: Task(*what, *rest),
    kinds,
    st.sampled_from(["0", "2", redelivery_id("req")]),
    times,
    times,
    st.integers(1, 200),
)


@given(tasks)
def test_a_task_is_its_key(task: Task) -> None:
    assert parse_key(task.key) == task
    assert len(task.key.encode()) < 255


@given(tasks, tasks)
def test_tasks_of_a_partition_sort_by_due_time(one: Task, other: Task) -> None:
    if one.partition == other.partition and one.due < other.due:
        assert one.key < other.key


@given(tasks)
def test_a_key_of_the_version_before_is_the_same_task_with_its_state_where_that_version_looks(task: Task) -> None:
    older = parse_key(task.older_key)
    assert older == replace(task, older=task.kind is not TaskKind.PUBLISH)
    assert older.prefix.startswith("jobs/")
    assert parse_key(older.key) == older


@pytest.mark.parametrize(
    "key",
    [
        "outbox/readme.txt",
        "outbox/123/x",
        "outbox/0000000000001/a~b~c~d~e~x~1",
        "outbox/0000000000001/delivery~j~succeeded~cms~0~01~+9",
        "outbox/0000000000001/delivery~j~succeeded~~0~01~1790000000000",
        "outbox/0000000000001/delivery~j~~cms~0~01~1790000000000",
        "outbox/0000000000001/fanout~j~~~0~01~1790000000000",
        "outbox/+000000000001/delivery~j~succeeded~cms~0~01~9",
        "outbox/0000000000001/delivery~../j~succeeded~cms~0~01~9",
        "outbox/0000000000001/delivery~j~succeeded~cms~0~\u0660\u0661~9",
    ],
)
def test_what_somebody_else_put_into_the_outbox_is_no_task(key: str) -> None:
    assert parse_key(key) is None


@given(tasks, times, st.one_of(st.none(), st.floats(0, 1e12)), st.integers(0, 2**32))
def test_the_next_attempt_is_never_early_never_over_a_day_and_a_fifth_away(
    task: Task, tried: int, retry_after: float | None, seed: int
) -> None:
    due = next_due(task, tried, retry_after, random.Random(seed))
    if task.kind is TaskKind.FAN_OUT:
        assert due is not None
        assert 60_000 <= due - tried <= 86_400_000
    elif task.attempt > len(RETRY_INTERVALS) or tried - task.enqueued_at >= GIVE_UP * 1000:
        assert due is None
    else:
        assert due is not None
        wait = (due - tried) / 1000
        assert wait >= min(RETRY_INTERVALS[task.attempt - 1], 86400)
        assert wait >= min(retry_after or 0, 86400) - 0.001
        assert wait <= max(RETRY_INTERVALS[task.attempt - 1] * 1.2, min(retry_after or 0, 86400)) + 0.001


def test_partitions_take_turns_and_keep_their_order() -> None:
    done: list[str] = []
    items = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("c", "c2")]
    side_by_side(items, done.append, threads=1)
    assert done == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_partitions_are_bounded_overall_and_each_and_everything_is_done() -> None:
    lock = threading.Lock()
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    done = Counter[str]()

    def work(partition: str) -> None:
        with lock:
            now[partition] += 1
            now["all"] += 1
            most[partition] = max(most[partition], now[partition])
            most["all"] = max(most["all"], now["all"])
        threading.Event().wait(0.002)
        with lock:
            now[partition] -= 1
            now["all"] -= 1
            done[partition] += 1

    side_by_side([(partition, partition) for partition in "aaaaabbbbbcdefgh" * 10], work, threads=6, per_partition=2)
    assert done == Counter("aaaaabbbbbcdefgh" * 10)
    assert most["all"] <= 6
    assert max(most[partition] for partition in "abcdefgh") <= 2


def test_the_state_of_the_invocation_follows_into_the_threads() -> None:
    from contextvars import ContextVar

    request: ContextVar[str] = ContextVar("request")
    request.set("r1")
    seen: list[str] = []
    side_by_side([(str(n), n) for n in range(8)], lambda _: seen.append(request.get()), threads=4)
    assert seen == ["r1"] * 8


ATTEMPT = Task(TaskKind.DELIVERY, "job", "succeeded", "a", "0", int(START * 1000) + 10**6, 0)


def tripped(store: MemoryStore, clock: Clock) -> None:
    health = EndpointHealth(store, clock)
    for _ in range(TRIPS_AT):
        health.note(ATTEMPT, "https://a", Record(AttemptKind.FAILED))


def test_deliveries_that_begin_together_look_for_the_troubled_once() -> None:
    """Python 3.12 has no lock in cached_property any more."""
    listed: list[str] = []
    both = threading.Barrier(2)

    class Slow(MemoryStore):
        def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
            listed.append(prefix)
            with suppress(threading.BrokenBarrierError):
                both.wait(0.2)  # as long as another could come
            return super().list(prefix, start_after)

    clock = Clock()
    health = EndpointHealth(Slow(clock), clock)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda name: health.is_gone(name, "https://a"), "ab")) == [False, False]
    assert listed == ["subscribers/"]


def test_a_failure_that_was_recorded_is_followed_up_at_once_and_not_after_the_lease() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    outbox = Outbox(store, BucketQueue(store), clock, random.Random(1))
    task = Task(TaskKind.DELIVERY, "job", "succeeded", "cms", "0", outbox.now(), outbox.now())
    outbox.enqueue(task)
    claimed = outbox.claim(task, 120.0)
    assert isinstance(claimed, Claimed)
    outcome = outbox.perform(claimed, Fails())
    outbox.enqueue(task)  # as if the worker had died just after it recorded the failure
    (following,) = (each for each in outbox.listed() if each != task)
    outbox.remove(following)
    again = outbox.claim(task, 120.0)
    assert isinstance(again, Outcome)
    assert again.state is State.RETRY, "this attempt has been made"
    outbox.reschedule(task, again.record)
    outbox.remove(task)
    assert list(outbox.listed()) == [following]
    assert following.attempt == 2
    assert following.due == outcome.record.next


class Fails(Handler):
    lease = 120.0
    needs = 20.0

    def run(self, task: Task) -> Outcome:
        return Outcome(State.RETRY, Record(kind=AttemptKind.FAILED, error=f"{task.job_id} failed"))


def test_of_all_workers_one_probes_in_each_window() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    tripped(store, clock)
    for _ in range(3):
        clock.now += TRIAL
        workers = [EndpointHealth(store, clock) for _ in range(5)]
        assert Counter(worker.allows(ATTEMPT) for worker in workers) == {True: 1, False: 4}
        assert len(store.under("subscribers/a/trial-")) == 1, "probes of earlier windows are cleared away"


def test_a_probe_that_dies_blocks_nobody_after_its_window() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    tripped(store, clock)
    clock.now += TRIAL
    assert EndpointHealth(store, clock).allows(ATTEMPT)
    clock.now += TRIAL
    assert EndpointHealth(store, clock).allows(ATTEMPT)


def test_a_store_that_does_not_answer_costs_advice_and_nothing_else() -> None:
    clock = Clock()

    def down(*_: str) -> None:
        raise Unavailable("OSS is down")

    health = EndpointHealth(MemoryStore(clock, down), clock)
    assert health.allows(ATTEMPT)
    for kind in (AttemptKind.FAILED, AttemptKind.GONE, AttemptKind.DELIVERED):
        health.note(ATTEMPT, "https://a", gone_at(subscriber("a"), Record(kind)))
    assert health.allows(ATTEMPT)


@pytest.mark.parametrize(
    ("status", "up"), [(400, True), (404, True), (422, True), (408, False), (429, False), (500, False)]
)
def test_who_says_no_is_up_and_who_fails_is_not(status: int, *, up: bool) -> None:
    clock = Clock()
    health = EndpointHealth(MemoryStore(clock), clock)
    for _ in range(TRIPS_AT + 1):
        health.note(ATTEMPT, "https://a", Record(AttemptKind.FAILED, status=status))
    assert health.allows(ATTEMPT) is up


def test_retries_that_fail_and_fail_spare_the_endpoint_for_this_run_and_hold_up_no_first_attempt() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    retry = replace(ATTEMPT, attempt=2)
    health = EndpointHealth(store, clock)
    for _ in range(300):
        health.note(retry, "https://a", Record(AttemptKind.FAILED, status=500))
    assert not health.allows(retry)
    assert health.allows(ATTEMPT)
    assert EndpointHealth(store, clock).allows(retry), "another run tries again"
    assert store.under("subscribers/") == []
