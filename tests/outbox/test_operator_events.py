"""Operators who ask for it hear of what was given up, and of endpoints that are gone or back; once, after any crash."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest

from shared.errors import BadInput
from shared.webhooks import operations
from shared.webhooks.endpoint_health import TRIPS_AT
from shared.webhooks.payload import event_type
from shared.webhooks.subscribers import EVENT_TYPES
from tests.fakes.memory_store import MemoryStore
from tests.fakes.node import Clock, Node, World, reader, subscriber
from tests.fakes.receivers import FAILED, GONE, OK, Receivers

OPS = subscriber("ops", events=tuple(f"smarttag.{what}.*" for what in ("delivery", "endpoint", "publication")))
READ = reader(subscriber("a"), subscriber("b", events=("smarttag.job.*",)), OPS)
Events = list[tuple[str, dict[str, Any]]]


def heard(receivers: Receivers, who: str = "ops") -> Events:
    """Return type and data of what a subscriber accepted, each id once, in order."""
    found = {webhook_id: orjson.loads(body) for name, webhook_id, body in receivers.accepted if name == who}
    return [(event["type"], event["data"]) for event in found.values()]


def test_a_delivery_that_is_given_up() -> None:
    world = World(READ, lambda who, _before: FAILED if who == "a" else OK)
    world.tell()
    world.sweep(97 * 3600)
    world.sweep(1)
    ((event, data),) = heard(world.receivers)
    assert event == "smarttag.delivery.exhausted"
    assert data == {
        "jobId": "job1",
        "event": "smarttag.job.succeeded",
        "subscriber": "a",
        "reason": "answered 500",
        "deadLetter": "dead/deliveries/job1~succeeded~a~0.json",
    }
    assert [event for event, _ in heard(world.receivers, "b")] == ["smarttag.job.succeeded"]
    assert world.waiting == []


def test_a_job_that_cannot_be_published() -> None:
    def refuse(*_about: str) -> None:
        raise BadInput("MPS does not know it")

    world = World(READ, publish=refuse)
    world.tell()
    world.sweep(1)
    letter = "dead/jobs/job1.json"
    assert heard(world.receivers) == [
        ("smarttag.publication.dead", {"jobId": "job1", "reason": "MPS does not know it", "deadLetter": letter})
    ]


def test_an_endpoint_that_is_gone_and_gone_again_after_it_was_brought_back() -> None:
    world = World(READ, lambda who, _before: GONE if who == "a" else OK)
    for job in ("job1", "job2", "job3"):
        world.tell(job)
    world.sweep(1)
    since = "2026-09-21T14:13:20.000Z"
    assert heard(world.receivers) == [("smarttag.endpoint.gone", {"subscriber": "a", "since": since})]

    assert len(operations.resume(world.store, world.one.dead, subscriber("a"))) == 3
    world.sweep(1)
    world.sweep(1)
    (_, again) = heard(world.receivers)
    assert again[0] == "smarttag.endpoint.gone"
    assert again[1]["since"] > since


@pytest.mark.parametrize("trouble", [FAILED, GONE])
def test_an_endpoint_that_is_back(trouble: Any) -> None:
    down = [True]
    world = World(READ, lambda who, _before: trouble if who == "a" and down[0] else OK)
    for number in range(TRIPS_AT):
        world.tell(f"job{number}")
    down[0] = False
    world.clock.now += 700
    for request in ("first", "second"):
        world.one.redeliver("job1", "a", request)
    world.sweep(1)
    back = [data for event, data in heard(world.receivers) if event == "smarttag.endpoint.recovered"]
    assert back == [{"subscriber": "a", "since": "2026-09-21T14:13:20.000Z"}]


@pytest.mark.parametrize("answer", [FAILED, GONE])
def test_no_event_is_about_an_event_for_operators(answer: Any) -> None:
    world = World(READ, lambda who, _before: OK if who == "b" else answer)
    world.tell()
    for _ in range(12):
        world.sweep(97 * 3600)
    assert world.waiting == []
    ids = {webhook_id for who, webhook_id, _ in world.receivers.arrived if who == "ops"}
    assert len(ids) == 1
    assert len([letter for letter in world.letters if letter.startswith("deliveries/operator-")]) == 1


def test_nothing_is_kept_where_nobody_asks() -> None:
    world = World(reader(subscriber("a")), lambda _who, _before: GONE)
    world.tell()
    assert world.store.under("operator/") == []
    assert world.waiting == []


def test_while_subscribers_json_cannot_be_read_it_waits() -> None:
    fine = [True]

    def read() -> Any:
        if not fine[0]:
            raise BadInput("unreadable")
        return READ()

    def refuse(*_about: str) -> None:
        raise BadInput("no")

    world = World(read, publish=refuse)
    fine[0] = False
    world.tell()
    assert world.sweep(1) == {"suspended": 1}
    fine[0] = True
    world.sweep(10)
    assert [event for event, _ in heard(world.receivers)] == ["smarttag.publication.dead"]


def test_a_subscriber_that_asks_gets_them_whatever_its_when_and_select() -> None:
    asks = subscriber("ops", events=("*",), when="alerts", select="persons", payload="full")
    world = World(reader(subscriber("a"), asks), lambda who, _before: GONE if who == "a" else OK)
    world.tell()
    world.sweep(1)
    assert [event for event, _ in heard(world.receivers)] == ["smarttag.endpoint.gone"]


def test_names_and_types_are_those_that_can_be_asked_for() -> None:
    names = ("succeeded", "failed", "processing", "submitted", "exhausted", "endpointGone", "recovered", "unpublished")
    assert tuple(map(event_type, names)) == EVENT_TYPES


class _Killed(BaseException):
    pass


class _Mortal:
    """Workers over one store, one of which dies at a step; steps are counted from the moment that matters."""

    def __init__(self, answer: Callable[[str, int], Any]) -> None:
        self.clock = Clock()
        self.step = 0
        self.dies_at = -1
        self.receivers = Receivers(answer, self._gate)
        self.store = MemoryStore(self.clock, self._gate)

    def _gate(self, _what: str, _key: str, _when: str) -> None:
        self.step += 1
        if self.step == self.dies_at:
            raise _Killed

    def live(self, work: Callable[[Node], object], dies_at: int = -1, after: float = 0.0) -> int:
        """Let a new worker work until it dies; return how many steps it made."""
        self.clock.now += after
        self.step, self.dies_at = 0, dies_at
        with suppress(_Killed):
            work(Node(self.store, READ, self.receivers, clock=self.clock, rng=random.Random(3)))
        return self.step


def _tell(job: str) -> Callable[[Node], object]:
    return lambda node: node.tell(job)


def _exhausted(dies_at: int) -> tuple[int, Receivers]:
    world = _Mortal(lambda who, _before: FAILED if who == "a" else OK)
    world.live(_tell("job1"))
    steps = world.live(Node.sweep, dies_at, after=97 * 3600)
    for _ in range(4):
        world.live(Node.sweep, after=700)
    return steps, world.receivers


def _gone(dies_at: int) -> tuple[int, Receivers]:
    world = _Mortal(lambda who, _before: GONE if who == "a" else OK)
    steps = world.live(_tell("job1"), dies_at)
    world.live(_tell("job1"))  # nobody has answered, so the notification comes again
    for _ in range(4):
        world.live(Node.sweep, after=700)
    return steps, world.receivers


def _recovered(dies_at: int) -> tuple[int, Receivers]:
    world = _Mortal(lambda who, before: FAILED if who == "a" and before < TRIPS_AT else OK)
    for number in range(TRIPS_AT):
        world.live(_tell(f"job{number}"))
    steps = world.live(Node.sweep, dies_at, after=700)
    for _ in range(4):
        world.live(Node.sweep, after=700)
    world.live(_tell("last"))  # if not before, it is told at the next success
    world.live(Node.sweep, after=700)
    return steps, world.receivers


@pytest.mark.parametrize(
    ("run", "event"),
    [
        (_exhausted, "smarttag.delivery.exhausted"),
        (_gone, "smarttag.endpoint.gone"),
        (_recovered, "smarttag.endpoint.recovered"),
    ],
)
def test_killed_at_every_step_operators_hear_of_it_under_one_id(
    run: Callable[[int], tuple[int, Receivers]], event: str
) -> None:
    """However often it is told, the id is the same, so that a receiver takes it once."""
    total, _ = run(-1)
    assert total > 10
    for number in range(1, total + 1):
        events = [each for each, _ in heard(run(number)[1])]
        assert events == [event], number
