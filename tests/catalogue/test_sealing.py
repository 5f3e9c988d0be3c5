"""Finished days become files: whole ones, the same for ever, and nothing is lost whatever happens meanwhile."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from itertools import count
from typing import Any

import orjson
import pytest

from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.row import Row
from shared.catalogue.sealing import MOST_ROWS, Sealing
from shared.errors import Unavailable
from tests.catalogue.world import pages, publish
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Clock, document

DAY = 86400
MIDNIGHT = START - START % DAY  # UTC


def made(job: str, **more: Any) -> dict[str, Any]:
    return document(job, persons=[{"name": "Ada", "category": "celebrity", "seenMs": 5}], **more)


def world(*times: float) -> tuple[MemoryStore, Clock]:
    clock = Clock(MIDNIGHT + DAY + 1000)
    store = MemoryStore(clock)
    for number, at in enumerate(times):
        publish(store, made(f"job-{number}"), at)
    return store, clock


def jobs(store: MemoryStore) -> list[str]:
    return [row.jobId for row in pages(Catalogue(store, lambda: MIDNIGHT + DAY), Filters(), 200)]


def lines(store: MemoryStore, kind: str) -> list[dict[str, Any]]:
    keys = store.under(f"catalogue/{kind}/")
    return [orjson.loads(line) for key in keys for line in gzip.decompress(store.objects[key].body).splitlines()]


def test_a_finished_day_becomes_files_and_today_stays_open() -> None:
    store, clock = world(MIDNIGHT, MIDNIGHT + DAY - 1, MIDNIGHT + DAY, MIDNIGHT - 1)
    assert Sealing(store, clock).run(60) == 3
    assert [key.split("/")[2] for key in store.under("catalogue/jobs/")] == ["dt=2026-09-20", "dt=2026-09-21"]
    assert len(store.under("catalogue/rows/")) == 1
    assert jobs(store) == ["job-2", "job-1", "job-0", "job-3"]
    assert {row["_id"] for row in lines(store, "jobs")} == {"job-0", "job-1", "job-3"}
    assert {row["jobId"] for row in lines(store, "appearances")} == {"job-0", "job-1", "job-3"}
    assert [row["_id"] for row in lines(store, "jobs")][1:] == ["job-1", "job-0"], "newest first within a part"


def test_the_same_rows_give_the_same_files() -> None:
    first, second = world(MIDNIGHT, MIDNIGHT + 5), world(MIDNIGHT, MIDNIGHT + 5)
    for store, clock in (first, second):
        Sealing(store, clock).run(60)
    assert {key: each.body for key, each in first[0].objects.items()} == {
        key: each.body for key, each in second[0].objects.items()
    }


def test_an_idle_sweep_asks_the_store_nothing() -> None:
    store, clock = world(MIDNIGHT)
    sealing = Sealing(store, clock)
    sealing.run(60)
    before = len(store.calls)
    for _ in range(10):
        clock.now += 120
        assert sealing.run(60) == 0
    assert len(store.calls) == before
    clock.now += DAY
    sealing.run(60)
    assert len(store.calls) == before + 1


def test_too_little_time_begins_nothing_and_goes_on_later() -> None:
    store, clock = world(MIDNIGHT)
    sealing = Sealing(store, clock)
    assert sealing.run(10) == 0
    assert sealing.run(30) == 1


def test_clocks_that_disagree_over_midnight_lose_nothing() -> None:
    store, clock = world(MIDNIGHT + DAY - 1)
    Sealing(store, clock).run(60)
    publish(store, made("late"), MIDNIGHT + DAY - 2)  # by a clock that is an hour behind
    publish(store, made("early"), MIDNIGHT + 2 * DAY)  # by one that is a day ahead
    assert jobs(store) == ["early", "job-0", "late"]
    clock.now += 3 * DAY
    Sealing(store, clock).run(60)
    assert store.under("catalogue/rows/") == []
    assert len(store.under("catalogue/jobs/dt=2026-09-21/")) == 2
    assert jobs(store) == ["early", "job-0", "late"]


def test_a_day_of_many_jobs_becomes_several_parts_that_a_search_opens_one_by_one() -> None:
    store, clock = world(*(MIDNIGHT + number / 1000 for number in range(MOST_ROWS + 10)))
    Sealing(store, clock).run(60)
    assert len(store.under("catalogue/jobs/")) == 2
    before = len(store.calls)
    page = Catalogue(store, clock).search(Filters(), limit=20)
    assert [what for what, key in store.calls[before:] if what == "get"] == ["get"]
    assert page.rows[0].jobId == f"job-{MOST_ROWS + 9}"
    assert len(jobs(store)) == MOST_ROWS + 10


class Killed(BaseException):
    """The process ends here."""


def each_step(run: Callable[[MemoryStore, Clock], object], check: Callable[[MemoryStore, Clock], None]) -> int:
    """Kill ``run`` before and after every call of the store, then check the world; return how many steps there were."""
    for step in count():
        store, clock = world(MIDNIGHT, MIDNIGHT + 1, MIDNIGHT + DAY)
        left = [step]

        def gate(_what: str, _key: str, _when: str, left: list[int] = left) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1

        store.gate = gate
        try:
            run(store, clock)
        except Killed:
            left[0] = -1
            check(store, clock)
            continue
        left[0] = -1
        check(store, clock)
        return step
    raise AssertionError


def test_killed_at_every_step_rows_are_there_twice_at_worst() -> None:
    def check(store: MemoryStore, clock: Clock) -> None:
        assert jobs(store) == ["job-2", "job-1", "job-0"]
        Sealing(store, clock).run(60)
        assert jobs(store) == ["job-2", "job-1", "job-0"]
        assert {row["_id"] for row in lines(store, "jobs")} == {"job-0", "job-1"}
        assert {row["jobId"] for row in lines(store, "appearances")} == {"job-0", "job-1"}
        assert len(store.under("catalogue/rows/")) == 1

    assert each_step(lambda store, clock: Sealing(store, clock).run(60), check) > 10


def test_forgotten_jobs_are_nowhere_killed_at_every_step() -> None:
    for before in (lambda _store, _clock: None, lambda store, clock: Sealing(store, clock).run(60)):

        def run(store: MemoryStore, clock: Clock, before: Any = before) -> None:
            gate, store.gate = store.gate, lambda *_: None
            before(store, clock)
            store.gate = gate
            Catalogue(store, clock).forget("job-0")

        def check(store: MemoryStore, clock: Clock) -> None:
            Catalogue(store, clock).forget("job-0")
            Sealing(store, clock).run(60)
            everything = [(key, each.body) for key, each in store.objects.items() if key.startswith("catalogue/")]
            held = b"".join(
                key.encode() + (gzip.decompress(body) if key.endswith("gz") else body) for key, body in everything
            )
            assert b"job-0" not in held
            assert jobs(store) == ["job-2", "job-1"]

        assert each_step(run, check) >= 7


def test_a_job_that_is_forgotten_while_its_day_is_sealed_stays_forgotten() -> None:
    for step in range(60):
        store, clock = world(MIDNIGHT, MIDNIGHT + 1)
        left = [step]

        def gate(_what: str, _key: str, _when: str, left: list[int] = left, store: MemoryStore = store) -> None:
            left[0] -= 1
            if left[0] == -1:
                Catalogue(store).forget("job-0")

        store.gate = gate
        Sealing(store, clock).run(60)
        if left[0] >= 0:
            assert step > 12
            return
        assert jobs(store) == ["job-1"], step
        assert {row["_id"] for row in lines(store, "jobs")} == {"job-1"}


def test_two_sweeps_at_once_lose_nothing() -> None:
    for step in range(60):
        store, clock = world(MIDNIGHT, MIDNIGHT + 1)
        left = [step]

        def gate(
            _what: str, _key: str, _when: str, left: list[int] = left, store: MemoryStore = store, clock: Clock = clock
        ) -> None:
            left[0] -= 1
            if left[0] == -1:
                publish(store, made("late"), MIDNIGHT + 2)
                Sealing(store, clock).run(60)

        store.gate = gate
        Sealing(store, clock).run(60)
        if left[0] >= 0:
            assert step > 12
            return
        assert {"job-0", "job-1"} <= set(jobs(store)), step
        assert {row["_id"] for row in lines(store, "jobs")} >= {"job-0", "job-1"}


def test_a_damaged_part_gives_what_is_whole() -> None:
    store, clock = world(*(MIDNIGHT + number for number in range(50)))
    Sealing(store, clock).run(60)
    (key,) = store.under("catalogue/jobs/")
    whole = store.objects[key].body
    assert len(jobs(store)) == 50
    for cut in (len(whole) - 4, len(whole) // 2, 10, 0):
        store.objects[key].body = whole[:cut]
        assert len(jobs(store)) in ({50} if cut == len(whole) - 4 else range(50))
    store.objects[key].body = whole[:200] + b"\xff" * 40 + whole[240:]
    assert len(jobs(store)) < 50


def test_a_damaged_row_holds_nothing_up() -> None:
    store, clock = world(MIDNIGHT, MIDNIGHT + 1)
    store.load(store.under("catalogue/rows/")[0], b"{", 0)
    store.load("catalogue/rows/not ours", b"{", 0)
    assert Sealing(store, clock).run(60) == 1
    assert jobs(store) == ["job-0"]
    assert len(store.under("catalogue/rows/")) == 2


def test_a_store_that_fails_leaves_the_rest_to_the_next_sweep() -> None:
    store, clock = world(MIDNIGHT)
    sealing = Sealing(store, clock)

    def fails(what: str, _key: str, _when: str) -> None:
        if what == "put":
            raise Unavailable("OSS is away")

    store.gate = fails
    with pytest.raises(Unavailable):
        sealing.run(60)
    store.gate = lambda *_: None
    assert sealing.run(60) == 1


def test_a_row_is_read_as_it_was_written() -> None:
    store, _ = world(MIDNIGHT)
    (key,) = store.under("catalogue/rows/")
    row = Row.from_bytes(store.objects[key].body)
    assert row.to_bytes() == store.objects[key].body
    assert row.to_json()["_id"] == "job-0"
    for wrong in (b"", b"[]", b"null", b'{"jobId":1}', store.objects[key].body.replace(b"2026", b"soon")):
        with pytest.raises(ValueError, match=r"(?i)no row|json|input|isoformat"):
            Row.from_bytes(wrong)
