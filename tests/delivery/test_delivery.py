"""Telling and sweeping, one worker at a time."""

from __future__ import annotations

import random
from collections.abc import Callable

import orjson
import pytest

from shared.errors import ObjectNotFound, SubscribersBroken, Throttled, Unavailable
from shared.outbox.outbox import SCHEDULE
from shared.webhooks.announce import Deliveries, Told
from shared.webhooks.endpoint_health import TRIPS_AT, WINDOW
from shared.webhooks.sender import Attempt
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers
from tests.delivery.memory_store import FAILED, GONE, OK, MemoryStore, Receivers, open_gate
from tests.delivery.support import BASE, START, Clock, nothing_to_publish, reader, subscriber, summary


class World:
    """One store, one clock, one set of receivers."""

    def __init__(
        self,
        read: Callable[[], Subscribers] | None,
        answer: Callable[[str, int], Attempt] = lambda _who, _before: OK,
        threads: int = 1,
    ) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.receivers = Receivers(answer)
        self.deliveries = Deliveries(
            self.store, BASE, read, self.receivers, clock=self.clock, rng=random.Random(1), threads=threads
        )

    def tell(self, job: str = "job1", status: str = "Success", round: str = "0") -> dict[str, str]:  # noqa: A002 - as in the API
        told = self.deliveries.tell(job, status, summary(job, status), round=round)
        return {each.subscriber: each.state for each in told}

    def sweep(self, after: float = 0.0) -> dict[str, int]:
        self.clock.now += after
        return self.deliveries.sweep(nothing_to_publish, 600.0)

    @property
    def outbox(self) -> list[str]:
        return self.store.under("outbox/")


def test_everybody_is_told_once_and_nothing_stays_owed() -> None:
    world = World(reader(subscriber("a"), subscriber("b", payload="full")))

    assert world.tell() == {"a": "delivered", "b": "delivered"}
    assert world.tell() == {"a": "duplicate", "b": "duplicate"}
    assert [who for who, _, _ in world.receivers.arrived] == ["a", "b"]
    assert world.outbox == []
    assert world.deliveries.told("job1", "Success")
    assert not world.deliveries.told("job1", "Processing")


def test_without_subscribers_nothing_is_done_at_all() -> None:
    world = World(None)

    assert world.deliveries.tell("job1", "Success", summary()) == ()
    assert world.deliveries.told("job1", "Success")
    assert world.store.calls == []


def test_a_happy_delivery_costs_ten_store_calls() -> None:
    """Each of them is a round trip that the function is billed for."""
    world = World(reader(subscriber("a")))
    world.tell()

    assert [what for what, _ in world.store.calls] == [
        *("create", "put", "list", "put", "create", "delete"),  # event, fan-out, health, entry, told, strike
        *("create", "create", "create", "delete"),  # claim, body, receipt, strike
    ]


def test_the_schedule_is_kept_to_the_end_and_then_it_is_a_dead_letter_with_every_reason() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    assert world.tell() == {"a": "owed"}

    waited = []
    for _ in SCHEDULE:
        due = int(world.outbox[0].split("/")[1]) / 1000
        waited.append(due - world.clock.now)
        assert world.sweep(due - world.clock.now - 1) == {}
        world.store.lose("subscribers/a/breaker.json")  # what it does has its own test
        world.sweep(1)

    assert [planned <= real <= planned * 1.2 for planned, real in zip(SCHEDULE, waited, strict=True)] == [True] * 9
    assert world.outbox == []
    (name,) = world.deliveries.dead.names()
    facts = world.deliveries.dead.show(name)
    assert [attempt["error"] for attempt in facts["attempts"]] == ["answered 500"] * 10
    assert (facts["reason"], facts["jobId"], facts["subscriber"]) == ("answered 500", "job1", "a")


