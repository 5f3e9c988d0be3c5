"""Nobody dies silently: what operators hear of retries, refusals, delays and deaths, and who has time to come back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.errors import AccessRefused, BadInput, RelayError, Throttled
from shared.webhooks.subscribers import Subscriber, Subscribers
from tests.fakes.memory_store import open_gate
from tests.fakes.node import World, reader, subscriber
from tests.fakes.receivers import FAILED, GONE, OK

HOUR = 3600.0
REFUSED = AccessRefused("MPS answered 403 Forbidden: let the function's role call mts:QuerySmarttagJob")


class Killed(BaseException):
    """The platform ended the worker, for want of memory."""


class Lines(logging.Handler):
    """What is logged, with its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append((record.levelname, record.getMessage(), getattr(record, "fields", {})))

    def of(self, event: str) -> list[tuple[str, dict[str, Any]]]:
        return [(level, fields) for level, name, fields in self.found if name == event]


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, keep = logging.getLogger("smarttag"), Lines()
    logger.addHandler(keep)
    yield keep
    logger.removeHandler(keep)


def fails(*errors: BaseException) -> Callable[[str, str, str], None]:
    """Return a publication that raises these one after the other, and then goes well."""
    left = list(errors)

    def publish(_job: str, _reported: str, _series: str) -> None:
        if left:
            raise left.pop(0)

    return publish


def live(world: World, work: Callable[[], object]) -> None:
    """Let a worker do it; what it holds when it is killed stays."""
    try:
        work()
    except Killed:
        world.clock.now += 60


def test_what_kills_its_worker_three_times_is_a_dead_letter_that_names_memory(lines: Lines) -> None:
    world = World(reader(subscriber("a")), publish=fails(*[Killed()] * 9))
    live(world, world.tell)
    for _ in range(20):
        live(world, lambda: world.sweep(300))
    assert world.letters == ["jobs/job1"]
    assert "want of memory" in world.reason("jobs/job1")
    assert [each["kind"] for each in world.one.dead.show("jobs/job1")["attempts"]] == ["lost"] * 3
    assert world.waiting == []
    ((level, fields),) = lines.of("outbox.dead")
    assert (level, fields["jobId"]) == ("ERROR", "job1")


def test_two_deaths_and_other_failures_are_not_three_deaths() -> None:
    errors = (Killed(), Throttled("slow down"), Killed(), Throttled("slow down"), Throttled("slow down"))
    world = World(reader(subscriber("a")), publish=fails(*errors))
    live(world, world.tell)
    for _ in range(60):
        live(world, lambda: world.sweep(1000))
    assert world.letters == []
    assert len(world.receivers.accepted) == 1


def test_the_death_of_a_worker_over_a_delivery_counts_as_an_attempt_and_no_more() -> None:
    world = World(reader(subscriber("a")))
    deaths = iter([True] * 5)

    def gate(_what: str, _who: str, when: str) -> None:
        if when == "before" and next(deaths, False):
            raise Killed

    world.receivers.gate = gate
    live(world, world.tell)
    for _ in range(80):
        live(world, lambda: world.sweep(1000))
    assert (world.letters, len(world.receivers.accepted)) == ([], 1)


@pytest.mark.parametrize(
    ("errors", "alarms"),
    [
        ([REFUSED, REFUSED], 0),
        ([REFUSED, REFUSED, REFUSED], 1),
        ([REFUSED, REFUSED, REFUSED, REFUSED], 2),
        ([REFUSED, REFUSED, Throttled("slow down"), REFUSED, REFUSED], 0),
    ],
)
def test_the_third_refusal_in_a_row_is_an_error_that_names_the_right_and_the_work_is_kept(
    errors: list[RelayError], alarms: int, lines: Lines
) -> None:
    world = World(reader(subscriber("a")), publish=fails(*errors))
    world.tell()
    while world.waiting:
        world.sweep(3 * HOUR)
    assert len(world.receivers.accepted) == 1
    assert world.letters == []
    refused = lines.of("access.refused")
    assert [level for level, _ in refused] == ["ERROR"] * alarms
    assert all("mts:QuerySmarttagJob" in fields["reason"] for _, fields in refused)
    retries = lines.of("outbox.retry")
    assert [level for level, _ in retries] == ["WARNING"] * len(errors)
    assert all(fields["reason"] and fields["next"] for _, fields in retries)


