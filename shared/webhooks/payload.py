"""What subscribers are told: the event of one (job, status) and the bytes each of them receives. Pure."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from shared.errors import BadInput
from shared.jobs import MANIFEST, REPORT, SUMMARY, JobStatus, artifact_key
from shared.webhooks.subscribers import Subscriber

# The last word of the event type, which also names the event in keys.
EVENTS = {
    JobStatus.SUCCESS: "succeeded",
    JobStatus.FAIL: "failed",
    JobStatus.PROCESSING: "processing",
    JobStatus.SUBMITTED: "submitted",
}
# Events for operators, by their names in keys.
EXHAUSTED, ENDPOINT_GONE, RECOVERED, UNPUBLISHED = "exhausted", "endpointGone", "recovered", "unpublished"
_OPERATORS = {
    EXHAUSTED: "smarttag.delivery.exhausted",
    ENDPOINT_GONE: "smarttag.endpoint.gone",
    RECOVERED: "smarttag.endpoint.recovered",
    UNPUBLISHED: "smarttag.publication.dead",
}
FINAL = frozenset(EVENTS[status] for status in JobStatus if status.is_final)

_LISTED = 10  # persons and alerts in a headline
MAX_BODY = 8 * 1024 * 1024  # bytes; few receivers take more, and every one of many would be held in memory
_MOST_USER_DATA = 4096  # bytes; MPS itself takes 1,024


def event_name(status: JobStatus, revision: str = "") -> str:
    """Return the name of an event in keys; a revision, such as ``2``, is told as an event of its own."""
    return f"{EVENTS[status]}-{revision}" if revision else EVENTS[status]


def event_type(name: str) -> str:
    """Return the ``type`` of the body."""
    return _OPERATORS.get(name) or f"smarttag.job.{name.partition('-')[0]}"


def is_final(name: str) -> bool:
    """Say whether an event tells of the end of a job."""
    return name.partition("-")[0] in FINAL


def is_operators(name: str) -> bool:
    """Say whether an event is about deliveries and not about a job."""
    return name in _OPERATORS


def webhook_id(job_id: str, name: str) -> str:
    """Return the ``webhook-id``: a function of job, status and revision alone, so the same after any crash."""
    return "msg_" + hashlib.sha256(f"{job_id}\n{name}".encode()).hexdigest()[:32]


def make_event(
    job_id: str, name: str, timestamp: str, summary: dict[str, Any], output_url: str, report_link: str | None = None
) -> dict[str, Any]:
    """Return the thin body, at most 20 kB whatever the summary holds; ``output`` is None until there is any.

    ``report_link`` opens the report without a token; ``links`` is left out where there is none.
    """
    data = {
        "jobId": job_id,
        "status": summary["status"],
        "userData": cut(summary["userData"], _MOST_USER_DATA),
        "headline": headline(summary),
        "output": output(job_id, output_url) if is_final(name) else None,
    }
    if report_link is not None:
        data["links"] = {"report": report_link}
    return {"type": event_type(name), "timestamp": timestamp, "data": data}


class SummarySource(Protocol):
    """Where the whole summary comes from, if it is needed."""

    def summary(self) -> dict[str, Any]:
        """Return it."""

    def summary_json(self) -> bytes:
        """Return its JSON, keys sorted."""


def is_wanted(event: dict[str, Any], subscriber: Subscriber, summary: Callable[[], dict[str, Any]]) -> bool:
    """Say whether the subscriber's ``when`` holds; ``BadInput`` if it cannot be evaluated."""
    return subscriber.when is None or not _is_about_a_job(event) or subscriber.matches(summary())


def make_body(event: dict[str, Any], subscriber: Subscriber, source: SummarySource) -> bytes:
    """Return the bytes for whoever has this subscriber's ``payload`` and ``select``.

    A body over ``MAX_BODY`` becomes the thin one, with the reason as ``data.summaryOmitted``. An event for operators is
    about no summary, and the same for everybody.

    Args:
        event: from ``make_event``.
        subscriber: who is told.
        source: of the whole summary, asked only if it is needed.

    Raises:
        BadInput: ``select`` cannot be evaluated.
    """
    if not _is_about_a_job(event) or (subscriber.payload == "thin" and subscriber.select is None):
        return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
    whole = subscriber.select is None
    picked = orjson.Fragment(source.summary_json()) if whole else subscriber.selected(source.summary())
    try:
        body = orjson.dumps(_with(event, summary=picked), option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise BadInput(
            f"subscriber {subscriber.id}: what select picks is no JSON ({error})", subscriber=subscriber.id
        ) from error
    if len(body) <= MAX_BODY:
        return body
    why = f"with the summary it would be {len(body):,} bytes, of {MAX_BODY:,} at most; fetch it instead"
    return orjson.dumps(_with(event, summaryOmitted=why), option=orjson.OPT_SORT_KEYS)


def _is_about_a_job(event: dict[str, Any]) -> bool:
    return str(event["type"]).startswith("smarttag.job.")


def _with(event: dict[str, Any], **more: object) -> dict[str, Any]:
    return {**event, "data": {**event["data"], **more}}


def headline(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what a receiver can act on without fetching anything; long names are cut, long lists too.

    Shape: ``{title|null, message, mediaKind, durationMs|null, counts {...}, persons [{name, category, sensitive,
    seenMs}] (named ones), alerts [{kind, name, detail}], classification {category1, category2}|null}``.
    """
    media, transcript, screen = summary["media"], summary["transcript"], summary["screenText"]
    counts = {name: len(summary[name]) for name in ("persons", "tags", "concepts", "chapters", "alerts", "warnings")}
    counts["speechSegments"] = transcript["segments"] if transcript else 0
    counts["screenTexts"] = screen["distinct"] if screen else 0
    persons = [person for person in summary["persons"] if person["category"] != "unknown"][:_LISTED]
    best = summary["classifications"][:1]
    return {
        "title": summary["title"] and cut(summary["title"], 500),
        "message": cut(summary["message"], 500),
        "mediaKind": media["kind"],
        "durationMs": media["durationMs"],
        "counts": counts,
        "persons": [
            {**_cut(person, name=200, category=100), "sensitive": person["sensitive"], "seenMs": person["seenMs"]}
            for person in persons
        ],
        "alerts": [_cut(alert, kind=100, name=200, detail=300) for alert in summary["alerts"][:_LISTED]],
        "classification": _cut(best[0], category1=100, category2=100) if best else None,
    }


def output(job_id: str, output_url: str) -> dict[str, str]:
    """Return where the job's objects lie; the manifest lists all of them."""
    base = output_url.rstrip("/") + "/"
    names = {"summary": SUMMARY, "report": REPORT, "manifest": MANIFEST}
    return {what: base + artifact_key(job_id, name) for what, name in names.items()}


def _cut(row: dict[str, Any], **most: int) -> dict[str, str]:
    return {name: cut(row[name], size) for name, size in most.items()}


def cut(text: str, most: int) -> str:
    """Return the longest beginning of ``text`` that takes at most ``most`` bytes as JSON, cut ones ending in ``…``."""

    def size(length: int) -> int:
        return len(orjson.dumps(text[:length])) - 2

    if size(len(text)) <= most:
        return text
    return text[: bisect_right(range(most + 1), most - len("…".encode()), key=size) - 1] + "…"