def test_a_replayed_dead_letter_goes_out_with_the_same_id_and_body_whatever_changed_since() -> None:
    current = [subscriber("a", payload="full")]
    up = [False]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, _before: OK if up[0] else FAILED)
    world.tell()
    while world.outbox:
        world.store.lose("subscribers/a/breaker.json")
        world.sweep(86400 * 1.2)
    (name,) = world.deliveries.dead.names()
    current[:] = [subscriber("a", payload="thin", events=("smarttag.job.failed",))]

    up[0] = True
    world.deliveries.dead.replay(name, lambda _raw: None)

    assert list(world.deliveries.dead.names()) == []
    world.store.lose("subscribers/a/breaker.json")
    assert world.sweep(1) == {"delivered": 1}
    assert len(set(world.receivers.arrived)) == 1
    assert world.outbox == []


def test_retry_after_only_ever_postpones() -> None:
    hints = [Attempt("failed", 429, 5, "", hint, "answered 429") for hint in (1.0, 7200.0, 1e9)]
    world = World(reader(subscriber("a")), lambda _who, before: hints[before])
    waits = []
    world.tell()
    for _ in range(3):
        waits.append(int(world.outbox[0].split("/")[1]) / 1000 - world.clock.now)
        if len(waits) < 3:
            world.sweep(waits[-1] + 0.001)

    assert 60 <= waits[0] <= 72
    assert waits[1] == pytest.approx(7200, abs=0.01)
    assert waits[2] == pytest.approx(86400, abs=0.01)


def test_after_96_hours_it_is_over_however_often_the_receiver_asked_for_patience() -> None:
    patience = Attempt("failed", 503, 5, "", 86400.0, "answered 503")
    world = World(reader(subscriber("a")), lambda _who, _before: patience)
    world.tell()
    sweeps = 0
    while world.outbox:
        world.store.lose("subscribers/a/breaker.json")
        world.sweep(86401)
        sweeps += 1

    assert sweeps == 4
    assert len(list(world.deliveries.dead.names())) == 1


def test_a_410_switches_off_until_the_url_changes() -> None:
    current = [subscriber("a")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, before: GONE if before == 1 else OK)
    world.tell("job0")
    answers_before = len(world.receivers.arrived)
    assert world.tell("job1") == {"a": "gone"}
    assert world.tell("job2") == {}
    assert len(world.receivers.arrived) == answers_before + 1
    assert world.deliveries.dead.show("deliveries/job1~succeeded~a~0")["reason"] == "answered 410"

    current[:] = [subscriber("a2"), current[0].__class__(id="a", url="https://new.example.com/", secrets=())]
    assert world.tell("job3") == {"a2": "delivered", "a": "delivered"}
    assert world.outbox == []


def test_what_was_owed_to_a_subscriber_switched_off_since_is_a_dead_letter_and_a_replay_tries_again() -> None:
    answers = [FAILED, GONE, OK, OK]
    world = World(reader(subscriber("a")), lambda _who, before: answers[before])
    assert world.tell("job1") == {"a": "owed"}
    assert world.tell("job2") == {"a": "gone"}
    assert world.sweep(100) == {"dead": 1}

    world.deliveries.dead.replay("deliveries/job1~succeeded~a~0", lambda _raw: None)
    assert world.sweep(1) == {"delivered": 1}
    assert world.tell("job3") == {"a": "delivered"}, "a success ends the switch-off"


@pytest.mark.parametrize(
    ("after", "reason"), [((), "no longer in"), ((subscriber("a", enabled=False),), "is disabled")]
)
def test_removing_or_disabling_takes_effect_before_the_next_attempt(after: tuple[Subscriber, ...], reason: str) -> None:
    current = [subscriber("a")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, _before: FAILED)
    world.tell()
    current[:] = after

    assert world.sweep(100) == {"dead": 1}
    assert len(world.receivers.arrived) == 1
    assert reason in world.deliveries.dead.show("deliveries/job1~succeeded~a~0")["reason"]
    assert world.outbox == []


def test_a_broken_subscriber_is_owed_and_served_once_it_is_repaired_while_others_are_served_at_once() -> None:
    bad, nameless = Broken("bad", "url is missing"), Broken("#3", "is no JSON object")
    current = [reader(bad, subscriber("good"), nameless)]
    world = World(lambda: current[0]())  # noqa: PLW0108 - another one by the time of the sweep

    assert world.tell() == {"good": "delivered", "bad": "owed"}
    current[0] = reader(subscriber("bad"), subscriber("good"))
    assert world.sweep(100) == {"delivered": 1}
    assert [who for who, _, _ in world.receivers.arrived] == ["good", "bad"]
    assert world.outbox == []


