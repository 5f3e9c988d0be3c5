"""``smarttag replay-failed``: an event leaves the queue once what it asks for is written down, and not before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from local import failed_queue
from local.cloud import fc_async
from local.cloud.accounts import ROLE, USER
from local.cloud.fc_async import AsyncOutcome
from local.cloud.fc_instance import Result
from local.cloud.mns_queue import MnsQueue
from local.cloud.server import Fault, Response
from local.failed_queue import FailedQueue, Replayed
from local.recorded import jobs
from shared.credentials import Credentials
from shared.errors import AccessRefused, BadInput, BadSettings, RelayError, Unavailable
from shared.triggers import parse
from tests.fakes.memory_store import MemoryStore, open_gate
from tests.fakes.node import Clock, Node, reader, subscriber
from tests.fakes.receivers import OK, Receivers

GOOD = jobs()["cpv"].response


class Source:
    def query(self, _job_id: str, _deadline: float, _admits: object) -> bytes:
        return GOOD


class World:
    """A queue, and the bucket that could not be reached when its events came."""

    def __init__(self, queue: MnsQueue, clock: Clock) -> None:
        self.mns, self.clock = queue, clock
        self.store = MemoryStore(clock)
        self.receivers = Receivers(lambda _who, _before: OK)
        self.node = Node(self.store, reader(subscriber("a")), self.receivers, clock=clock, source=Source())
        self.queue = FailedQueue(queue.queue_url, lambda: ROLE)

    def fail(self, *events: Any) -> None:
        for event in events:
            body = event if isinstance(event, bytes) else orjson.dumps(event)
            outcome = AsyncOutcome("smarttag-callback", 9, Result(200, b"{}", "UnhandledInvocationError"))
            self.mns.send(fc_async.failure_event(outcome, body, "cn-shanghai", self.clock.now))

    def replay(self, limit: int = 1000) -> Replayed:
        publisher = self.node.publisher
        return failed_queue.replay(self.queue, lambda body, name: publisher.enqueue(parse(body), name), limit)

    def told(self) -> list[str]:
        for _ in range(3):
            self.clock.now += 130
            self.node.sweep()
        assert self.store.under("outbox/") == []
        return sorted(orjson.loads(body)["data"]["jobId"] for _, _, body in self.receivers.accepted)


@pytest.fixture
def world() -> Iterator[World]:
    clock = Clock()
    with MnsQueue(clock=clock) as queue:
        yield World(queue, clock)


def job(number: int) -> dict[str, str]:
    return {"Type": "smarttag", "JobId": f"job-{number:02}", "State": "Success", "UserData": "<&>"}


def test_every_event_is_enqueued_and_leaves_the_queue(world: World) -> None:
    world.fail(*map(job, range(40)), {"triggerTime": "2026-01-01T00:00:00Z", "triggerName": "sweep"}, b"no event")
    done = world.replay()
    assert (done.failed, done.stopped, world.mns.bodies) == ({}, "", [])
    found = sorted(str(report["outcome"].value) for each in done.enqueued.values() for report in each)  # type: ignore[attr-defined]
    assert found == ["accepted"] * 40 + ["poison", "skipped"]
    assert len(world.store.under("dead/notifications/")) == 2
    assert world.told() == [f"job-{number:02}" for number in range(40)]
    assert world.replay() == Replayed()


def test_no_more_are_taken_than_were_asked_for(world: World) -> None:
    world.fail(*map(job, range(40)))
    assert len(world.replay(17).enqueued) == 17
    assert len(world.mns.bodies) == 23


def test_what_cannot_be_written_down_stays_in_the_queue(world: World) -> None:
    world.fail(*map(job, range(40)))

    def gate(_what: str, key: str, _when: str) -> None:
        if "job-03" in key:
            raise AccessRefused("OSS answered 403")

    world.store.gate = gate
    done = world.replay()
    assert list(done.failed.values()) == ["OSS answered 403"]
    assert len(done.enqueued) == 15, "nothing more is received that would be hidden for a while"
    world.store.gate = open_gate
    assert len(world.replay().enqueued) == 24, "the one that failed is still hidden"
    world.clock.now += 31
    assert len(world.replay().enqueued) == 1
    assert world.told() == [f"job-{number:02}" for number in range(40)]


@pytest.mark.parametrize("lost", range(6))
@pytest.mark.parametrize("kind", ["reset", "reset-after", "answer"])
def test_whatever_request_fails_each_job_is_told_of_once(world: World, kind: str, lost: int) -> None:
    world.fail(*map(job, range(4)))
    seen = iter(range(100))
    world.mns.fail(Fault(kind, match=lambda _request: next(seen) == lost, response=Response(403)))
    for _ in range(4):
        world.replay()
        world.clock.now += 31
    assert world.mns.bodies == []
    assert world.told() == [f"job-{number:02}" for number in range(4)]


def test_a_message_that_took_too_long_comes_again_and_does_nothing_twice(world: World) -> None:
    world.fail(job(1))
    (message,) = world.queue.receive(16)
    world.node.publisher.enqueue(parse(message.body), message.id)
    world.clock.now += 31
    world.queue.delete(message)
    assert len(world.mns.bodies) == 1
    assert len(world.replay().enqueued) == 1
    assert world.told() == ["job-01"]


def test_a_command_to_send_again_is_named_by_its_message(world: World) -> None:
    world.fail(job(1))
    world.replay()
    assert world.told() == ["job-01"]
    world.fail({"command": "publish", "jobId": "job-01", "redeliver": True})
    (message,) = world.queue.receive(16)
    for _ in range(2):  # killed before it was deleted
        world.node.publisher.enqueue(parse(message.body), message.id)
    assert world.told() == ["job-01"] * 2


@pytest.mark.parametrize(
    ("url", "credentials", "error"),
    [
        ("{}/queues/other", ROLE, BadSettings),
        ("{}/queues/smarttag-failed", Credentials(ROLE.access_key_id, "wrong", ROLE.security_token), AccessRefused),
        ("{}/queues/smarttag-failed", Credentials("nobody", "wrong"), AccessRefused),
    ],
)
def test_what_mns_refuses_is_named(world: World, url: str, credentials: Credentials, error: type[RelayError]) -> None:
    queue = FailedQueue(url.format(world.mns.url), lambda: credentials)
    with pytest.raises(error, match="MNS answered 40"):
        queue.receive(16)
    assert failed_queue.replay(queue, lambda _body, _name: [], 1).stopped


@pytest.mark.parametrize(
    "url",
    [
        "http://1.mns.cn-shanghai.aliyuncs.com/queues/q",
        "https://mns/topics/q",
        "ftp://127.0.0.1/queues/q",
        "https://[mns/queues/q",
        "q",
        "",
    ],
)
def test_what_is_no_queue_is_not_asked(url: str) -> None:
    with pytest.raises(BadInput, match="is no URL of a queue"):
        FailedQueue(url, lambda: ROLE)


@pytest.mark.parametrize(
    "body", [b"", b"<Messages><Message/></Messages>", b"<!DOCTYPE x [<!ENTITY y 'z'>]><Messages/>"]
)
def test_an_answer_that_is_none_is_worth_retrying(world: World, body: bytes) -> None:
    world.mns.fail(Fault("answer", times=9, response=Response(200, body)))
    with pytest.raises(Unavailable, match="no messages"):
        world.queue.receive(1)


def test_requests_are_signed_as_the_sdk_of_mns_signs_them() -> None:
    """By aliyun-mns-sdk 1.3.0, for the same key, date and queue."""
    messages = "/queues/smarttag-failed/messages"
    signed = partial(failed_queue.sign, now=Credentials("id", "secret"), date="Thu, 26 Nov 2026 20:00:00 GMT")
    found = [
        signed("GET", f"{messages}?numOfMessages=16&waitseconds=0"),
        signed("DELETE", f"{messages}?ReceiptHandle=1-ODU4OTkzNDU5My0xNDMyNzI3ODMwLTE4"),
    ]
    assert [each.headers["authorization"] for each in found] == [
        "MNS id:TBp5xznvfW/XFs6gpcDUdOIXt1w=",
        "MNS id:pAN7zUT9mnwqobOx8SyusYhWmZs=",
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_says_what_became_of_them(tmp_path: Path, *, as_json: bool) -> None:
    with MnsQueue() as queue:
        for number in range(2):
            queue.send(orjson.dumps(job(number)))

        def run(url: str) -> subprocess.CompletedProcess[str]:
            keys = {"ALIBABA_CLOUD_ACCESS_KEY_ID": USER.access_key_id, "OUTPUT_URL": f"file://{tmp_path}"}
            keys |= {"ALIBABA_CLOUD_ACCESS_KEY_SECRET": USER.access_key_secret}
            command = [sys.executable, "-c", "from local.cli.main import main; main()", "replay-failed", url]
            options = ["--json"] * as_json
            return subprocess.run(
                [*command, *options], env={**os.environ, **keys}, check=False, capture_output=True, text=True
            )

        done, other = run(queue.queue_url), run(f"{queue.url}/queues/other")
    assert (done.returncode, other.returncode) == (0, 1), done.stderr
    assert len(list(tmp_path.glob("outbox/*/*"))) == 2
    assert "there is no such queue; correct its URL" in other.stderr
    if as_json:
        told = json.loads(done.stdout)
        assert [each["jobs"][0]["outcome"] for each in told["enqueued"]] == ["accepted"] * 2
        assert "no such queue" in json.loads(other.stdout)["stopped"]
    else:
        assert done.stdout == "2 events enqueued again: 2 accepted\n"
