"""A bucket that the version before the outbox was a room of its own left behind, and what newer ones will leave."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import recorded
from shared.errors import JobNotFound
from shared.outbox.records import NewerRecord
from tests.fakes.node import World, reader, subscriber

BUCKET = json.loads((Path(__file__).parent / "bucket_before_the_outbox_room.json").read_bytes())
SENT: dict[str, str] = BUCKET["sent"]
EVERYBODY = ("archive", "cms", "down")  # and one that is gone
DOWN = [f"down-{number}" for number in range(6)]
LETTERS = {
    "deliveries/exhausted~succeeded~archive~0": "answered 500",
    "deliveries/gone~succeeded~gone~0": "answered 410",
    "jobs/refused": "MPS answered 400 InvalidParameter for job refused",
    "notifications/537a6a803fdb09f052c0186abb1c32a43c1841a3b19e7ff32b3fb3b18be9af52": (
        "the bytes look like UTF-16 or UTF-32; send UTF-8"
    ),
}
# Nobody had heard of these when the bucket was recorded.
UNTOLD = {
    ("cms", "waiting"),
    *(("down", job) for job in DOWN),
    *((who, job) for who in EVERYBODY for job in ("asked", "crashed", "throttled", "unannounced")),
}


class Service:
    """Answers what it answered then, under another request ID each time, as MPS does."""

    asked = 0

    def query(self, job_id: str, _deadline: float, _admits: object) -> bytes:
        if job_id == "never":
            raise JobNotFound(f"there is no job {job_id}", jobId=job_id)
        self.asked += 1
        response = recorded.jobs()["cpv"].response
        assert b'"RequestId": "0000' in response
        return response.replace(b'"RequestId": "0000', b'"RequestId": "%04d' % self.asked)


def bucket() -> dict[str, bytes]:
    return {
        key: base64.b64decode(found["base64"]) if isinstance(found, dict) else found.encode()
        for key, found in BUCKET["objects"].items()
    }


def deployed() -> World:
    """Return the world in which this version has just replaced the one before; everybody is well again."""
    names = [subscriber("cms"), subscriber("archive", payload="full"), subscriber("gone"), subscriber("down")]
    world = World(reader(*names))
    world.clock.now = BUCKET["recordedAt"]
    for key, body in bucket().items():
        world.store.load(key, body, BUCKET["ages"][key])
    world.one = world.node(source=Service())
    return world


def sweep_to_the_end(world: World) -> None:
    """Sweep every minute, as the timer does."""
    for _ in range(60):
        if not world.waiting:
            return
        world.sweep(60)
    raise AssertionError(f"still waiting: {world.waiting}")


# What is published after the 410 is kept for whoever answered it.
MISSED = [f"deliveries/{job}~succeeded~gone~0" for job in ("asked", "crashed", "throttled", "unannounced")]


def webhook_id(job: str, event: str = "succeeded") -> str:
    return "msg_" + hashlib.sha256(f"{job}\n{event}".encode()).hexdigest()[:32]


def test_it_is_worked_to_its_end_and_everybody_hears_once_what_they_had_not_heard() -> None:
    world = deployed()
    assert len(world.waiting) == 14
    sweep_to_the_end(world)
    arrived = Counter((who, message) for who, message, _ in world.receivers.arrived)
    assert arrived == dict.fromkeys(((who, webhook_id(job)) for who, job in UNTOLD), 1)
    assert world.letters == sorted([*LETTERS, *MISSED])


def test_what_is_sent_again_is_what_was_sent_then() -> None:
    world = deployed()
    sweep_to_the_end(world)
    sent = {f"{who} {message}": body.decode() for who, message, body in world.receivers.arrived}
    repeated = sent.keys() & SENT.keys()
    assert len(repeated) == 6
    assert all(sent[each] == SENT[each] for each in repeated)
    made = bucket()["jobs/crashed/deliveries/succeeded/to/cms/body.json"]  # and its worker died before it was sent
    assert sent[f"cms {webhook_id('crashed')}"] == made.decode()


def test_who_was_told_is_not_told_again_when_a_notification_comes_again() -> None:
    world = deployed()
    sweep_to_the_end(world)
    before = len(world.receivers.arrived)
    for job in ("asked", "crashed", "delivered", "exhausted", "gone", "redelivered", "throttled", "unannounced"):
        assert {who: state for who, state in world.tell(job).items() if who not in {"down", "gone"}} == {
            name: "duplicate" for name in EVERYBODY if name != "down"
        }
    # It was no subscriber yet when these were published.
    new = [("down", webhook_id(job)) for job in ("delivered", "exhausted", "gone", "redelivered")]
    assert [(who, message) for who, message, _ in world.receivers.arrived[before:]] == new


@pytest.mark.parametrize("name", LETTERS)
def test_its_dead_letters_are_shown(name: str) -> None:
    world = deployed()
    assert world.letters == list(LETTERS)
    assert world.reason(name) == LETTERS[name]


@pytest.mark.parametrize(
    ("name", "who", "job"),
    [
        ("deliveries/exhausted~succeeded~archive~0", "archive", "exhausted"),
        ("deliveries/gone~succeeded~gone~0", "gone", "gone"),
    ],
)
def test_a_dead_delivery_is_replayed_as_what_it_was(name: str, who: str, job: str) -> None:
    world = deployed()
    sweep_to_the_end(world)
    before = len(world.receivers.arrived)
    world.one.dead.replay(name, fails)
    sweep_to_the_end(world)
    message = webhook_id(job)
    assert world.receivers.arrived[before:] == [(who, message, SENT[f"{who} {message}"].encode())]
    assert name not in world.letters
    assert len(world.letters) == len(LETTERS) + len(MISSED) - 1


def test_a_dead_job_is_replayed_and_published() -> None:
    world = deployed()
    sweep_to_the_end(world)
    before = len(world.receivers.arrived)
    world.one.dead.replay("jobs/refused", fails)
    sweep_to_the_end(world)
    assert "jobs/refused/manifest.json" in world.store.objects
    told = sorted((who, message) for who, message, _ in world.receivers.arrived[before:])
    assert told == [(who, webhook_id("refused")) for who in EVERYBODY]
    assert "jobs/refused" not in world.letters


def test_a_poison_message_is_replayed_as_it_came() -> None:
    world = deployed()
    (name,) = (name for name in LETTERS if name.startswith("notifications/"))
    handled: list[bytes] = []
    world.one.dead.replay(name, handled.append)
    assert handled == [b"\x00\xffpoison"]
    assert name not in world.letters
    assert world.store.under(f"dead/{name}") == []


def fails(raw: bytes) -> None:
    raise AssertionError(f"no message: {raw!r}")


def test_its_deliveries_are_shown_in_the_words_of_today() -> None:
    well = {"archive": "delivered", "cms": "delivered"}
    expected = {
        "delivered": well,
        "exhausted": {"archive": "dead", "cms": "delivered"},
        "progress": well,
        "waiting": {"archive": "delivered", "cms": "waiting"},
        "gone": {**well, "gone": "gone"},
        "crashed": {"archive": "waiting", "cms": "sending", "down": "waiting"},
        **{job: {**well, "down": "waiting"} for job in DOWN},
        "throttled": {},
        "unannounced": {},
    }
    world = deployed()
    assert {job: {each["subscriber"]: each["state"] for each in world.one.state(job)} for job in expected} == expected
    sweep_to_the_end(world)
    after = Counter(each["state"] for job in expected for each in world.one.state(job))
    assert after.keys() == {"delivered", "dead", "gone"}
    assert (after["dead"], after["gone"]) == (1, 4)  # of what was missed, one job is not among them


def test_a_delivery_of_then_is_shown_with_all_its_fields() -> None:
    (cms,) = (each for each in deployed().one.state("waiting") if each["subscriber"] == "cms")
    attempt = {"attempt": 1, "at": "2026-09-25T15:16:50.000Z", "kind": "failed", "status": 500, "durationMs": 30}
    assert cms == {
        "event": "smarttag.job.succeeded",
        "webhookId": webhook_id("waiting"),
        "subscriber": "cms",
        "redeliveryId": None,
        "state": "waiting",
        "attempts": [{**attempt, "excerpt": "oops", "error": "answered 500"}],
        "enqueuedAt": "2026-09-25T15:16:50.000Z",
        "nextTry": "2026-09-25T15:17:57.474Z",
    }


def test_redeliveries_of_then_are_shown_beside_what_they_repeat() -> None:
    shown = [(each["subscriber"], each["redeliveryId"], each["state"]) for each in deployed().one.state("redelivered")]
    assert shown == [
        ("archive", None, "delivered"),
        ("archive", "ra697f8b99a46c846", "delivered"),
        ("cms", None, "delivered"),
        ("cms", "r9456bdfa12ea7695", "delivered"),
        ("cms", "ra697f8b99a46c846", "delivered"),
    ]


NEWER = b'{"version": 3, "since": "then"}'

# Nobody's.
FOREIGN = [
    "outbox/0",
    "outbox/readme.txt",
    "outbox/1790000000000",
    "outbox/1790000000000/delivery~job1~succeeded~a~0~01~1790000000000/below",
    "outbox/1790000000000/delivery~job1~succeeded~a~0~01",
    "outbox/1790000000000/delivery~../job1~succeeded~a~0~01~1790000000000",
    "outbox/1790000000000/delivery~~succeeded~a~0~01~1790000000000",
    "outbox/1790000000000/delivery~" + "j" * 65 + "~succeeded~a~0~01~1790000000000",
    "outbox/1790000000000/delivery~job1~succeeded~a b~0~01~1790000000000",
    "outbox/1790000000000/delivery~job1~succeeded~a~zz~01~1790000000000",
    "outbox/1790000000000/delivery~job1~succeeded~a~0~-1~1790000000000",
    "outbox/1790000000000/delivery~job1~succeeded~a~0~\u0661\u0662~1790000000000",
    "outbox/1790000000000/Delivery~job1~succeeded~a~0~01~1790000000000",
    "outbox/1790000000000/strike~job1~succeeded~a~0~01~1790000000000",
    "outbox/179000000000/delivery~job1~succeeded~a~0~01~1790000000000",
    "outbox/\U0001f600/delivery~job1~succeeded~a~0~01~1790000000000",
    "outbox/~~~~~~~",
    # of nothing, or to nobody
    "outbox/0000000000001/delivery~never~~a~0~01~1790000000000",
    "outbox/0000000000001/delivery~never~succeeded~~0~01~1790000000000",
    "outbox/0000000000001/fanout~never~~~ffff~00~0",
    "outbox/0000000000001/fanout~never~succeeded~a~0~999~1790000000000",
    "outbox/0000000000001/publish~never~Success~a~9999999999999999~999~0",
    # of another partition than their own, or of none
    "outbox/publish~never~first/0000000000001~never~Success~0~01~0",
    "outbox/delivery~a~retry/0000000000001~never~succeeded~0~01~0",
    "outbox/delivery~a b~first/0000000000001~never~succeeded~0~01~0",
    "outbox/delivery~a~first/0000000000001~never~succeeded~0~1~0",
    "outbox/~~~/1",
]
# They read as tasks, and can lead to nothing.
PLANTED = [
    "outbox/0000000000000/delivery~never~succeeded~a~0~01~0",
    "outbox/0000000000000/delivery~never~succeeded~nobody~0~01~9999999999999999",
    "outbox/0000000000001/delivery~never~NoSuchEvent~a~0~01~1790000000000",
    "outbox/0000000000001/delivery~never~succeeded~a~r0~00~1790000000000",
    "outbox/0000000000001/delivery~never~succeeded~a~0~999~1790000000000",
    "outbox/0000000000001/fanout~never~NoSuchEvent~~0~01~1790000000000",
    "outbox/0000000000001/publish~never~NoSuchStatus~~0~01~1790000000000",
]


@pytest.mark.parametrize("body", [b"{}", b"", b"\xff no JSON", b'{"version": 99}'])
@pytest.mark.parametrize("key", [*FOREIGN, *PLANTED])
def test_what_was_planted_into_the_outbox_stops_no_sweep(key: str, body: bytes) -> None:
    world = world_of_a()
    world.store.put(key, body)
    crash_before_delivering(world)
    world.sweep(130)
    assert [(who, message) for who, message, _ in world.receivers.arrived] == [("a", webhook_id("job1"))]
    if key in FOREIGN:
        assert world.waiting == [key], "it is not ours to remove"


def test_all_of_it_at_once_comes_to_rest() -> None:
    """In the end only what is nobody's is left, and every task that led to nothing has a letter."""
    world = world_of_a()
    for key in (*FOREIGN, *PLANTED):
        world.store.put(key, b"{}")
    crash_before_delivering(world)
    for _ in range(40):
        world.sweep(86400 / 4)
    assert [(who, message) for who, message, _ in world.receivers.arrived] == [("a", webhook_id("job1"))]
    assert world.waiting == sorted(FOREIGN)
    assert world.letters
    assert all(world.reason(letter) for letter in world.letters)


