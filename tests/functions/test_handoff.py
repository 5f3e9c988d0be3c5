"""``HANDOFF``: the HTTP function answers at once, the event function does the work, through the real fc2 package."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import orjson
import pytest

from local import recorded
from local.cloud.accounts import ROLE
from local.cloud.fc_triggers import FcApi
from local.cloud.world import CALLBACK, World, world
from shared.errors import BadInput
from shared.settings import Settings
from shared.wiring import Relay

JOB = recorded.jobs()["documented"]
MESSAGE = orjson.dumps({"Type": "smarttag", "JobId": JOB.job_id, "State": "Success", "UserData": ""})


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, {JOB.job_id: JOB.response}) as running:
        yield running


@pytest.fixture
def relay(cloud: World) -> Iterator[Relay]:
    """A relay as the HTTP function has it, with ``HANDOFF`` set."""
    with FcApi(cloud.functions) as api:
        env = {
            "OUTPUT_URL": "oss://unused/here",
            "HANDOFF": f"fc2:{cloud.functions.service}/{CALLBACK}",
            "INVOKE_ENDPOINT": api.url,
            "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
        }
        built = Relay(Settings.from_env(env))
        built.begin(env, None)
        yield built


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
def test_whoever_may_notify_may_not_command(cloud: World, relay: Relay, body: bytes) -> None:
    with pytest.raises(BadInput, match="only notifications"):
        relay.accept(body)
    assert cloud.settle()
    assert len(cloud.functions.outcomes) == 0