def test_a_store_that_fails_during_the_fan_out_loses_nobody() -> None:
    world = World(reader(subscriber("a"), subscriber("b")))

    def refuse(what: str, key: str, when: str) -> None:
        if (what, when) == ("put", "before") and "~b~" in key:
            raise Unavailable("OSS: 503")

    world.store.gate = refuse
    assert world.tell() == {"*": "owed"}
    assert not world.deliveries.told("job1", "Success")
    world.store.gate = open_gate
    assert world.sweep(130) == {"delivered": 2, "told": 1, "done": 1}, "an entry of the first fan-out was left, too"
    assert world.outbox == []
    assert world.deliveries.told("job1", "Success")


def test_a_broken_file_loses_nobody() -> None:
    readings: list[Exception | None] = [SubscribersBroken("no JSON")] * 3

    def read() -> Subscribers:
        if readings and (error := readings.pop(0)):
            raise error
        return reader(subscriber("a"))()

    world = World(read)
    assert world.tell() == {"*": "owed"}
    assert not world.deliveries.told("job1", "Success")
    assert world.sweep(130) == {"held": 1}
    assert world.sweep(1) == {"held": 1}
    assert world.sweep(1) == {"told": 1, "delivered": 1}
    assert world.outbox == []
    assert world.deliveries.told("job1", "Success")


def test_a_file_that_stays_broken_is_retried_for_ever_at_most_an_hour_apart() -> None:
    """The sweep finds the file readable at first, and broken when it fans out: each such attempt is put off."""
    readable = [False]

    def read() -> Subscribers:
        readable[0] = not readable[0]
        if readable[0]:
            return reader(subscriber("a"))()
        raise SubscribersBroken("half written")

    world = World(read)
    readable[0] = True
    world.tell()
    for _ in range(200):
        before = world.clock.now
        due = int(world.outbox[0].split("/")[1]) / 1000
        assert due - before <= 4320.001
        assert world.sweep(max(0.0, due - before) + 0.001) == {"again": 1}
    assert len(world.outbox) == 1


def test_when_select_and_payload_are_those_of_the_first_attempt_for_ever() -> None:
    current = [subscriber("a", payload="full", select="{who: persons[].name}")]
    answers = [FAILED, OK]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, before: answers[before])
    world.tell()
    current[:] = [subscriber("a", when="`false`")]

    assert world.sweep(100) == {"delivered": 1}
    first, second = (body for _, _, body in world.receivers.arrived)
    assert first == second
    assert orjson.loads(first)["data"]["summary"] == {"who": []}


def test_a_condition_that_does_not_hold_ends_it_and_one_that_cannot_be_evaluated_is_retried() -> None:
    never, faulty = subscriber("never", when="alerts[0]"), subscriber("faulty", when="length(status.x)")
    world = World(reader(never, faulty))

    assert world.tell() == {"never": "skipped", "faulty": "owed"}
    assert world.receivers.arrived == []
    (attempt,) = world.deliveries.state("job1")[0]["attempts"]
    assert "cannot be evaluated" in attempt["error"]


def test_later_attempts_take_the_summary_from_the_store() -> None:
    """A worker that died before its first attempt has left no body behind."""
    world = World(reader(Broken("a", "to be repaired")))
    world.tell()
    world.store.put("jobs/job1/summary.json", summary(title="Evening news").to_json())
    repaired = Deliveries(
        world.store, BASE, reader(subscriber("a", select="title")), world.receivers, clock=world.clock, threads=1
    )
    world.clock.now += 100

    assert repaired.sweep(nothing_to_publish, 60) == {"delivered": 1}
    assert orjson.loads(world.receivers.arrived[0][2])["data"]["summary"] == "Evening news"


def test_progress_keeps_its_own_summary() -> None:
    world = World(reader(Broken("a", "to be repaired")))
    world.tell(status="Processing")
    repaired = Deliveries(
        world.store, BASE, reader(subscriber("a", payload="full")), world.receivers, clock=world.clock, threads=1
    )
    world.clock.now += 100
    repaired.sweep(nothing_to_publish, 60)

    body = orjson.loads(world.receivers.arrived[0][2])
    assert (body["type"], body["data"]["summary"]["status"]) == ("smarttag.job.processing", "Processing")


