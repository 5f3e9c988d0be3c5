"""The WSGI application: finds the route, lets the caller in, answers every failure as a problem, logs one line."""

from __future__ import annotations

import re
import time
import traceback
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import ClientDisconnected, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import BaseConverter, Map, MapAdapter, Rule
from werkzeug.wrappers import Request, Response

from shared import tracing
from shared.credentials import end_if_stranded
from shared.http import pages, problems
from shared.http.problems import Problem
from shared.http.represent import check_accept
from shared.http.routes import LINKED, ROUTES, Dependencies, RequestContext, Route
from shared.logs import bind, log, log_error
from shared.metrics import measured

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_BODY = 131072  # bytes; a notification of 64 kB in Base64 with its envelope, or 1,000 job IDs
MAX_HEADERS = 8192  # bytes of names and values; what Function Compute itself lets through
MAX_TARGET = 4096  # bytes of path and query; likewise
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class _Part(BaseConverter):
    """One variable part of a path: whatever no other route names, so that each path knows its own methods."""

    regex = r"(?!publish$|deliveries$|links$)[^/]+"
    part_isolating = True


class App:
    """The application; call it with any WSGI server, or through ``fc_adapter``."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        rules = [
            Rule(_pattern(route.path), methods=[route.method], endpoint=route) for route in (*ROUTES, *pages.PAGES)
        ]
        self._map = Map(rules, converters={"part": _Part}, merge_slashes=False, redirect_defaults=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        request = Request(environ)
        request.max_content_length = MAX_BODY
        line: dict[str, Any] = {"method": request.method[:16]}
        name = request_id(environ)
        trace = tracing.parse(request.headers.get("traceparent", ""))
        with bind(requestId=name), tracing.following(trace), measured("api"):
            response = self._answer(request, name, line)
            line |= {"status": response.status_code, "bytes": response.content_length}
            log("http.request", **line, ms=round((time.perf_counter() - began) * 1000, 1))
        return response(environ, start_response)

    def _answer(self, request: Request, name: str, line: dict[str, Any]) -> Response:
        try:
            response = self._run(request, name, line)
        except RequestEntityTooLarge:
            response = _refuse(request, Problem(problems.TOO_LARGE), name, line)
        except ClientDisconnected:
            cut = Problem(problems.MALFORMED, "The request ended before its body was complete.")
            response = _refuse(request, cut, name, line)
        except Exception as error:  # noqa: BLE001 - the last resort: a caller is always answered
            problem_type = problems.type_of(error)
            if not isinstance(error, Problem):
                unexpected = problem_type is problems.UNEXPECTED
                trace = {"trace": traceback.format_tb(error.__traceback__)} if unexpected else {}
                # ours, not the cloud service's, which an error may carry: it is what the caller quotes
                log_error("http.failed", error, level=problems.level_of(error), **trace)
            end_if_stranded(error, request.environ.get("fc.context"))
            line["problem"] = problem_type.slug
            response = _refuse(request, error, name, line)
        response.headers["X-Request-Id"] = name
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        return response

    def _run(self, request: Request, name: str, line: dict[str, Any]) -> Response:
        _check_size(request)
        urls = self._map.bind("localhost", path_info=request.path)
        if request.method == "OPTIONS" and urls.allowed_methods():
            response = Response(status=204, headers={"Allow": _allow(urls)})
            del response.headers["Content-Type"]
            return response
        route, args = _match(urls, request.method)
        line |= {"route": route.path} | {key: text[:80] for key, text in args.items() if key != "token"}
        token_auth, token = self._dependencies.token_auth, None
        if route.scope == "push":
            line["caller"] = token_auth.pusher(args["token"])
        elif route.scope == "link":
            args = {**args, "jobId": self._dependencies.linked_job(args["token"])}
            line |= {"caller": "link", "jobId": args["jobId"]}
        elif route.scope == pages.SESSION:
            token = pages.signed_in(self._dependencies.sessions, request)
            line["caller"] = "" if token is None else token.name
        elif route.scope is not None:
            line["caller"] = token_auth.caller(request.headers.get("Authorization"), route.scope)
            if route.method != "GET":  # pushers do not negotiate, and readers are asked about what is found
                check_accept(request)
        return route.run(RequestContext(self._dependencies, request, name, args, line.get("caller", ""), token))


def request_id(environ: Mapping[str, Any]) -> str:
    """Return the ID that Function Compute gave this request, else the caller's ``X-Request-Id``, else a new one.

    It is kept in ``environ``: every call for the same request returns the same.
    """
    context = environ.get("fc.context")
    theirs = getattr(context, "request_id", None) or environ.get("fc.request_id")
    for given in (theirs, environ.get("HTTP_X_REQUEST_ID")):
        if isinstance(given, str) and _REQUEST_ID.fullmatch(given):
            return given
    return uuid.uuid4().hex


def _pattern(path: str) -> str:
    return re.sub(r"\{(\w+)\}", r"<part:\1>", path)


def _check_size(request: Request) -> None:
    environ = request.environ
    if len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", "")) > MAX_TARGET:
        raise Problem(problems.URI_TOO_LONG)
    if sum(len(name) + len(value) for name, value in request.headers.items()) > MAX_HEADERS:
        raise Problem(problems.HEADERS_TOO_LARGE)


def _match(urls: MapAdapter, method: str) -> tuple[Route, Mapping[str, str]]:
    try:
        return urls.match(method=method)
    except NotFound:
        raise Problem(problems.NO_ROUTE) from None
    except MethodNotAllowed:
        allow = _allow(urls)
        raise Problem(problems.METHOD, f"This path answers {allow}.", {"Allow": allow}) from None


def _allow(urls: MapAdapter) -> str:
    return ", ".join(sorted({*urls.allowed_methods(), "OPTIONS"}))


def _refuse(request: Request, error: BaseException, name: str, line: Mapping[str, Any]) -> Response:
    html, route = request.accept_mimetypes.quality("text/html"), line.get("route")
    in_browser = html > request.accept_mimetypes.quality(problems.MEDIA_TYPE)  # a program opens links too
    if (route in pages.PATHS and (html or "Accept" not in request.headers)) or (route == LINKED and in_browser):
        from shared.http.pages.frame import refusal

        return refusal(request, error, name)
    status, body, headers = problems.answer(error, name)
    return Response(body, status, headers)
