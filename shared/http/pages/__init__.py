"""Pages for people: sign-in, library, job, operations. Nothing of them is imported before one is asked for.

Every page is complete without a script. What others wrote is escaped, and a Content-Security-Policy lets nothing run.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from shared.http.routes import RequestContext, Route

if TYPE_CHECKING:
    from werkzeug.wrappers import Request, Response

    from shared.links import Sessions
    from shared.settings import ApiToken

# With this prefix browsers take a cookie only whole: secure, for every path, and set by this very host.
COOKIE = "__Host-smarttag"
SESSION = "session"  # the scope of all of them: a cookie and not a header says who asks


def signed_in(sessions: Sessions | None, request: Request) -> ApiToken | None:
    """Return the token that the browser's session was begun with, if it has one that holds."""
    return None if sessions is None else sessions.token(request.cookies.get(COOKIE, ""))


def _page(name: str, scope: str | None = "read") -> Callable[[RequestContext], Response]:
    """Return the route that runs ``module.function`` for whoever is signed in with a token of this scope."""
    module, _, function = name.partition(".")

    def run(context: RequestContext) -> Response:
        from shared.http.pages import access

        if (elsewhere := access.check(context, scope)) is not None:
            return elsewhere
        answer: Response = getattr(import_module(f"shared.http.pages.{module}"), function)(context)
        return answer

    return run


PAGES = (
    Route("GET", "/", SESSION, _page("sign_in.show", None)),
    Route("POST", "/", SESSION, _page("sign_in.sign_in", None)),
    Route("POST", "/sign-out", SESSION, _page("sign_in.sign_out", None)),
    Route("GET", "/library", SESSION, _page("library.show")),
    Route("GET", "/library/operations", SESSION, _page("operations.show")),
    Route("POST", "/library/operations/replay", SESSION, _page("operations.replay", "write")),
    Route("GET", "/library/jobs/{jobId}", SESSION, _page("job.show")),
    Route("POST", "/library/jobs/{jobId}/redeliver", SESSION, _page("job.redeliver", "write")),
    Route("GET", "/library/jobs/{jobId}/{artifact}", SESSION, _page("job.open_file")),
)
PATHS = frozenset(route.path for route in PAGES)
