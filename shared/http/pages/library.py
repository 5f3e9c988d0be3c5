"""The library: the newest jobs, and those that were asked for."""

from __future__ import annotations

from urllib.parse import urlencode

from werkzeug.wrappers import Response

from shared.catalogue.filters import NAMES
from shared.http.pages import frame, words
from shared.http.pages.reader import Reader
from shared.http.routes import RequestContext, find_jobs
from shared.jobs import REPORT

_ROWS = 30  # on one page


def show(context: RequestContext) -> Response:
    """Show one page of jobs, newest first."""
    args = context.request.args
    asked = {name: args[name] for name in NAMES if args.get(name, "").strip()}
    found = find_jobs(context, _dated(asked, context), args.get("cursor", ""), _ROWS)
    following = urlencode(asked | {"cursor": found.next}) if found.next else ""
    return frame.page(
        context,
        "library.html.j2",
        asked=asked,
        later="cursor" in args,
        found=found,
        following=following,
        headline=words.headline,
        report=REPORT,
    )


def _dated(asked: dict[str, str], context: RequestContext) -> dict[str, str]:
    """Return what was asked with its days as this reader's days; until is the end of its day."""
    reader, dated = Reader.of(context.request), dict(asked)
    for name in ("since", "until"):
        if moment := reader.midnight(asked.get(name, ""), end=name == "until"):
            dated[name] = moment
    return dated
