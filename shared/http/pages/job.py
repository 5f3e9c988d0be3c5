"""One job: what it is about, its files and links, when who was seen, and who was told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from werkzeug.wrappers import Response

from shared.catalogue.filters import Filters
from shared.catalogue.row import make_row
from shared.errors import BadInput, ObjectNotFound
from shared.http import problems, routes
from shared.http.pages import access, frame, words
from shared.http.problems import Problem
from shared.http.represent import REVALIDATE
from shared.http.routes import RequestContext
from shared.jobs import ARTIFACTS, MANIFEST, REPORT, RESPONSE, SUMMARY
from shared.smarttag.alerts import alert_kinds
from shared.smarttag.report import labels
from shared.smarttag.report.entries import categories
from shared.smarttag.report.view import user_data

_PEOPLE, _TAGS, _CHAPTERS, _TIMES, _DELIVERIES = 40, 40, 40, 12, 200  # shown; the report has all of what was seen


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment that the page names, and where the media seeks to it; empty if nobody said where the media is."""

    ms: int
    url: str


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody or something that was seen, and when first; ``rest`` counts the other times.

    ``found`` is where the library lists the jobs with it; empty for an unknown face, and for what cannot be asked for.
    """

    name: str
    found: str
    notes: Sequence[str]
    seen_ms: int
    times: Sequence[Moment]
    rest: int


def show(context: RequestContext) -> Response:
    """Show one published job."""
    job_id, service = context.job_id, context.service
    summary = orjson.loads(service.stored(job_id, SUMMARY))
    files = orjson.loads(service.stored(job_id, MANIFEST))["artifacts"]
    deliveries = sorted(service.deliveries(job_id), key=_order)
    link = None if context.dependencies.links is None else context.dependencies.links.make(job_id)
    seek = _Seek(context.dependencies.media_url, job_id, summary["userData"])
    people = sorted(summary["persons"], key=lambda person: person["category"] == "unknown")
    return frame.page(
        context,
        "job.html.j2",
        job_id=job_id,
        summary=summary,
        headline=words.headline(make_row(summary, 0, 0, ())),
        user_data=user_data(summary["userData"]),
        arrived=service.arrived(job_id),
        files=sorted((file for file in files if file["name"] in ARTIFACTS), key=lambda file: file["name"] != REPORT),
        shared=[file["name"] for file in files if file["name"] in ARTIFACTS and file["name"] != RESPONSE],
        link=link,
        report=REPORT,
        groups=[
            (
                words.PEOPLE,
                [seek.row(each, "person", _categories(each["category"])) for each in people[:_PEOPLE]],
                people[_PEOPLE:],
            ),
            (
                labels.TAGS,
                [seek.row(each, "tag", [each["group"]] * bool(each["group"])) for each in summary["tags"][:_TAGS]],
                summary["tags"][_TAGS:],
            ),
        ],
        chapters=[(seek.at(each["startMs"]), each) for each in summary["chapters"][:_CHAPTERS]],
        deliveries=deliveries[:_DELIVERIES],
        more_deliveries=len(deliveries[_DELIVERIES:]),
        told=sorted({each["subscriber"] for each in deliveries}),
        sent=context.request.args.get("sent", ""),
        key=context.request_id,
    )


def open_file(context: RequestContext) -> Response:
    """Answer one file of the job, as the API does for a token."""
    return routes.artifact(context, context.args["artifact"], REVALIDATE)


def redeliver(context: RequestContext) -> Response:
    """Send to one subscriber again; the form's key keeps a page that is sent twice from sending twice."""
    job_id, form = context.job_id, context.request.form
    subscriber = form.get("subscriber", "")
    if not routes.SUBSCRIBER.fullmatch(subscriber):
        raise Problem(problems.NO_DELIVERY)
    try:
        context.service.redeliver(job_id, subscriber, request_id=f"{context.caller}/{form.get('key', '')[:128]}")
    except ObjectNotFound:
        raise Problem(problems.NO_DELIVERY) from None
    return access.go(f"/library/jobs/{job_id}?sent={quote(subscriber)}#deliveries")


def _categories(text: str) -> list[str]:
    """Return the categories of a person, first those that raise an alert, under the names that labels have."""
    alerts = [labels.ALERTS[kind] for kind in alert_kinds(text)]
    return alerts + [each for each in categories(text) if not alert_kinds(each)]


def _found(filters: Mapping[str, str]) -> str:
    try:
        Filters.read(filters)
    except BadInput:  # a name that is too long, or holds a line end
        return ""
    return f"/library?{urlencode(filters)}"


def _order(delivery: Mapping[str, Any]) -> tuple[str, str]:
    first = delivery["attempts"][0].get("at", "") if delivery["attempts"] else ""
    return delivery["subscriber"], delivery["enqueuedAt"] or first or "~"


@dataclass(frozen=True, slots=True)
class _Seek:
    """Makes links into the media from ``MEDIA_URL``."""

    template: str
    job_id: str
    user_data: str

    def at(self, ms: int) -> Moment:
        parts = {"jobId": self.job_id, "userData": self.user_data, "seconds": f"{ms / 1000:g}"}
        url = self.template
        for name, value in parts.items():
            url = url.replace(f"{{{name}}}", quote(value, safe=""))
        return Moment(ms, url)

    def row(self, seen: Mapping[str, Any], name: str, notes: Sequence[str]) -> Row:
        ranges = seen["appearances"]
        shown = [self.at(start) for start, _ in ranges[:_TIMES]]
        found = "" if "unknown" in notes else _found({name: seen["name"]})
        return Row(seen["name"], found, notes, seen["seenMs"], shown, len(ranges) - len(shown))
