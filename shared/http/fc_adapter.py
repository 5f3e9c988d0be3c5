"""FC 3.0 HTTP trigger events to WSGI requests, and the answers back.

Source: "Use an HTTP trigger to invoke a function": ``rawPath`` is percent-encoded, several values of one name arrive
joined by commas, and a binary body as Base64. Responses may not name ``connection``, ``content-length``, ``date``,
``keep-alive``, ``server`` or ``x-fc-*``, and both directions are limited to 32 MB.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urlencode

import orjson

from shared.http import problems
from shared.http.problems import MALFORMED, NOT_ACCEPTABLE, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_FRAMING = frozenset({"CONTENT_LENGTH", "TRANSFER_ENCODING"})  # of a body that is all here: its length is its own
MAX_TEXT = 4_000_000  # bytes; JSON escapes blow text up to six times, Base64 always by a third
MAX_BODY = 23_000_000  # bytes; in Base64 just under 32 MB with everything around it
_NOT_SETTABLE = frozenset({"connection", "content-length", "date", "keep-alive", "server"})

Answer = dict[str, Any]


def invoke(app: WSGIApplication, event: bytes, context: object) -> Answer:
    """Return the application's answer to an event; anything but an HTTP request is answered 400."""
    request_id = str(getattr(context, "request_id", ""))
    try:
        environ = _environ(orjson.loads(event), context)
    except (ValueError, TypeError, LookupError, AttributeError):
        detail = "The event must be an HTTP trigger request, version v1. Send MNS and timer events to mns_callback."
        return _refuse(Problem(MALFORMED, detail), request_id)
    status, headers, body = _run(app, environ)
    if len(body) > MAX_BODY:
        detail = f"The answer has {len(body)} bytes, too many for a function. Accept gzip, ask for ranges, or read OSS."
        return _refuse(Problem(NOT_ACCEPTABLE, detail), request_id)
    return _answer(status, headers, body)


def _environ(event: dict[str, Any], context: object) -> WSGIEnvironment:
    about = event["requestContext"]
    http = about["http"]
    body = _body(event)
    path = event.get("rawPath") or quote(http["path"])
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": http["method"].upper(),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": urlencode(event.get("queryParameters") or {}),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": about.get("domainName") or "function",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": http.get("protocol") or "HTTP/1.1",
        "REMOTE_ADDR": http.get("sourceIp") or "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "fc.context": context,
        "fc.request_id": about.get("requestId"),
    }
    for name, value in (event.get("headers") or {}).items():
        key = name.upper().replace("-", "_")
        if "_" not in name and key not in _FRAMING:  # X_Name would pass for X-Name
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value.encode().decode("latin-1")
    return environ


def _body(event: dict[str, Any]) -> bytes:
    text: str = event.get("body") or ""
    return base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()


def _run(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[int, list[tuple[str, str]], bytes]:
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], _exc_info: object = None
    ) -> Callable[[bytes], object]:
        started.append((int(status[:3]), headers))
        return io.BytesIO().write  # WSGI's own relic; this application only ever returns its body

    chunks = app(environ, start_response)
    body = b"".join(chunks)
    status, headers = started[-1]
    return status, headers, body


def _answer(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
    kept: dict[str, str] = {}
    for name, value in headers:
        if name.lower() not in _NOT_SETTABLE and not name.lower().startswith("x-fc-"):
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
    try:
        text = body.decode() if len(body) <= MAX_TEXT else None
    except UnicodeDecodeError:
        text = None
    encoded = text is None
    shown = base64.b64encode(body).decode() if text is None else text
    return {"statusCode": status, "headers": kept, "isBase64Encoded": encoded, "body": shown}


def _refuse(problem: Problem, request_id: str) -> Answer:
    status, body, headers = problems.answer(problem, request_id)
    return _answer(status, headers.items(), body)
