"""The queue alternative: messages of a queue, in batches and in both codings, through the callback."""

from __future__ import annotations

import base64
from pathlib import Path

import orjson
import yaml

from local import recorded
from local.cloud.eventbridge import QueueStream
from local.cloud.world import CALLBACK, world
from shared.triggers import MOST, JobChanged, Poison, parse

TRIGGER = Path(__file__).parents[2] / "docs" / "queue" / "trigger.yml"


def message(job_id: str) -> bytes:
    return orjson.dumps({"Type": "smarttag", "JobId": job_id, "State": "Success", "UserData": ""})


def test_a_queues_messages_are_published_each_once_whatever_their_coding(tmp_path: Path) -> None:
    jobs = {each.job_id: each.response for each in recorded.jobs().values() if each.name in {"meta", "asr", "fail"}}
    with world(tmp_path, jobs, sweep_seconds=3600) as running:

        def invoke(event: bytes) -> None:
            result = running.functions.invoke_function(CALLBACK, event)
            assert not result.error_type, result

        stream = QueueStream(invoke, batch=2)
        for number, job in enumerate(jobs):
            stream.send(base64.b64encode(message(job)) if number else message(job))
        stream.send(b"nobody understands this")
        stream.send(orjson.dumps({"Type": "Transcode", "JobId": "x", "State": "Success"}))
        assert stream.drain() == 3
        for job in jobs:
            stream.send(message(job))
        assert stream.drain() == 2
        assert running.settle()
        assert {path.parent.name for path in running.objects.glob("jobs/*/manifest.json")} == set(jobs)
        told = [orjson.loads(each.body)["data"]["jobId"] for each in running.receivers["cms"].deliveries]
        assert sorted(told) == sorted(jobs)
        assert len(list(running.objects.glob("dead/notifications/*.raw"))) == 1


def test_a_batch_that_fails_comes_again_whole_and_is_never_lost() -> None:
    seen: list[bytes] = []

    def invoke(event: bytes) -> None:
        seen.append(event)
        if len(seen) < 3:
            raise RuntimeError

    stream = QueueStream(invoke, batch=2, tries=2)
    for number in range(3):
        stream.send(message(f"job-{number}"))
    assert stream.drain() == 3
    assert [len(parse(each)) for each in seen] == [2, 2, 1]
    assert stream.dead == [seen[0]]
    assert [each.job_id for each in parse(stream.dead[0]) if isinstance(each, JobChanged)] == ["job-0", "job-1"]


def test_no_batch_of_the_trigger_is_larger_than_what_the_callback_takes() -> None:
    (trigger,) = yaml.safe_load(TRIGGER.read_text(encoding="utf-8"))
    config = trigger["triggerConfig"]
    largest = config["runOptions"]["batchWindow"]["CountBasedWindow"]
    events: list[bytes] = []
    decode = config["eventSourceConfig"]["eventSourceParameters"]["sourceMNSParameters"]["IsBase64Decode"]
    stream = QueueStream(events.append, batch=largest, decode=decode)
    for number in range(largest + 1):
        stream.send(message(f"job-{number}"))
    stream.drain()
    assert [len(parse(event)) for event in events] == [largest, 1]
    assert largest == MOST
    assert not any(isinstance(each, Poison) for event in events for each in parse(event))