def test_the_breaker_opens_lets_one_probe_through_per_window_and_closes_with_the_first_success() -> None:
    up = [False]
    world = World(reader(subscriber("a"), subscriber("b")), lambda who, _before: OK if up[0] or who == "b" else FAILED)
    for number in range(20):
        assert world.tell(f"job{number}")["b"] == "delivered"
    to_a = [who for who, _, _ in world.receivers.arrived].count("a")
    assert to_a == TRIPS_AT
    assert len(world.outbox) == 20

    world.clock.now += WINDOW
    world.store.calls.clear()
    for _ in range(5):
        world.sweep(1)
    elections = [key for what, key in world.store.calls if what == "create" and "/probe-" in key]
    assert len(elections) == 1, "what is held costs no call"
    assert [who for who, _, _ in world.receivers.arrived].count("a") == TRIPS_AT + 1
    counted = sum(int(key.split("~")[5]) - 1 for key in world.outbox)
    assert counted == TRIPS_AT + 1, "what waits is not counted as an attempt"

    up[0] = True
    world.clock.now += 2 * WINDOW
    assert world.sweep() == {"delivered": 20}
    assert world.outbox == []
    assert world.store.under("subscribers/") == []


def test_what_waits_behind_an_open_breaker_for_96_hours_is_dead_with_that_reason() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    for number in range(TRIPS_AT + 2):
        world.tell(f"job{number}")
    world.clock.now += 96 * 3600
    counts = world.sweep()

    assert counts["dead"] == TRIPS_AT + 2
    assert world.outbox == []
    last = world.deliveries.dead.show(f"deliveries/job{TRIPS_AT + 1}~succeeded~a~0")
    assert "only failed in the 96 h" in last["reason"]


def test_a_redelivery_is_one_round_per_request_with_the_same_id_and_body() -> None:
    world = World(reader(subscriber("a"), subscriber("b")))
    world.tell()
    assert world.deliveries.redeliver("job1", "a", "req-1") == (Told("a", "delivered"),)
    assert world.deliveries.redeliver("job1", "a", "req-1") == (Told("a", "duplicate"),)
    assert world.tell(round="req-2") == {"a": "delivered", "b": "delivered"}
    assert world.tell(round="req-2") == {"a": "duplicate", "b": "duplicate"}
    assert [each.state for each in world.deliveries.redeliver("job1", None, "req-3")] == ["delivered", "delivered"]

    to_a = [arrival for arrival in world.receivers.arrived if arrival[0] == "a"]
    assert len(to_a) == 4
    assert len(set(to_a)) == 1
    assert world.outbox == []


def test_a_redelivery_needs_a_job_and_a_subscriber_that_exist() -> None:
    world = World(reader(subscriber("a")))
    with pytest.raises(ObjectNotFound, match="nobody was ever told"):
        world.deliveries.redeliver("job1", "a", "req-1")
    world.tell()
    with pytest.raises(ObjectNotFound, match="no subscriber 'b'"):
        world.deliveries.redeliver("job1", "b", "req-1")


def test_a_redelivery_sends_the_final_event() -> None:
    world = World(reader(subscriber("a")))
    for status in ("Success", "Processing"):
        world.clock.now += 1
        world.tell(status=status)
    world.deliveries.redeliver("job1", "a", "req-1")

    assert orjson.loads(world.receivers.arrived[-1][2])["type"] == "smarttag.job.succeeded"


def test_the_log_of_a_job_shows_attempts_and_the_next_try() -> None:
    world = World(
        reader(subscriber("a"), subscriber("b"), Broken("c", "url is missing")),
        lambda who, _b: OK if who == "a" else FAILED,
    )
    world.tell()
    a, b, c = world.deliveries.state("job1")

    assert (a["state"], a["attempts"][0]["status"], a["attempts"][0]["durationMs"]) == ("delivered", 204, 12)
    assert (b["state"], b["attempts"][0]["excerpt"], b["nextTry"] is not None) == ("owed", "oops", True)
    assert (c["state"], c["event"], c["webhookId"]) == ("owed", "smarttag.job.succeeded", a["webhookId"])
    assert world.deliveries.state("job2") == []


