"""What the delivery tests tell, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from shared.webhooks.subscribers import Broken, Subscriber, Subscribers

START = 1_790_000_000.0
BASE = "oss://bucket/out"


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Given:
    """A summary as the pipeline hands it over."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._body = orjson.dumps(document)

    def to_json(self) -> bytes:
        return self._body


def document(job: str = "job1", status: str = "Success", **more: Any) -> dict[str, Any]:
    """Return the JSON of a summary."""
    empty: dict[str, Any] = {
        "jobId": job,
        "status": status,
        "userData": "ticket-7",
        "message": "",
        "media": {"kind": "video", "durationMs": 60000, "durationSource": "maxTo", "durationErrorMs": None},
        "transcript": None,
        "screenText": None,
        "title": None,
    }
    lists = ("persons", "tags", "classifications", "concepts", "chapters", "alerts", "warnings")
    return {**empty, **{name: [] for name in lists}, **more}


def summary(job: str = "job1", status: str = "Success", **more: Any) -> Given:
    return Given(document(job, status, **more))


def subscriber(name: str, **more: Any) -> Subscriber:
    return Subscriber(id=name, url=f"https://{name}.example.com/hook", secrets=(), **more)


def reader(*subscribers: Subscriber | Broken) -> Callable[[], Subscribers]:
    good = tuple(each for each in subscribers if isinstance(each, Subscriber))
    broken = tuple(each for each in subscribers if isinstance(each, Broken))
    return lambda: Subscribers(good, broken)


def nothing_to_publish(job_id: str, hint: str, round_: str) -> None:
    raise AssertionError(f"no job is owed, yet {job_id} ({hint}, {round_}) was to be published")