def test_a_sweep_warns_once_if_something_has_been_due_for_over_ten_minutes(lines: Lines) -> None:
    world = World(reader(subscriber("a"), subscriber("b")), lambda _who, _before: FAILED)
    for number in range(3):
        world.tell(f"job{number}")
    world.sweep(60 + 590)
    assert lines.of("outbox.late") == []
    world.sweep(HOUR)
    ((level, fields),) = lines.of("outbox.late")
    assert level == "WARNING"
    assert fields["seconds"] > 600
    assert fields["partitions"]


def test_a_subscriber_that_is_missing_for_a_moment_loses_nothing(lines: Lines) -> None:
    current: list[Subscriber] = [subscriber("a"), subscriber("b")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, before: FAILED if before == 0 else OK)
    world.tell()
    current.pop()
    for _ in range(4):
        world.sweep(840)
    assert world.letters == []
    assert [fields["subscriber"] for _, fields in lines.of("subscriber.missing")] == ["b"]
    current.append(subscriber("b"))
    world.sweep(60)
    assert [who for who, _, _ in world.receivers.accepted] == ["a", "b"]
    assert world.store.under("subscribers/") == []


def test_a_subscriber_that_goes_missing_between_the_look_and_the_attempt_has_its_hour_too() -> None:
    current: list[Subscriber] = [subscriber("a")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, before: FAILED if before == 0 else OK)
    world.tell()

    def gate(what: str, key: str, when: str) -> None:
        if (what, when) == ("create", "after") and key.endswith("attempt-02.claim.json"):
            current.clear()
            world.clock.now += 6  # what is known of the file is too old now

    world.store.gate = gate
    world.sweep(100)
    world.store.gate = open_gate
    world.sweep(60)
    assert world.letters == []
    current.append(subscriber("a"))
    world.sweep(60)
    assert len(world.receivers.accepted) == 1
    assert (world.letters, world.waiting) == ([], [])


@pytest.mark.parametrize("skew", [0.0, -7200.0, 7200.0])
def test_the_hour_of_grace_is_one_of_the_stores_clock(skew: float) -> None:
    current: list[Subscriber] = [subscriber("a")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, _before: FAILED)
    world.tell()
    current.clear()
    world.one = world.node(clock=lambda: world.clock() + skew)
    world.clock.now += 9000
    world.sweep()
    world.sweep(3500)
    assert world.letters == []
    world.sweep(200)
    assert world.reason("deliveries/job1~succeeded~a~0") == "the subscriber is no longer in SUBSCRIBERS_URL"


def test_a_replay_that_is_held_up_for_five_minutes_leaves_the_job_owed_or_dead() -> None:
    def publish(_job: str, _reported: str, _series: str) -> None:
        raise BadInput("it stays broken")

    world = World(None, publish=publish)
    world.tell()
    swept: list[dict[str, int]] = []

    def gate(what: str, key: str, when: str) -> None:
        if what == "delete" and key.startswith("dead/") and when == "before" and not swept:
            world.clock.now += 301
            swept.append(world.sweep())

    world.store.gate = gate
    world.one.dead.replay("jobs/job1", lambda _raw: None)
    assert swept == [{"dead": 1}]
    assert world.letters == ["jobs/job1~2"]


def test_one_mistaken_410_switches_off_is_an_error_and_costs_nothing_once_it_is_resumed(lines: Lines) -> None:
    from shared.webhooks import operations

    moods = {"a": GONE}
    world = World(reader(subscriber("a")), lambda who, _before: moods[who])
    world.tell("job1")
    world.tell("job2")
    (condition,) = operations.conditions(world.store, reader(subscriber("a"))(), [], world.one.dead.names())
    assert (condition.health, condition.dead) == (operations.Health.GONE, 2)
    assert [level for level, _ in lines.of("subscriber.gone")] == ["ERROR"]
    assert len(lines.of("outbox.dead")) == 2
    moods["a"] = OK
    assert len(operations.resume(world.store, world.one.dead, subscriber("a"))) == 2
    world.sweep(60)
    assert len(world.receivers.accepted) == 2
    assert world.letters == []


def test_a_worker_that_had_begun_before_does_not_undo_the_resumption() -> None:
    from shared.webhooks import operations

    moods = {"a": GONE}
    world = World(reader(subscriber("a")), lambda who, _before: moods[who])
    world.tell("job1")
    moods["a"] = OK

    def gate(what: str, key: str, when: str) -> None:
        if (what, when) == ("create", "before") and key.startswith("deliveries/job2/succeeded/to/"):
            world.store.gate = open_gate  # it has listed who is gone, and claims
            operations.resume(world.store, world.one.dead, subscriber("a"))

    world.store.gate = gate
    assert world.tell("job2") == {"a": "delivered"}
    world.sweep(60)
    assert (world.letters, world.store.under("subscribers/")) == ([], [])