def test_the_log_shows_what_waits_for_its_first_attempt() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    for number in range(TRIPS_AT + 1):
        world.tell(f"job{number}")
    (waiting,) = world.deliveries.state(f"job{TRIPS_AT}")

    assert (waiting["state"], waiting["attempts"]) == ("owed", [])
    assert waiting["nextTry"] is not None


def test_jobs_are_owed_until_settled_retried_and_buried_with_the_reason() -> None:
    world = World(None)
    settled = world.deliveries.owe_job("job0", "Success")
    world.deliveries.settle_job(settled)
    world.deliveries.owe_job("job1", "Success")
    world.deliveries.owe_job("job2", "<script>")
    tried: list[tuple[str, str]] = []

    def publish(job_id: str, hint: str, _round: str) -> None:
        tried.append((job_id, hint))
        if job_id == "job1":
            raise Throttled("MPS throttles", retry_after=5.0)

    world.clock.now += 121
    assert world.deliveries.sweep(publish, 600) == {"again": 1, "settled": 1}
    assert tried == [("job1", "Success"), ("job2", "")]
    while world.outbox:
        world.clock.now += 86400 * 1.2
        world.deliveries.sweep(publish, 600)
    facts = world.deliveries.dead.show("jobs/job1")
    assert len(facts["attempts"]) >= 5
    assert facts["reason"] == "MPS throttles"

    world.deliveries.dead.replay("jobs/job1", lambda _raw: None)
    tried.clear()
    assert world.deliveries.sweep(publish, 600) == {}, "not while its old letter may still lie there"
    world.clock.now += 301
    assert world.deliveries.sweep(publish, 600) == {"again": 1}
    assert tried == [("job1", "Success")]


def test_poison_is_kept_as_it_came_and_replaying_it_hands_it_over() -> None:
    world = World(None)
    for _ in range(2):
        world.deliveries.dead.bury_notification(b"\x00\xff<poison>", "is no message")
    (name,) = world.deliveries.dead.names()
    assert world.deliveries.dead.raw(name) == b"\x00\xff<poison>"
    assert world.deliveries.dead.show(name)["reason"] == "is no message"

    with pytest.raises(Unavailable):
        world.deliveries.dead.replay(name, _refuse)
    assert list(world.deliveries.dead.names()) == [name]
    handled: list[bytes] = []
    world.deliveries.dead.replay(name, handled.append)
    assert handled == [b"\x00\xff<poison>"]
    assert world.store.under("dead/") == []


def _refuse(_raw: bytes) -> None:
    raise Unavailable("not now")


def test_a_sweep_costs_what_is_due_not_what_ever_was() -> None:
    world = World(reader(subscriber("a"), subscriber("b")))
    for number in range(300):
        world.tell(f"job{number}")
    world.store.calls.clear()
    world.sweep(60)
    assert world.store.calls == [("list", "subscribers/"), ("list", "outbox/")]

    later = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    later.tell("one")
    costs = []
    for history in (0, 300):
        for number in range(history):
            later.store.put(f"jobs/old{number}/deliveries/succeeded/to/a/0/receipt.json", b"{}")
            later.store.put(
                f"outbox/{int(START * 1000) + 10**9 + number:013d}/delivery~old{number}~succeeded~a~0~01~1", b"{}"
            )
        later.store.calls.clear()
        later.sweep(400)
        costs.append(len(later.store.calls))
    assert costs[0] == costs[1]


def test_a_sweep_begins_nothing_that_could_outlast_its_time() -> None:
    world = World(reader(subscriber("a")), lambda _who, before: FAILED if before < 3 else OK)
    for number in range(3):
        world.tell(f"job{number}")
    world.clock.now += 100

    def slow(what: str, _key: str, when: str) -> None:
        if (what, when) == ("send", "before"):
            world.clock.now += 15

    world.receivers.gate = slow
    began = world.clock.now
    report = world.deliveries.sweep(nothing_to_publish, 40.0)

    assert report == {"delivered": 2, "left": 1}
    assert world.clock.now - began <= 40
    assert len(world.outbox) == 1
