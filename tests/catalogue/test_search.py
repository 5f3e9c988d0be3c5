"""What the catalogue finds is what somebody finds who reads every row."""

from __future__ import annotations

import random
from typing import Any

import pytest

from shared.catalogue.catalogue import Catalogue
from shared.catalogue.filters import Filters
from shared.catalogue.positions import DAY
from shared.catalogue.sealing import Sealing
from shared.errors import BadInput
from tests.catalogue.world import oracle, pages, publish, random_filters, summary
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import START, Clock, document


def library(rng: random.Random, store: MemoryStore, clock: Clock, jobs: int, days: int) -> list[dict[str, Any]]:
    """Publish jobs over days, seal now and then, and return the truth."""
    truth, sealing = {}, Sealing(store, clock)
    times = sorted(rng.uniform(0, days * 86400) for _ in range(jobs))
    for number, after in enumerate(times):
        clock.now = START + after
        made = summary(rng, f"job-{number}")
        publish(store, made, clock.now)
        truth[made["jobId"]] = made | {"at": int(clock.now * 1000)}
        if rng.random() < 0.05:
            name = rng.choice(list(truth))
            made = summary(rng, name)
            publish(store, made, clock.now, number + 2)
            truth[name] = made | {"at": truth[name]["at"]}
        if rng.random() < 0.1:
            sealing.run(60)
    return list(truth.values())


@pytest.mark.parametrize("seed", range(3))
def test_random_filters_find_what_a_reader_of_all_rows_finds(seed: int) -> None:
    rng, clock = random.Random(seed), Clock()
    store = MemoryStore(clock)
    truth = library(rng, store, clock, 120, 40)
    assert store.under("catalogue/jobs/")
    assert store.under("catalogue/rows/")
    catalogue = Catalogue(store, clock)
    for _ in range(60):
        filters = random_filters(rng, int(START * 1000), 40)
        found = [row.jobId for row in pages(catalogue, filters, rng.choice((7, 50, 200)))]
        assert found == oracle(truth, filters), filters


def test_a_page_says_where_it_ended_and_how_far_back_it_looked() -> None:
    store = MemoryStore(Clock())
    for number in range(5):
        publish(store, document(f"job-{number}"), START + number)
    catalogue = Catalogue(store, lambda: START)
    first = catalogue.search(Filters(), limit=2)
    assert [row.jobId for row in first.rows] == ["job-4", "job-3"]
    assert first.searched_to == first.rows[-1].publishedAt
    assert first.next is not None
    rest = catalogue.search(Filters(), first.next)
    assert [row.jobId for row in rest.rows] == ["job-2", "job-1", "job-0"]
    assert (rest.next, rest.searched_to) == (None, "1970-01-01T00:00:00.000Z")


def test_the_work_of_one_request_is_bounded() -> None:
    store = MemoryStore(Clock())
    for number in range(1500):
        publish(store, document(f"job-{number}"), START)
    before = len(store.calls)
    page = Catalogue(store, lambda: START).search(Filters(person="nobody"))
    assert page.rows == ()
    assert page.next is not None
    assert len(store.calls) - before <= 1100
    assert [row.jobId for row in pages(Catalogue(store, lambda: START), Filters(text="JOB-777"), 50)] == ["job-777"]


def test_what_people_take_for_the_same_is_found() -> None:
    store = MemoryStore(Clock())
    made = document(
        "job", title="ＡＢＣ　Straße", userData="Ａd-1", persons=[{"name": "José\u200b", "category": "", "seenMs": 1}]
    )
    publish(store, made, START)
    catalogue = Catalogue(store, lambda: START)
    for given in (
        {"text": "abc str"},
        {"text": "STRASSE"},
        {"userData": "ad"},
        {"person": "jose\u0301"},
        {"person": "\u202eJOSÉ"},
    ):
        assert len(catalogue.search(Filters.read(given)).rows) == 1, given
    for given in ({"person": "Jos"}, {"userData": "d-1"}, {"text": "%"}, {"text": "J*"}, {"person": "*"}):
        assert catalogue.search(Filters.read(given)).rows == (), given


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"persn": "x"}, "there is no filter 'persn'; the filters are person"),
        ({"person": "x" * 10_000}, "person must have at most 200 characters"),
        ({"text": "a\x00b"}, "text must hold no control characters"),
        ({"text": "a\nb"}, "no ends of lines"),
        ({"status": "success"}, "status must be one of Success, Fail"),
        ({"alert": "*"}, "alert must be one of any, sensitive-person, politician"),
        ({"since": "yesterday"}, "since must be a date such as 2026-11-26"),
        ({"until": "2026-11-26T08:00:00"}, "or a time such as 2026-11-26T08:00:00Z"),
        ({"since": "2026-13-01"}, "since must be a date"),
    ],
)
def test_a_wrong_filter_says_what_to_send_instead(given: dict[str, str], advice: str) -> None:
    with pytest.raises(BadInput, match=advice.replace("*", r"\*")):
        Filters.read(given)


@pytest.mark.parametrize("cursor", ["x", "1", "0" * 14, "8" * 13 + "~a/b.", "8" * 13 + "~a.\n", "٣" * 13, "../" * 9])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(BadInput, match="as next"):
        Catalogue(MemoryStore(Clock())).search(Filters(), cursor)


def test_a_date_names_the_whole_day() -> None:
    filters = Filters.read({"since": "2026-11-26", "until": "2026-11-26", "person": " "})
    assert filters.since is not None
    assert filters.until == filters.since + DAY
    assert filters == Filters(since=filters.since, until=filters.until)
    for same in (
        "2026-11-26T08:00:00+08:00",
        "2026-11-26T08:00:00 08:00",
        "2026-11-26t00:00z",
        "2026-11-26T00:00:00.0Z",
    ):
        assert Filters.read({"since": same}) == Filters(since=filters.since)
    assert Filters.read({"since": "0001-01-01T00:00:00+23:59", "until": "9999-12-31"}).since == 0


def test_days_without_jobs_are_passed_over_month_by_month() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    publish(store, document("old"), START - 2 * 365 * 86400)
    Sealing(store, clock).run(60)
    before = len(store.calls)
    assert [row.jobId for row in pages(Catalogue(store, clock), Filters(), 50)] == ["old"]
    assert len(store.calls) - before < 35
