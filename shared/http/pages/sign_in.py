"""The way in and out: an API token becomes a session."""

from __future__ import annotations

import re

from werkzeug.wrappers import Response

from shared.http.pages import access, frame
from shared.http.routes import RequestContext

_OURS = re.compile(r"/library(?:[/?][!-~]*)?")  # where a sign-in may lead


def show(context: RequestContext) -> Response:
    """Ask for a token, or go on to the library."""
    where = _where(context.request.args.get("to", ""))
    return access.go(where) if context.token else frame.page(context, "sign_in.html.j2", to=where, wrong=False)


def sign_in(context: RequestContext) -> Response:
    """Begin a session for a token that can read."""
    form, sessions = context.request.form, context.dependencies.sessions
    where = _where(form.get("to", ""))
    token = context.dependencies.token_auth.find(form.get("token", "").strip())
    if token is None or token.scope == "push" or sessions is None:
        return frame.page(context, "sign_in.html.j2", status=403, to=where, wrong=True)
    return access.keep(access.go(where), sessions.make(token))


def sign_out(_context: RequestContext) -> Response:
    """Have the browser forget its session."""
    return access.keep(access.go("/"), "")


def _where(asked: str) -> str:
    return asked if _OURS.fullmatch(asked) else "/library"
