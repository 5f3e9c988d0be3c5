"""A bucket of the version whose tasks lay by time alone, and deliveries below ``jobs/``: carried on, told once."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from local import recorded
from shared.outbox.task import parse_key
from shared.webhooks.sender import Attempt
from tests.fakes.node import World, reader, subscriber
from tests.fakes.receivers import FAILED, OK

BUCKET = json.loads((Path(__file__).parent / "bucket_before_partitions.json").read_bytes())
ACCEPTED: dict[str, str] = BUCKET["sent"]  # when it was recorded: subscriber and webhook-id to body
TOLD_THEN = ("delivered", "exhausted", "lettered", "redelivered", "waiting", "gone", "down-0")
OLD = ("cms", "archive")  # subscribers when most of it was published


class Service:
    """Answers as MPS does, under another request ID each time."""

    asked = 0
    mended = False

    def query(self, job_id: str, _deadline: float, _admits: object) -> bytes:
        self.asked += 1
        response = recorded.jobs()["fail" if job_id == "failed" and not self.mended else "cpv"].response
        return response.replace(b'"RequestId": "0000', b'"RequestId": "%04d' % self.asked)


def deployed(answer: Attempt = OK) -> World:
    """Return the world in which this version has just taken over; everybody is well."""
    names = [subscriber("cms"), subscriber("archive", payload="full"), subscriber("gone"), subscriber("down")]
    world = World(reader(*names), lambda _who, _before: answer)
    world.clock.now = BUCKET["recordedAt"]
    for key, body in BUCKET["objects"].items():
        raw = base64.b64decode(body["base64"]) if isinstance(body, dict) else body.encode()
        world.store.load(key, raw, BUCKET["ages"][key])
    world.one = world.node(source=Service())
    return world


def sweep_to_the_end(world: World) -> None:
    for _ in range(90):
        if not world.waiting:
            return
        world.sweep(60)
    raise AssertionError(f"still waiting: {world.waiting}")


def webhook_id(job: str, event: str = "succeeded") -> str:
    return "msg_" + hashlib.sha256(f"{job}\n{event}".encode()).hexdigest()[:32]


def arrived(world: World) -> Counter[tuple[str, str]]:
    return Counter((who, message) for who, message, _ in world.receivers.arrived)


def test_its_tasks_are_moved_into_their_partitions_and_everybody_hears_once() -> None:
    world = deployed()
    assert all(key.split("/")[1].isdigit() for key in world.waiting)
    assert len(world.waiting) == 14
    sweep_to_the_end(world)
    found = arrived(world)
    untold = [("cms", "waiting"), *(("down", f"down-{number}") for number in range(3))]
    untold += [(who, job) for who in OLD for job in ("enqueued", "untold", "halfway", "throttled", "unannounced")]
    assert {each: found[each[0], webhook_id(each[1])] for each in untold} == dict.fromkeys(untold, 1)
    # Its worker died between the 2xx and the receipt: the one repeat.
    crashed = {who: found[who, webhook_id("crashed")] for who in OLD}
    assert sum(crashed.values()) == 2
    assert max(found.values()) == 1
    for who, message, body in world.receivers.arrived:
        assert ACCEPTED.get(f"{who} {message}", body.decode()) == body.decode(), "a repeat differs"


def test_who_was_told_is_not_told_again_when_notifications_come_again() -> None:
    world = deployed()
    sweep_to_the_end(world)
    before = len(world.receivers.arrived)
    for job in (*TOLD_THEN, "crashed", "enqueued", "untold", "halfway", "throttled", "unannounced"):
        assert set(world.tell(job).values()) <= {"duplicate"}, job  # of a fan-out the receipt names nobody
    assert len(world.receivers.arrived) == before


def test_a_claim_whose_worker_died_before_it_wrote_the_task_down_is_carried_on_when_the_notification_comes_again() -> (
    None
):
    world = deployed()
    assert not any("claimed" in key for key in world.waiting)
    world.tell("claimed")
    assert any("claimed" in key for key in world.waiting)
    sweep_to_the_end(world)
    assert [arrived(world)[who, webhook_id("claimed")] for who in OLD] == [1, 1]


def test_a_failed_job_that_it_published_is_told_anew_once_there_is_a_better_answer() -> None:
    world = deployed()
    service = Service()
    service.mended = True
    world.one = world.node(source=service)
    assert world.tell("failed") == {"cms": "delivered", "archive": "delivered", "down": "delivered", "gone": "gone"}
    assert arrived(world)["cms", webhook_id("failed", "succeeded-2")] == 1


@pytest.mark.parametrize(
    ("letter", "who", "job"),
    [
        ("deliveries/exhausted~succeeded~archive~0", "archive", "exhausted"),
        ("deliveries/lettered~succeeded~cms~rc66790da5943c446", "cms", "lettered"),
        ("deliveries/gone~succeeded~gone~0", "gone", "gone"),
    ],
)
def test_its_dead_deliveries_are_replayed_redeliveries_too(letter: str, who: str, job: str) -> None:
    world = deployed()
    sweep_to_the_end(world)
    before = arrived(world)[who, webhook_id(job)]
    world.one.dead.replay(letter, lambda _raw: None)
    sweep_to_the_end(world)
    assert arrived(world)[who, webhook_id(job)] == before + 1
    assert letter not in world.letters
    sent = world.receivers.arrived[-1][2].decode()
    assert ACCEPTED.get(f"{who} {webhook_id(job)}", sent) == sent


def test_its_dead_job_is_replayed_and_published() -> None:
    world = deployed()
    world.one.dead.replay("jobs/refused", lambda _raw: None)
    sweep_to_the_end(world)
    assert "jobs/refused/manifest.json" in world.store.objects
    assert [arrived(world)[who, webhook_id("refused")] for who in OLD] == [1, 1]


def test_its_deliveries_are_shown_before_and_after() -> None:
    world = deployed()
    shown = {job: {each["subscriber"]: each["state"] for each in world.one.state(job)} for job in TOLD_THEN}
    assert shown["waiting"] == {"archive": "delivered", "cms": "waiting"}
    assert shown["exhausted"] == {"archive": "dead", "cms": "delivered"}
    assert shown["down-0"] == {"archive": "delivered", "cms": "delivered", "down": "waiting", "gone": "gone"}
    assert [each["state"] for each in world.one.state("lettered")] == ["delivered", "delivered", "dead"]
    sweep_to_the_end(world)
    assert {each["state"] for each in world.one.state("waiting")} == {"delivered"}
    world.one.redeliver("delivered", "cms", "again")
    assert [each["state"] for each in world.one.state("delivered")].count("delivered") == 3


def test_what_is_written_for_it_is_named_so_that_the_version_before_can_go_on() -> None:
    """Its instances may still be at work: they read the claims of publications, and what is below ``jobs/``."""
    world = deployed(FAILED)
    for _ in range(4):
        world.sweep(60)
    moved = [parse_key(key) for key in world.waiting if not key.split("/")[1].isdigit()]
    assert {task.prefix.split("/")[0] for task in moved if task} == {"jobs", "deliveries"}
    assert all(task.prefix.startswith("jobs/") for task in moved if task and task.job_id in {"crashed", "enqueued"})
    world.tell("new")
    claim = json.loads(world.store.get("jobs/new/deliveries/publish/final/0/attempt-01.claim.json"))
    assert claim["task"].split("/")[1].startswith("17903"), "it enqueues what a claim names, if its maker has died"
