"""What goes wrong slowly: workers that come too late, files that stay broken, breakers that stay open."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from shared.errors import BadInput, SubscribersBroken, Throttled, TimedOut, Unavailable
from shared.outbox.task import Task, TaskKind
from shared.triggers import parse
from shared.webhooks.endpoint_health import TRIPS_AT, WINDOW, EndpointHealth
from shared.webhooks.subscribers import Broken, Subscribers
from shared.webhooks.subscribers import parse as read_subscribers
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, World, reader, subscriber, told
from tests.fakes.receivers import FAILED, OK

DAY = 86400.0


def test_a_worker_held_up_by_its_store_does_not_send_beside_its_successor() -> None:
    world = World(reader(subscriber("a")))
    other = world.node()
    sent: list[dict[str, int]] = []

    def gate(what: str, key: str, when: str) -> None:
        if what == "create" and key.endswith("body.json") and when == "after" and not sent:
            for _ in range(3):
                world.clock.now += 70
                sent.append(other.sweep())

    world.store.gate = gate
    assert world.tell() == {"a": "duplicate"}
    assert sum(map(Counter, sent), Counter()) == {"retry": 1, "delivered": 1}
    assert len(world.receivers.arrived) == 1


def test_whoever_waits_for_subscribers_json_waits_once() -> None:
    reads = [0]

    def read() -> Subscribers:
        reads[0] += 1
        if reads[0] == 1:
            return reader(*(subscriber(name) for name in "abcdefgh"))()
        world.clock.now += 25
        raise TimedOut("the store did not answer")

    world = World(read)
    world.clock.now += 0.1

    def gate(what: str, key: str, when: str) -> None:
        if what == "delete" and "publish" in key and when == "after":
            world.clock.now += 6  # what was read is too old by the first attempt

    world.store.gate = gate
    assert Counter(world.tell().values()) == {"delivered": 8}
    assert reads == [2]


def test_what_sends_nothing_does_not_use_up_the_probe_of_an_open_breaker() -> None:
    world = World(reader(subscriber("a", when="userData == 'wanted'")))
    world.store.put("subscribers/a/breaker.json", orjson.dumps({"failures": TRIPS_AT}))
    for number in range(50):
        assert world.tell(f"job{number}") == {"a": "skipped"}
    assert world.waiting == []


def test_the_removal_of_a_failing_subscriber_is_the_reason_of_all_its_dead_letters() -> None:
    current = [subscriber("a")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, _before: FAILED)
    for number in range(40):
        world.tell(f"job{number}")
    current.clear()
    assert world.sweep(2 * DAY) == {"suspended": 40}
    assert world.sweep(3540) == {"suspended": 40}
    world.sweep(61)
    reasons = Counter(world.one.dead.show(name)["reason"] for name in world.one.dead.names())
    assert reasons == {"the subscriber is no longer in SUBSCRIBERS_URL": 40}
    assert world.waiting == []


def test_workers_whose_clocks_disagree_do_not_take_back_each_others_probes() -> None:
    clock, fast = Clock(), Clock()
    store = MemoryStore(clock)
    store.put("subscribers/a/breaker.json", orjson.dumps({"failures": TRIPS_AT}))
    due, probes = Task(TaskKind.DELIVERY, "job", "succeeded", "a", "0", 0, 0, 2), 0
    for _ in range(0, 3600, 20):
        clock.now += 20
        fast.now = clock.now + 100
        probes += EndpointHealth(store, clock).allows(due) + EndpointHealth(store, fast).allows(due)
    assert probes <= 2 * (3600 // WINDOW + 1)


def test_a_delivery_has_its_whole_schedule_however_late_it_was_enqueued() -> None:
    broken = [True]

    def read() -> Subscribers:
        if broken[0]:
            raise SubscribersBroken("no JSON")
        return reader(subscriber("a"))()

    world = World(read, lambda _who, before: FAILED if before == 0 else OK)
    assert world.tell() == {"*": "waiting"}
    for _ in range(5 * 24):
        world.sweep(3600)
    broken[0] = False
    found = sum((Counter(world.sweep(3600)) for _ in range(3)), Counter())
    assert found == {"told": 1, "retry": 1, "delivered": 1}
    assert world.letters == []


def test_a_redelivery_that_a_sweep_made_is_not_made_again_by_the_platforms_retry() -> None:
    calls: list[str] = []

    def publish(_job_id: str, _reported: str, series: str) -> None:
        calls.append(series)
        if len(calls) == 1:
            raise Throttled("slow down")

    world = World(reader(subscriber("a")), publish=publish)
    assert world.tell(request="one") == {}
    assert world.sweep(125) == {"settled": 1, "delivered": 1}
    assert world.tell(request="one") == {"a": "duplicate"}
    assert len(world.receivers.arrived) == 1
    assert world.tell(request="two") == {"a": "delivered"}
    assert len(world.receivers.arrived) == 2
    assert world.waiting == []


def test_a_redelivery_that_came_before_its_notification_stands_for_it_even_after_a_failure() -> None:
    world = World(reader(subscriber("a")))
    failures = iter([True] * 3)

    def gate(what: str, key: str, when: str) -> None:
        if what == "put" and "/delivery~" in key and when == "before" and next(failures, False):
            raise Unavailable("503")

    world.store.gate = gate
    assert world.tell(request="asked") == {}
    task = world.one.task(request="asked")
    again = world.one.worker.run_now([task], 600, expedite=[task])
    assert told(again) == {"a": "delivered"}
    assert world.tell() == {"a": "duplicate"}
    assert len(world.receivers.arrived) == 1


def test_nothing_is_enqueued_for_a_disabled_subscriber_even_if_it_is_malformed() -> None:
    entry = {"id": "a", "url": "https://a.example.com/", "secrets": ["env:SUBSCRIBER_GONE"], "enabled": False}
    found = read_subscribers(orjson.dumps({"version": 1, "subscribers": [entry]}), {}, lambda _url: None)
    assert [(each.id, each.enabled) for each in found.broken] == [("a", False)]
    world = World(lambda: found)
    assert world.tell() == {}
    enqueued_before = World(lambda: Subscribers((), (Broken("a", "was well-formed"),)))
    assert enqueued_before.tell() == {"a": "waiting"}


def test_a_replayed_job_that_dies_before_its_letter_is_gone_leaves_a_letter_of_its_own() -> None:
    def publish(_job_id: str, _reported: str, _series: str) -> None:
        raise BadInput("it stays broken")

    world = World(None, publish=publish)
    world.tell()
    swept: list[dict[str, int]] = []

    def gate(what: str, key: str, when: str) -> None:
        if what == "delete" and key.startswith("dead/") and when == "before" and not swept:
            world.clock.now += 75  # as long as a store may take for one operation, with its retries
            swept.append(world.sweep())

    world.store.gate = gate
    world.one.dead.replay("jobs/job1", lambda _raw: None)
    assert swept == [{"dead": 1}]
    assert world.letters == ["jobs/job1~2"]


@pytest.mark.parametrize("state", ["success", "SUCCESS", "Success"])
def test_the_state_of_a_notification_counts_however_it_is_written(state: str) -> None:
    (message,) = parse(orjson.dumps({"Type": "smarttag", "JobId": "job1", "State": state}))
    assert getattr(message, "state", "") == "Success"
