"""openapi.json describes every event that is sent, and what is really sent satisfies it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, ValidationError

from local.recorded import jobs
from shared.errors import BadInput
from shared.http import problems
from shared.jobs import JobStatus
from shared.smarttag import summarise
from shared.webhooks import operations, payload
from shared.webhooks.endpoint_health import TRIPS_AT
from shared.webhooks.subscribers import EVENT_TYPES
from tests.fakes.node import SummaryInMemory, World, reader, subscriber
from tests.fakes.receivers import FAILED, GONE, OK

DOCUMENT: dict[str, Any] = json.loads(Path(problems.__file__).with_name("openapi.json").read_bytes())
JOBS = jobs()


def check(body: bytes) -> str:
    """Validate a body by the schema of its type, and return that type."""
    event = orjson.loads(body)
    operation = DOCUMENT["webhooks"][event["type"]]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(event)
    return str(event["type"])


def test_every_event_is_described_and_no_other() -> None:
    assert DOCUMENT["webhooks"].keys() == {*EVENT_TYPES, operations.TEST_EVENT}


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("more", [{}, {"payload": "full"}, {"select": "persons[].name"}])
@pytest.mark.parametrize("link", [None, "https://videos.example.com/s/lnk_a/report.html"])
def test_events_of_recorded_jobs(name: str, more: dict[str, Any], link: str | None) -> None:
    summary = orjson.loads(summarise(JOBS[name].response, name).to_json())
    event = payload.EVENTS[JobStatus(summary["status"])]
    made = payload.make_event(name, event, "2026-11-22T08:30:00.000Z", summary, "oss://bucket/out", link)
    body = payload.make_body(made, subscriber("a", **more), SummaryInMemory(summary))
    assert check(body) == payload.event_type(event)
    assert orjson.loads(body)["data"].get("links") == (link and {"report": link})


def test_events_for_operators_and_a_test() -> None:
    down = [True]

    def answer(who: str, _before: int) -> Any:
        return {"a": FAILED if down[0] else OK, "b": GONE}.get(who, OK)

    def refuse(job_id: str, *_about: str) -> None:
        if job_id == "unknown":
            raise BadInput("MPS does not know it")

    ops = subscriber("ops", events=("smarttag.delivery.*", "smarttag.endpoint.*", "smarttag.publication.*"))
    world = World(reader(subscriber("a"), subscriber("b"), ops), answer, publish=refuse)
    for job in ("unknown", *(f"job{number}" for number in range(TRIPS_AT))):
        world.tell(job)
    world.sweep(97 * 3600)
    down[0] = False
    world.one.redeliver("job1", "a", "request")
    world.sweep(1)
    sent = {check(body) for who, _, body in world.receivers.accepted if who == "ops"}
    assert sent == {each for each in EVENT_TYPES if not each.startswith("smarttag.job.")}
    assert check(orjson.dumps(operations.test_event("a", 1_790_000_000.0))) == operations.TEST_EVENT


@pytest.mark.parametrize("wrong", [{"data": {}}, {"timestamp": 1}, {"more": 1}, {"data": {"message": "", "x": 1}}])
def test_what_is_not_described_is_found(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check(orjson.dumps({**operations.test_event("a", 1_790_000_000.0), **wrong}))
