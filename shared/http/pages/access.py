"""Who may see a page and who may act: sessions, the origin of forms, the scope of the token signed in with."""

from __future__ import annotations

from urllib.parse import quote

from werkzeug.http import dump_cookie
from werkzeug.wrappers import Response

from shared.http import problems
from shared.http.pages import COOKIE
from shared.http.problems import Problem, ProblemType
from shared.http.routes import RequestContext
from shared.links import SESSION_SECONDS

PAGES_OFF = ProblemType(404, "pages-off", "Pages are off", "Ask the operator to set LINK_KEYS.")


def check(context: RequestContext, scope: str | None) -> Response | None:
    """Return where to send whoever has to sign in first; None for whoever may go on.

    Raises:
        Problem: pages are off; a form was posted from elsewhere; the token does not cover what is asked for.
    """
    if context.dependencies.sessions is None:
        raise Problem(PAGES_OFF)
    if context.request.method == "POST":
        _check_origin(context)
    if scope is None:
        return None
    if context.token is None:
        asked = context.request.full_path.rstrip("?") if context.request.method != "POST" else "/library"
        return go("/" if asked == "/library" else f"/?to={quote(asked, safe='/')}")
    if scope == "write" and context.token.scope != "write":
        raise Problem(problems.FORBIDDEN, "To act here, sign in with a token of scope write.")
    return None


def _check_origin(context: RequestContext) -> None:
    """Raise ``Problem`` 403 unless the browser says that one of our own pages posted the form."""
    origin, links = context.request.headers.get("Origin", ""), context.dependencies.links
    ours = origin.partition("://")[2] == context.request.host or (links is not None and origin == links.public_url)
    if not ours:
        raise Problem(problems.FORBIDDEN, "This form was sent from another site; nothing was done.")


def go(where: str) -> Response:
    """Send the browser on with a GET."""
    response = Response(status=303, headers={"Location": where, "Cache-Control": "private, no-store"})
    del response.headers["Content-Type"]
    return response


def keep(response: Response, session: str) -> Response:
    """Have the browser keep a session, or forget the one it has if this is empty."""
    age = SESSION_SECONDS if session else 0
    cookie = dump_cookie(COOKIE, session, age, secure=True, httponly=True, samesite="Lax", sync_expires=False)
    response.headers["Set-Cookie"] = cookie
    return response
