"""What has become of deliveries, read back from the objects they left."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from shared import keys
from shared.errors import ObjectNotFound
from shared.outbox.outbox import iso
from shared.storage import ObjectStore
from shared.webhooks import payload

_READERS = 16  # objects read at a time
_OBJECT = re.compile(r"(?P<event>[a-z]+)/(?:to/(?P<subscriber>[^/]+)|all)/(?P<round>[^/]+)/(?P<what>[a-z]+)[^/]*")


def last_event(store: ObjectStore, job_id: str) -> str:
    """Return the name of the event that a redelivery sends: the final one, else the latest.

    Raises:
        ObjectNotFound: nothing was ever told of the job.
    """
    fixed = {}
    for name in payload.NAMES.values():
        try:
            fixed[name] = orjson.loads(store.get(keys.event(job_id, name)))["at"]
        except ObjectNotFound:
            continue
    if not fixed:
        raise ObjectNotFound(f"nobody was ever told of job {job_id}; publish it first", jobId=job_id)
    return max(fixed, key=lambda name: (name in payload.FINAL, fixed[name]))


def deliveries_of(store: ObjectStore, job_id: str) -> list[dict[str, Any]]:
    """Return every delivery of a job, by event, subscriber and round; empty if nobody was ever told of it.

    Shape: ``{event, webhookId, subscriber, round, state, attempts [{attempt, at, kind, status, durationMs, excerpt,
    error}], nextTry|null}``; ``state`` is delivered, gone, skipped, dead, sending or owed. Reads one object for each
    attempt, side by side.
    """
    prefix = keys.deliveries(job_id)
    matches = [match for key in store.list(prefix) if (match := _OBJECT.fullmatch(key, len(prefix)))]
    with ThreadPoolExecutor(_READERS) as pool:
        read = pool.map(lambda match: _read(store, match), matches)
        documents = list(zip(matches, read, strict=True))
    found: dict[tuple[str, str, str], list[tuple[str, dict[str, Any]]]] = {}
    owed_at: dict[tuple[str, str, str], str] = {}
    for match, document in documents:
        event, subscriber, round_ = match["event"], match["subscriber"], match["round"]
        if subscriber:
            found.setdefault((event, subscriber, round_), []).append((match.string, document))
        elif match["what"] == "receipt":
            for told in document["subscribers"]:
                found.setdefault((event, told, round_), [])
                owed_at[event, told, round_] = document["at"]
    return [_delivery(job_id, name, found[name], owed_at.get(name)) for name in sorted(found)]


def _read(store: ObjectStore, match: re.Match[str]) -> dict[str, Any]:
    """Return what a receipt or a result says; nothing of a claim is shown."""
    return {} if match.string.endswith(".claim.json") else dict(orjson.loads(store.get(match.string)))


def _delivery(
    job_id: str, name: tuple[str, str, str], objects: list[tuple[str, dict[str, Any]]], owed_at: str | None
) -> dict[str, Any]:
    event, subscriber, round_ = name
    attempts = [document for key, document in objects if key.endswith((".result.json", "/receipt.json"))]
    claims = sum(key.endswith(".claim.json") for key, _ in objects)
    next_try = None
    state = attempts[-1].get("state") if attempts else None
    if state is None:
        state = "sending" if claims > len(attempts) else "owed"
        next_try = iso(attempts[-1]["next"]) if attempts else owed_at
    return {
        "event": payload.event_type(event),
        "webhookId": payload.webhook_id(job_id, event),
        "subscriber": subscriber,
        "round": round_,
        "state": state,
        "attempts": [{what: a[what] for what in a if what not in {"state", "next"}} for a in attempts],
        "nextTry": next_try if state == "owed" else None,
    }