@pytest.mark.parametrize("what", ["attempt-01.claim", "attempt-01.result", "receipt"])
def test_a_record_of_a_newer_version_is_left_alone_and_stops_nobody_else(
    what: str, lines: list[dict[str, Any]]
) -> None:
    world = world_of_a()
    crash_before_delivering(world, "job1")
    crash_before_delivering(world, "job2")
    (task,) = (key for key in world.waiting if "/delivery~" in key and "~job1~" in key)
    key = f"deliveries/job1/succeeded/to/a/0/{what}.json"
    world.store.put(key, NEWER)
    for _ in range(3):
        world.sweep(130)
    assert [message for _, message, _ in world.receivers.arrived] == [webhook_id("job2")]
    assert world.waiting == [task]
    assert world.store.get(key) == NEWER
    left = [line for line in lines if line.get("task") == task]
    assert {(line["error"], line["version"]) for line in left} == {("NewerRecord", "3")}
    assert all("newer software wrote it" in line["message"] for line in left)


def test_a_dead_letter_of_a_newer_version_is_left_alone_and_stops_no_other() -> None:
    world = deployed()
    world.store.put("dead/deliveries/job1~succeeded~a~0.json", NEWER)
    assert world.letters == sorted([*LETTERS, "deliveries/job1~succeeded~a~0"])
    with pytest.raises(NewerRecord, match="newer software wrote it"):
        world.one.dead.replay("deliveries/job1~succeeded~a~0", fails)
    assert world.store.get("dead/deliveries/job1~succeeded~a~0.json") == NEWER
    world.one.dead.replay("jobs/refused", fails)
    sweep_to_the_end(world)
    assert "jobs/refused/manifest.json" in world.store.objects


class Crashed(BaseException):
    pass


def world_of_a() -> World:
    world = World(reader(subscriber("a")))
    world.one = world.node(source=Service())
    return world


def crash_before_delivering(world: World, job: str = "job1") -> None:
    """Leave a delivery in the outbox."""

    def gate(_what: str, _who: str, _when: str) -> None:
        raise Crashed

    world.receivers.gate = gate
    with pytest.raises(Crashed):
        world.tell(job)
    world.receivers.gate = lambda *_: None
    assert any("/delivery~" in key and f"~{job}~" in key for key in world.waiting)


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The events that are logged, with their fields, as they are logged."""
    found: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append({"event": record.getMessage(), **getattr(record, "fields", {})})

    logger, keep = logging.getLogger("smarttag"), Keep()
    logger.addHandler(keep)
    yield found
    logger.removeHandler(keep)
