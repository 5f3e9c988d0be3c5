"""``HANDOFF``: the HTTP function answers at once, and the event function does the work: by a sweep, or through fc2."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import orjson
import pytest

from local import recorded
from local.cloud.accounts import ROLE
from local.cloud.fc_triggers import FcApi
from local.cloud.oss import BUCKET
from local.cloud.server import Fault, Response
from local.cloud.world import CALLBACK, PREFIX, World, world
from shared.errors import AccessRefused, BadInput
from shared.relay import Relay
from shared.settings import Settings

JOB = recorded.jobs()["documented"]
MESSAGE = orjson.dumps({"Type": "smarttag", "JobId": JOB.job_id, "State": "Success", "UserData": ""})


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, {JOB.job_id: JOB.response}) as running:
        yield running


ENVIRONMENT = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
    "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
}


def wired(env: dict[str, str]) -> Relay:
    built = Relay(Settings.from_env(env))
    built.begin(env, None)
    return built


@pytest.fixture
def queue(cloud: World) -> Relay:
    """A relay as the HTTP function has it, with ``HANDOFF=outbox``."""
    where = {"OUTPUT_URL": f"oss://{BUCKET}/{PREFIX}", "OSS_ENDPOINT": cloud.oss.url}
    return wired({**ENVIRONMENT, **where, "HANDOFF": "outbox"})


def sweep(cloud: World) -> None:
    cloud.timer.fire()
    assert cloud.settle()


def test_a_publication_is_accepted_once_it_is_enqueued_and_done_by_the_next_sweep(cloud: World, queue: Relay) -> None:
    ask = partial(queue.publish, JOB.job_id, redeliver=False, refresh=False, request_id="same-request")
    assert ask() == ask() == {"jobId": JOB.job_id, "outcome": "accepted"}
    assert cloud.mps.requests == [], "whoever asks need not wait for MPS"
    assert not (cloud.job(JOB.job_id) / "manifest.json").exists()
    sweep(cloud)
    assert (cloud.job(JOB.job_id) / "manifest.json").exists()
    sweep(cloud)  # of the two tasks it may have met the second while it did the first
    assert len(cloud.receivers["cms"].deliveries) == 1
    assert list((cloud.objects / "outbox").rglob("*~*")) == []


def test_an_enqueued_redelivery_sends_again_once_under_its_key_and_a_refresh_asks_again(
    cloud: World, queue: Relay
) -> None:
    for redeliver, refresh in ((False, False), (True, False), (True, False), (False, True)):
        queue.publish(JOB.job_id, redeliver=redeliver, refresh=refresh, request_id="same-key")
        sweep(cloud)
    first, second = cloud.receivers["cms"].deliveries
    assert (first.id, first.body) == (second.id, second.body)


def test_a_pushed_notification_is_enqueued_too_and_poison_kept(cloud: World, queue: Relay) -> None:
    skipped = {"Type": "Transcode", "JobId": "x", "State": "Success"}
    batch = orjson.dumps([orjson.loads(MESSAGE), skipped, 7])
    outcomes = [(each["jobId"], each["outcome"]) for each in queue.accept(batch)]
    assert outcomes == [(JOB.job_id, "accepted"), ("", "skipped"), ("", "poison")]
    assert len(list((cloud.objects / "dead" / "notifications").glob("*.raw"))) == 1
    sweep(cloud)
    assert (cloud.job(JOB.job_id) / "manifest.json").exists()


def test_a_push_that_could_not_be_written_down_is_to_come_again(cloud: World, queue: Relay) -> None:
    for message in (MESSAGE, b"nobody understands this"):
        cloud.oss.fail(Fault("answer", 99, response=Response(403, b"<Error><Code>AccessDenied</Code></Error>")))
        with pytest.raises(AccessRefused):
            queue.accept(message)
        cloud.oss.heal()


@pytest.fixture
def relay(cloud: World) -> Iterator[Relay]:
    """A relay as the HTTP function has it, with ``HANDOFF=fc2:...``."""
    with FcApi(cloud.functions) as api:
        handoff = f"fc2:{cloud.functions.service}/{CALLBACK}"
        where = {"OUTPUT_URL": "oss://unused/here", "INVOKE_ENDPOINT": api.url}
        yield wired({**ENVIRONMENT, **where, "HANDOFF": handoff})


def test_a_publication_is_handed_off_once_however_often_it_is_asked_for(cloud: World, relay: Relay) -> None:
    ask = partial(relay.publish, JOB.job_id, redeliver=False, refresh=False, request_id="same-request")
    assert ask() == ask() == {"jobId": JOB.job_id, "outcome": "accepted"}
    assert cloud.settle()
    assert len(cloud.functions.outcomes) == 1
    assert (cloud.job(JOB.job_id) / "manifest.json").exists()


def test_a_handed_off_redelivery_sends_again(cloud: World, relay: Relay) -> None:
    for request_id, redeliver in (("first", False), ("second", True)):
        assert (
            relay.publish(JOB.job_id, redeliver=redeliver, refresh=False, request_id=request_id)["outcome"]
            == "accepted"
        )
        assert cloud.settle()
    first, second = cloud.receivers["cms"].deliveries
    assert (first.id, first.body) == (second.id, second.body)


def test_a_pushed_notification_is_handed_off_too(cloud: World, relay: Relay) -> None:
    assert relay.accept(MESSAGE) == [{"jobId": JOB.job_id, "outcome": "accepted"}]
    assert cloud.settle()
    assert (cloud.job(JOB.job_id) / "manifest.json").exists()


def test_what_a_notification_asked_for_is_done_at_once_when_somebody_asks_after_the_repair(
    cloud: World, relay: Relay
) -> None:
    cloud.mps.refuse(403, "Forbidden.RAM", "no", 1)
    relay.accept(MESSAGE)
    assert cloud.settle()
    assert not (cloud.job(JOB.job_id) / "manifest.json").exists()
    relay.publish(JOB.job_id, redeliver=False, refresh=False, request_id="repaired")
    assert cloud.settle()
    assert (cloud.job(JOB.job_id) / "manifest.json").exists()


@pytest.mark.parametrize(
    "body",
    [
        b'{"command": "publish", "jobId": "job1", "redeliver": true}',
        b'{"triggerTime": "2026-11-22T08:30:00Z", "triggerName": "sweep", "payload": ""}',
        orjson.dumps([orjson.loads(MESSAGE), {"Message": '{"command": "publish", "jobId": "job1"}', "TopicName": "t"}]),
    ],
)
def test_whoever_may_notify_may_not_command(cloud: World, relay: Relay, queue: Relay, body: bytes) -> None:
    for each in (relay, queue):
        with pytest.raises(BadInput, match="only notifications"):
            each.accept(body)
    assert cloud.settle()
    assert len(cloud.functions.outcomes) == 0
