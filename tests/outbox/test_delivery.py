"""Telling and sweeping, one worker at a time."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from shared.errors import ObjectNotFound, SubscribersBroken, Throttled, Unavailable
from shared.outbox.schedule import RETRY_INTERVALS
from shared.outbox.task import Task, TaskKind
from shared.webhooks.endpoint_health import TRIPS_AT, WINDOW
from shared.webhooks.sender import Attempt
from shared.webhooks.subscribers import Broken, Subscriber, Subscribers
from tests.fakes.memory_store import open_gate
from tests.fakes.node import START, World, document, next_due, reader, subscriber
from tests.fakes.receivers import FAILED, GONE, OK


def test_everybody_is_told_once_and_nothing_stays_enqueued() -> None:
    world = World(reader(subscriber("a"), subscriber("b", payload="full")))

    assert world.tell() == {"a": "delivered", "b": "delivered"}
    assert world.tell() == {"a": "duplicate", "b": "duplicate"}
    assert [who for who, _, _ in world.receivers.arrived] == ["a", "b"]
    assert world.waiting == []
    assert world.one.told("job1", "Success")
    assert not world.one.told("job1", "Processing")


def test_without_subscribers_nobody_is_told_and_nothing_waits() -> None:
    world = World(None)

    assert world.tell() == {}
    assert world.one.told("job1", "Success")
    assert world.waiting == []
    assert world.store.under("subscribers/") == []


def test_what_an_announcement_and_a_happy_delivery_cost() -> None:
    """Each call is a round trip that the function is billed for; a duplicate costs two."""
    world = World(reader(subscriber("a")))
    world.tell()

    assert [what for what, _ in world.store.calls] == [
        *("create", "put"),  # claim and task of the publication
        "put",  # its summary, for the artifacts
        *("create", "put", "create", "delete"),  # event, task of the delivery; receipt, done
        *("list", "create", "create", "create", "delete"),  # health; claim, body, receipt, done
    ]
    world.store.calls.clear()
    world.tell()
    assert [what for what, _ in world.store.calls] == ["create", "get"]


def test_the_schedule_is_kept_to_the_end_and_then_it_is_a_dead_letter_with_every_reason() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    assert world.tell() == {"a": "waiting"}

    waited = []
    for _ in RETRY_INTERVALS:
        due = next_due(world.store)
        waited.append(due - world.clock.now)
        assert world.sweep(due - world.clock.now - 1) == {}
        world.store.lose("subscribers/a/breaker.json")  # what it does has its own test
        world.sweep(1)

    assert [planned <= real <= planned * 1.2 for planned, real in zip(RETRY_INTERVALS, waited, strict=True)] == [
        True
    ] * 9
    assert world.waiting == []
    (name,) = world.one.dead.names()
    facts = world.one.dead.show(name)
    assert [attempt["error"] for attempt in facts["attempts"]] == ["answered 500"] * 10
    assert (facts["reason"], facts["jobId"], facts["subscriber"]) == ("answered 500", "job1", "a")


def test_a_replayed_dead_letter_goes_out_with_the_same_id_and_body_whatever_changed_since() -> None:
    current = [subscriber("a", payload="full")]
    up = [False]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, _before: OK if up[0] else FAILED)
    world.tell()
    while world.waiting:
        world.store.lose("subscribers/a/breaker.json")
        world.sweep(86400 * 1.2)
    (name,) = world.one.dead.names()
    current[:] = [subscriber("a", payload="thin", events=("smarttag.job.failed",))]

    up[0] = True
    world.one.dead.replay(name, lambda _raw: None)

    assert world.letters == []
    world.store.lose("subscribers/a/breaker.json")
    assert world.sweep(1) == {"delivered": 1}
    assert len(set(world.receivers.arrived)) == 1
    assert world.waiting == []


def test_retry_after_only_ever_postpones() -> None:
    hints = [Attempt("failed", 429, 5, "", hint, "answered 429") for hint in (1.0, 7200.0, 1e9)]
    world = World(reader(subscriber("a")), lambda _who, before: hints[before])
    waits = []
    world.tell()
    for _ in range(3):
        waits.append(next_due(world.store) - world.clock.now)
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
    while world.waiting:
        world.store.lose("subscribers/a/breaker.json")
        world.sweep(86401)
        sweeps += 1

    assert sweeps == 4
    assert len(world.letters) == 1


def test_a_410_switches_off_until_the_url_changes() -> None:
    current = [subscriber("a")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, before: GONE if before == 1 else OK)
    world.tell("job0")
    answers_before = len(world.receivers.arrived)
    assert world.tell("job1") == {"a": "gone"}
    assert world.tell("job2") == {"a": "gone"}
    assert len(world.receivers.arrived) == answers_before + 1
    assert "switched off" in world.reason("deliveries/job2~succeeded~a~0")
    assert world.one.dead.show("deliveries/job1~succeeded~a~0")["reason"] == "answered 410"

    current[:] = [subscriber("a2"), current[0].__class__(id="a", url="https://new.example.com/", secrets=())]
    assert world.tell("job3") == {"a2": "delivered", "a": "delivered"}
    assert world.waiting == []


def test_a_410_of_the_old_url_does_not_switch_off_the_new_one() -> None:
    current = [subscriber("a")]
    world = World(lambda: Subscribers(tuple(current), ()), lambda _who, before: GONE if before == 0 else OK)

    def moves(_what: str, _who: str, _when: str) -> None:
        current[:] = [Subscriber("a", "https://new.example.com/", ())]
        world.clock.now += 6  # what is known of the file is too old now

    world.receivers.gate = moves
    assert world.tell("job1") == {"a": "gone"}
    assert world.tell("job2") == {"a": "delivered"}


def test_what_was_waiting_for_a_subscriber_switched_off_since_is_a_dead_letter_and_a_replay_tries_again() -> None:
    answers = [FAILED, GONE, OK, OK]
    world = World(reader(subscriber("a")), lambda _who, before: answers[before])
    assert world.tell("job1") == {"a": "waiting"}
    assert world.tell("job2") == {"a": "gone"}
    assert world.sweep(100) == {"gone": 1}

    world.one.dead.replay("deliveries/job1~succeeded~a~0", lambda _raw: None)
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

    if not after:
        assert world.sweep(100) == {"suspended": 1}, "it has an hour to come back"
        world.clock.now += 3600
    assert world.sweep(100) == {"dead": 1}
    assert len(world.receivers.arrived) == 1
    assert reason in world.one.dead.show("deliveries/job1~succeeded~a~0")["reason"]
    assert world.waiting == []


def test_a_broken_subscriber_waits_and_is_served_once_it_is_repaired_while_others_are_served_at_once() -> None:
    bad, nameless = Broken("bad", "url is missing"), Broken("#3", "is no JSON object")
    current = [reader(bad, subscriber("good"), nameless)]
    world = World(lambda: current[0]())  # noqa: PLW0108 - another one by the time of the sweep

    assert world.tell() == {"good": "delivered", "bad": "waiting"}
    current[0] = reader(subscriber("bad"), subscriber("good"))
    assert world.sweep(100) == {"delivered": 1}
    assert [who for who, _, _ in world.receivers.arrived] == ["good", "bad"]
    assert world.waiting == []


def test_a_store_that_fails_during_the_fan_out_loses_nobody() -> None:
    world = World(reader(subscriber("a"), subscriber("b")))

    def refuse(what: str, key: str, when: str) -> None:
        if (what, when) == ("put", "before") and "~b~" in key:
            raise Unavailable("OSS: 503")

    world.store.gate = refuse
    assert world.tell() == {}
    assert not world.one.told("job1", "Success")
    world.store.gate = open_gate
    assert world.sweep(130) == {"delivered": 2, "settled": 1, "already_ended": 1}, (
        "a task of the first try was left, too"
    )
    assert world.waiting == []
    assert world.one.told("job1", "Success")


def test_a_broken_file_loses_nobody() -> None:
    readings: list[Exception | None] = [SubscribersBroken("no JSON")] * 3

    def read() -> Subscribers:
        if readings and (error := readings.pop(0)):
            raise error
        return reader(subscriber("a"))()

    world = World(read)
    assert world.tell() == {"*": "waiting"}
    assert not world.one.told("job1", "Success")
    assert world.sweep(130) == {"suspended": 1}
    assert world.sweep(6) == {"suspended": 1}
    assert world.sweep(6) == {"told": 1, "delivered": 1}
    assert world.waiting == []
    assert world.one.told("job1", "Success")


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
        due = next_due(world.store)
        assert due - before <= 4320.001
        assert world.sweep(max(0.0, due - before) + 0.001) == {"retry": 1}
    assert len(world.waiting) == 1


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

    assert world.tell() == {"never": "skipped", "faulty": "waiting"}
    assert world.receivers.arrived == []
    (attempt,) = world.one.state("job1")[0]["attempts"]
    assert "cannot be evaluated" in attempt["error"]


def test_later_attempts_take_the_summary_from_the_store() -> None:
    """A worker that died before its first attempt has left no body behind."""
    world = World(reader(Broken("a", "to be repaired")))
    world.tell()
    world.store.put("jobs/job1/summary.json", orjson.dumps(document(title="Evening news")))
    repaired = world.node(reader(subscriber("a", select="title")))
    world.clock.now += 100

    assert repaired.sweep(60) == {"delivered": 1}
    assert orjson.loads(world.receivers.arrived[0][2])["data"]["summary"] == "Evening news"


def test_progress_keeps_its_own_summary() -> None:
    world = World(reader(Broken("a", "to be repaired")))
    world.tell(status="Processing")
    repaired = world.node(reader(subscriber("a", payload="full")))
    world.clock.now += 100
    repaired.sweep(60)

    body = orjson.loads(world.receivers.arrived[0][2])
    assert (body["type"], body["data"]["summary"]["status"]) == ("smarttag.job.processing", "Processing")


def test_the_breaker_opens_lets_one_probe_through_per_window_and_closes_with_the_first_success() -> None:
    up = [False]
    world = World(reader(subscriber("a"), subscriber("b")), lambda who, _before: OK if up[0] or who == "b" else FAILED)
    for number in range(20):
        assert world.tell(f"job{number}")["b"] == "delivered"
    to_a = [who for who, _, _ in world.receivers.arrived].count("a")
    assert to_a == TRIPS_AT
    assert len(world.waiting) == 20

    world.clock.now += WINDOW
    world.store.calls.clear()
    for _ in range(5):
        world.sweep(1)
    elections = [key for what, key in world.store.calls if what == "create" and "/probe-" in key]
    assert len(elections) == 1, "what is held costs no call"
    assert [who for who, _, _ in world.receivers.arrived].count("a") == TRIPS_AT + 1
    counted = sum(task.attempt - 1 for task in world.one.outbox.listed())
    assert counted == TRIPS_AT + 1, "what waits is not counted as an attempt"

    up[0] = True
    world.clock.now += 2 * WINDOW
    assert world.sweep() == {"delivered": 20}
    assert world.waiting == []
    assert world.store.under("subscribers/") == []


def test_a_condition_that_cannot_be_evaluated_is_no_failure_of_the_endpoint() -> None:
    world = World(reader(subscriber("a", when="status == 'Fail' || abs(message) > `0`")))
    for number in range(TRIPS_AT + 2):
        assert world.tell(f"job{number}") == {"a": "waiting"}
    assert world.tell("good", "Fail") == {"a": "delivered"}
    assert world.store.under("subscribers/") == []


def test_what_waits_behind_an_open_breaker_for_96_hours_is_dead_with_that_reason() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    for number in range(TRIPS_AT + 2):
        world.tell(f"job{number}")
    world.clock.now += 96 * 3600
    counts = world.sweep()

    assert counts["dead"] == TRIPS_AT + 2
    assert world.waiting == []
    last = world.one.dead.show(f"deliveries/job{TRIPS_AT + 1}~succeeded~a~0")
    assert "kept failing for the 96 h" in last["reason"]


def test_a_redelivery_is_one_series_per_request_with_the_same_id_and_body() -> None:
    world = World(reader(subscriber("a"), subscriber("b")))
    world.tell()
    assert world.one.redeliver("job1", "a", "req-1") == {"a": "delivered"}
    assert world.one.redeliver("job1", "a", "req-1") == {"a": "duplicate"}
    assert world.tell(request="req-2") == {"a": "delivered", "b": "delivered"}
    assert world.tell(request="req-2") == {"a": "duplicate", "b": "duplicate"}
    assert world.tell(request="req-3") == {"a": "delivered", "b": "delivered"}

    to_a = [arrival for arrival in world.receivers.arrived if arrival[0] == "a"]
    assert len(to_a) == 4
    assert len(set(to_a)) == 1
    assert world.waiting == []


def test_a_redelivery_needs_a_job_and_a_subscriber_that_exist() -> None:
    world = World(reader(subscriber("a")))
    with pytest.raises(ObjectNotFound, match="nobody was ever told"):
        world.one.redeliver("job1", "a", "req-1")
    world.tell()
    with pytest.raises(ObjectNotFound, match="no subscriber 'b'"):
        world.one.redeliver("job1", "b", "req-1")


def test_a_redelivery_sends_the_final_event() -> None:
    world = World(reader(subscriber("a")))
    for status in ("Success", "Processing"):
        world.clock.now += 1
        world.tell(status=status)
    world.one.redeliver("job1", "a", "req-1")

    assert orjson.loads(world.receivers.arrived[-1][2])["type"] == "smarttag.job.succeeded"


def test_the_log_of_a_job_shows_attempts_and_the_next_try() -> None:
    world = World(
        reader(subscriber("a"), subscriber("b"), Broken("c", "url is missing")),
        lambda who, _b: OK if who == "a" else FAILED,
    )
    world.tell()
    a, b, c = world.one.state("job1")

    assert (a["state"], a["attempts"][0]["status"], a["attempts"][0]["durationMs"]) == ("delivered", 204, 12)
    assert (b["state"], b["attempts"][0]["excerpt"], b["nextTry"] is not None) == ("waiting", "oops", True)
    assert (c["state"], c["event"], c["webhookId"]) == ("waiting", "smarttag.job.succeeded", a["webhookId"])
    assert world.one.state("job2") == []


def test_the_log_shows_what_waits_for_its_first_attempt() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    for number in range(TRIPS_AT + 1):
        world.tell(f"job{number}")
    (waiting,) = world.one.state(f"job{TRIPS_AT}")

    assert (waiting["state"], waiting["attempts"]) == ("waiting", [])
    assert waiting["nextTry"] is not None


def test_publications_are_retried_on_the_schedule_and_given_up_with_the_reason() -> None:
    tried: list[tuple[str, str]] = []

    def publish(job_id: str, reported: str, _series: str) -> None:
        tried.append((job_id, reported))
        if job_id == "job1":
            raise Throttled("MPS throttles", retry_after=5.0)

    world = World(None, publish=publish)
    world.tell("job0")
    world.tell("job1")
    assert tried == [("job0", "Success"), ("job1", "Success")]
    assert len(world.waiting) == 1
    while world.waiting:
        world.sweep(86400 * 1.2)
    facts = world.one.dead.show("jobs/job1")
    assert len(facts["attempts"]) >= 5
    assert facts["reason"] == "MPS throttles"

    tried.clear()
    world.one.dead.replay("jobs/job1", lambda _raw: None)
    assert world.letters == []
    assert world.sweep(1) == {"retry": 1}
    assert tried == [("job1", "Success")]


def test_a_publication_that_was_given_up_begins_anew_with_the_next_notification() -> None:
    """What died again lies under a name of its own, so that no replay can take a younger letter with it."""
    world = World(None, publish=_never)
    for _ in range(2):
        world.clock.now += 1
        world.tell()
        while world.waiting:
            world.sweep(86400 * 1.2)
    world.clock.now += 1
    assert world.letters == ["jobs/job1", "jobs/job1~2"]
    world.one.publish = None
    assert world.tell() == {}
    assert world.waiting == []
    assert world.one.outbox.read_json("jobs/job1/deliveries/publish/final/3/receipt.json") is not None


def _never(_job_id: str, _reported: str, _series: str) -> None:
    raise Throttled("MPS throttles")


def test_what_is_asked_for_while_it_waits_is_absorbed_or_expedited() -> None:
    calls: list[str] = []

    def publish(job_id: str, _reported: str, _series: str) -> None:
        calls.append(job_id)
        if len(calls) < 3:
            raise Throttled("MPS throttles")

    world = World(None, publish=publish)
    world.tell()
    for _ in range(9):
        world.clock.now += 2
        world.tell()
    assert calls == ["job1"], "the repeated notifications are those of an open publication"
    assert len(world.waiting) == 1
    for _ in range(2):
        task = world.one.task()
        world.one.worker.run_now([task], 60, expedite=[task])
    assert calls == ["job1"] * 3
    assert world.one.told("job1", "Success")


def test_poison_is_kept_as_it_came_and_replaying_it_hands_it_over() -> None:
    world = World(None)
    for _ in range(2):
        world.one.dead.keep_notification(b"\x00\xff<poison>", "is no message")
    (name,) = world.one.dead.names()
    assert world.one.dead.raw(name) == b"\x00\xff<poison>"
    assert world.one.dead.show(name)["reason"] == "is no message"

    with pytest.raises(Unavailable):
        world.one.dead.replay(name, _refuse)
    assert world.letters == [name]
    handled: list[bytes] = []
    world.one.dead.replay(name, handled.append)
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
    assert world.store.calls == [("list", "outbox/")]

    later = World(reader(subscriber("a")), lambda _who, _before: FAILED)
    later.tell("one")
    costs = []
    for history in (0, 300):
        for number in range(history):
            later.store.put(f"deliveries/old{number}/succeeded/to/a/0/receipt.json", b"{}")
            later.store.put(
                Task(TaskKind.DELIVERY, f"old{number}", "succeeded", "a", "0", 1, int(START * 1000) + 10**9, 2).key,
                b"{}",
            )
        later.store.calls.clear()
        later.sweep(400)
        costs.append(len(later.store.calls))
    assert costs[0] == costs[1]


def test_what_time_was_too_short_for_is_done_by_the_next_sweep() -> None:
    world = World(reader(subscriber("a")))

    def slow(_job_id: str, _reported: str, _series: str) -> None:
        world.clock.now += 40

    world.one.publish = slow
    tasks = [world.one.task(f"job{number}") for number in range(5)]
    states = Counter(outcome.state.value for _, outcome in world.one.worker.run_now(tasks, 90))
    assert states["out_of_time"] >= 3
    assert len(world.waiting) >= 3, "all of them were written down before the first was worked on"
    world.one.publish = None
    world.sweep(1)
    world.sweep(130)
    assert len(world.receivers.accepted) == 5
    world.sweep(130)
    assert world.waiting == []


def test_an_event_of_many_messages_is_worked_on_for_as_long_as_time_goes_and_costs_the_others_no_attempt() -> None:
    world = World(reader(subscriber("a")))

    def slow(_job_id: str, _reported: str, _series: str) -> None:
        world.clock.now += 4

    world.one.publish = slow
    tasks = [world.one.task(f"job{number}") for number in range(70)]
    done = Counter(
        outcome.state.value for task, outcome in world.one.worker.run_now(tasks, 270) if task.kind is TaskKind.PUBLISH
    )
    assert done == {"settled": 53, "out_of_time": 17}
    world.sweep(1)
    assert len(world.receivers.accepted) == 70
    assert not [key for key in world.store.under("jobs/") if "attempt-02" in key or key.endswith("result.json")]


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
    report = world.sweep(seconds=40.0)

    assert report == {"delivered": 2, "out_of_time": 1}
    assert world.clock.now - began <= 40
    assert len(world.waiting) == 1


def test_a_record_of_a_newer_version_hides_no_other_delivery() -> None:
    world = World(reader(subscriber("a"), subscriber("b")))
    world.tell()
    world.store.put("deliveries/job1/succeeded/to/a/0/receipt.json", b'{"version":3,"state":"delivered"}')
    states = {each["subscriber"]: each["state"] for each in world.one.state("job1")}
    assert states == {"a": "sending", "b": "delivered"}
