"""What has become of deliveries, read back from the objects they left."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any

import orjson

from shared.errors import ObjectNotFound
from shared.logs import log_error
from shared.outbox.records import NewerRecord, Record, iso
from shared.outbox.task import FIRST, deliveries
from shared.patterns import regex
from shared.storage import ObjectStore
from shared.webhooks import payload

_READERS = 16  # objects read at a time
_DELIVERY = regex(
    r"(?P<event>[a-z]+(?:-\d+)?)/to/(?P<subscriber>[^/]+)/(?P<series>[^/]+)/(?:receipt|attempt-\d+\.(?P<what>claim|result))\.json"
)
_EVENT = regex(r"(?P<event>[a-z]+(?:-\d+)?)/event\.json")
_ENQUEUED = regex(
    r"(?:[a-z]+(?:-\d+)?/all|publish/\w+)/(?P<series>[^/]+)/receipt\.json"
)  # names all who are to be told


class Pending(str, Enum):
    """What a delivery is before its end, whose words are those of ``shared.outbox.outcome.State``."""

    WAITING = "waiting"
    SENDING = "sending"


_Name = tuple[str, str, str]  # event, subscriber, series


def last_event(store: ObjectStore, job_id: str) -> str:
    """Return the name of the event that a redelivery sends: the final one, else the latest.

    Raises:
        ObjectNotFound: nothing was ever told of the job.
    """
    fixed = {}
    for prefix, key in _keys(store, job_id):
        if match := _EVENT.fullmatch(key, len(prefix)):
            fixed[match["event"]] = orjson.loads(store.get(key))["at"]
    if not fixed:
        raise ObjectNotFound(f"nobody was ever told of job {job_id}; publish it first", jobId=job_id)
    return max(fixed, key=lambda name: (payload.is_final(name), fixed[name]))


def deliveries_of(store: ObjectStore, job_id: str) -> list[dict[str, Any]]:
    """Return every delivery of a job, by event, subscriber and series; empty if nobody was ever told of it.

    Shape: ``{event, webhookId, subscriber, redeliveryId|null, state, attempts [{attempt, at, kind, status, durationMs,
    excerpt, error}], enqueuedAt|null, nextTry|null}``; ``state`` is delivered, gone, skipped, dead, sending or waiting.
    Reads one object for each attempt, side by side.
    """
    keys = _keys(store, job_id)
    records = _read(store, [key for _, key in keys if key.endswith((".result.json", "/receipt.json"))])
    enqueued: dict[_Name, str] = {}
    claims: dict[_Name, int] = {}
    made: dict[_Name, list[Record]] = {}
    for prefix, key in keys:
        if (match := _ENQUEUED.fullmatch(key, len(prefix))) and key in records:
            detail, at = records[key].detail, records[key].at or ""
            event = detail.get("event") or key[len(prefix) :].partition("/")[0]
            for subscriber in detail.get("subscribers", ()):
                enqueued[event, subscriber, detail.get("series", match["series"])] = at
        elif match := _DELIVERY.fullmatch(key, len(prefix)):
            name = (match["event"], match["subscriber"], match["series"])
            claims[name] = claims.get(name, 0) + (match["what"] == "claim")
            made.setdefault(name, []).extend([records[key]] if key in records else [])
    names = sorted({*enqueued, *made})
    return [_shown(job_id, name, made.get(name, []), claims.get(name, 0), enqueued.get(name)) for name in names]


def _keys(store: ObjectStore, job_id: str) -> list[tuple[str, str]]:
    """Return the keys of both layouts, each with the prefix that it is below."""
    prefixes = dict.fromkeys([deliveries(job_id, older=True), deliveries(job_id)])
    return [(prefix, key) for prefix in prefixes for key in store.list(prefix)]


def _read(store: ObjectStore, keys: list[str]) -> dict[str, Record]:
    """Read the records side by side; those of a newer version are left out."""
    records: dict[str, Record] = {}
    with ThreadPoolExecutor(_READERS) as pool:
        for key, body in zip(keys, pool.map(store.get, keys), strict=True):
            try:
                records[key] = Record.from_json(orjson.loads(body))
            except NewerRecord as error:
                log_error("history.record.left_out", error, level=logging.WARNING, key=key)
    return records


def _shown(job_id: str, name: _Name, made: list[Record], claims: int, enqueued_at: str | None) -> dict[str, Any]:
    event, subscriber, series = name
    last = made[-1] if made else Record()  # the receipt sorts behind the results
    state = last.state or (Pending.SENDING if claims > len(made) else Pending.WAITING)
    next_try = iso(last.next) if last.next is not None else enqueued_at
    return {
        "event": payload.event_type(event),
        "webhookId": payload.webhook_id(job_id, event),
        "subscriber": subscriber,
        "redeliveryId": None if series == FIRST else series,
        "state": state,
        "attempts": [each.shown() for each in made],
        "enqueuedAt": enqueued_at,
        "nextTry": next_try if state is Pending.WAITING else None,
    }
