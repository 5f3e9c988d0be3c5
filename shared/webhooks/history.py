"""What has become of deliveries, read back from the objects they left."""

from __future__ import annotations

import re
from typing import Any

import orjson

from shared import keys
from shared.errors import ObjectNotFound
from shared.storage import ObjectStore
from shared.webhooks import events
from shared.webhooks.outbox import iso

_OBJECT = re.compile(r"(?P<event>[a-z]+)/(?:to/(?P<subscriber>[^/]+)|all)/(?P<round>[^/]+)/(?P<what>[a-z]+)[^/]*")


def last_event(store: ObjectStore, job_id: str) -> str:
    """Return the name of the event that a redelivery sends: the final one, else the latest.

    Raises:
        ObjectNotFound: nothing was ever told of the job.
    """
    fixed = {}
    for name in events.NAMES.values():
        try:
            fixed[name] = orjson.loads(store.get(keys.event(job_id, name)))["at"]
        except ObjectNotFound:
            continue
    if not fixed:
        raise ObjectNotFound(f"nobody was ever told of job {job_id}; publish it first", jobId=job_id)
    return max(fixed, key=lambda name: (name in events.FINAL, fixed[name]))


def deliveries_of(store: ObjectStore, job_id: str) -> list[dict[str, Any]]:
    """Return every delivery of a job, by event, subscriber and round; empty if nobody was ever told of it.

    Shape: ``{event, webhookId, subscriber, round, state, attempts [{attempt, at, kind, status, durationMs, excerpt,
    error}], nextTry|null}``; ``state`` is delivered, gone, skipped, dead, sending or owed. Reads one object for each
    attempt.
    """
    prefix = keys.deliveries(job_id)
    found: dict[tuple[str, str, str], list[str]] = {}
    owed_at: dict[tuple[str, str, str], str] = {}
    for key in store.list(prefix):
        match = _OBJECT.fullmatch(key, len(prefix))
        if match is None:
            continue
        if match["subscriber"]:
            found.setdefault((match["event"], match["subscriber"], match["round"]), []).append(key)
        elif match["what"] == "receipt":
            told = orjson.loads(store.get(key))
            for subscriber in told["subscribers"]:
                found.setdefault((match["event"], subscriber, match["round"]), [])
                owed_at[match["event"], subscriber, match["round"]] = told["at"]
    return [_delivery(store, job_id, name, found[name], owed_at.get(name)) for name in sorted(found)]


def _delivery(
    store: ObjectStore, job_id: str, name: tuple[str, str, str], objects: list[str], owed_at: str | None
) -> dict[str, Any]:
    event, subscriber, round_ = name
    attempts = [orjson.loads(store.get(key)) for key in objects if key.endswith((".result.json", "/receipt.json"))]
    claims = sum(key.endswith(".claim.json") for key in objects)
    next_try = None
    state = attempts[-1].get("state") if attempts else None
    if state is None:
        state = "sending" if claims > len(attempts) else "owed"
        next_try = iso(attempts[-1]["next"]) if attempts else owed_at
    return {
        "event": events.event_type(event),
        "webhookId": events.webhook_id(job_id, event),
        "subscriber": subscriber,
        "round": round_,
        "state": state,
        "attempts": [{what: a[what] for what in a if what not in {"state", "next"}} for a in attempts],
        "nextTry": next_try if state == "owed" else None,
    }
