"""What all pages have in common: templates, headers, language, and how a failure is told."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from shared import __version__
from shared.http import problems
from shared.http.pages import words
from shared.http.pages.reader import Reader
from shared.http.represent import answer
from shared.smarttag import report
from shared.smarttag.report import labels, times
from shared.smarttag.report.bounds import visible
from shared.templates import environment

if TYPE_CHECKING:
    import jinja2

    from shared.http.routes import RequestContext
    from shared.settings import ApiToken

FOLDER = Path(__file__).parent
FILTERS: Mapping[str, Callable[..., Any]] = {"visible": visible, "clock": times.clock}
_CACHE = "private, no-store"


def page(context: RequestContext, template: str, *, status: int = 200, **values: object) -> Response:
    """Answer a page to whoever is signed in."""
    return _page(context.request, context.token, template, status=status, **values)


def refusal(request: Request, error: BaseException, request_id: str) -> Response:
    """Answer what went wrong, and what to do, as a page."""
    found = problems.document(error, request_id)
    told = words.PROBLEMS.get(found["type"].rpartition(":")[2], words.PROBLEM)
    response = _page(request, None, "refusal.html.j2", status=found["status"], problem=found, told=told)
    response.headers.update({"Retry-After": str(found["retryAfter"])} if "retryAfter" in found else {})
    return response


def _page(request: Request, token: ApiToken | None, template: str, *, status: int, **values: object) -> Response:
    reader, (style, policy) = Reader.of(request), _style()
    text = (
        _environment()
        .get_template(template)
        .render(
            **values,
            reader=reader,
            say=reader.say,
            when=reader.when,
            me=token,
            here=request.path,
            labels=labels,
            words=words,
            style=style,
            version=__version__,
        )
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        # Not no-referrer, under which a browser keeps back the origin of a form too.
        "Referrer-Policy": "same-origin",
        "Content-Language": "zh-CN" if reader.chinese else "en",
    }
    body = text.encode("utf-8", "replace")
    response = answer(request, body, "text/html; charset=utf-8", status=status, cache=_CACHE, headers=headers)
    response.vary.update(("Accept-Language", "Cookie"))
    return response


@functools.cache
def _environment() -> jinja2.Environment:
    return environment(FILTERS, FOLDER, report.FOLDER)


@functools.cache
def _style() -> tuple[str, str]:
    """Return the style sheet, and the policy that allows it and nothing else."""
    style = _environment().get_template("pages.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return style, policy
