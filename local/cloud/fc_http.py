"""The HTTP trigger of Function Compute 3.0, version v1: request to event, the handler's answer to response.

Sources: "Use an HTTP trigger to invoke a function" and "Code development for Custom Container runtimes" (the limits) of
the product's documentation. Not documented, and assumed here: a failed or malformed answer is a 502, a media type is
text if it is text/*, JSON, XML or a form.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import time
from typing import Any
from urllib.parse import parse_qsl

from local.cloud.server import Refusal, Request, Response

_TEXT = re.compile(r"text/.*|application/(json|xml|javascript|x-www-form-urlencoded|[^;]+\+(json|xml))", re.IGNORECASE)
_NOT_SETTABLE = re.compile(r"connection|content-length|date|server|x-fc-.*", re.IGNORECASE)
_HEADERS_LIMIT, _TARGET_LIMIT, _BODY_LIMIT = 8 * 1024, 4 * 1024, 32 * 1024 * 1024


def refuse(refusal: Refusal) -> Response:
    """Return a refusal as the platform would send it."""
    body = json.dumps({"ErrorCode": refusal.code, "ErrorMessage": refusal.message}).encode()
    return Response(refusal.status, body, {"Content-Type": "application/json"})


def to_event(request: Request, request_id: str, region: str, account_id: str) -> bytes:
    """Return the event for ``request``; raise ``Refusal`` if it is over a limit."""
    if sum(len(name) + len(value) for name, value in request.headers.items()) > _HEADERS_LIMIT:
        raise Refusal(400, "InvalidArgument", "the request headers exceed 8 KB")
    if len(request.target) > _TARGET_LIMIT:
        raise Refusal(400, "InvalidArgument", "path and query exceed 4 KB")
    if len(request.body) > _BODY_LIMIT:
        raise Refusal(400, "InvalidArgument", "the request body exceeds 32 MB")
    body, encoded = _body(request)
    now = time.time()
    when = dt.datetime.fromtimestamp(now, dt.timezone.utc)
    domain = f"smarttag-local.{region}.fcapp.run"
    context = {
        "accountId": account_id,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "triggerId": "00000000-0000-4000-8000-000000000001",
        "time": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "timeEpoch": str(int(now * 1000)),
    }
    event = {
        "version": "v1",
        "rawPath": request.target.partition("?")[0],
        "body": body,
        "isBase64Encoded": encoded,
        "headers": {_canonical(name): value for name, value in request.headers.items()},
        "queryParameters": _query(request.target),
        "requestContext": context,
    }
    return json.dumps(event, ensure_ascii=False).encode()


def to_response(payload: bytes) -> Response:
    """Return what a handler's answer means; a 502 if it means nothing or is over the limit."""
    if len(payload) > _BODY_LIMIT:
        return refuse(Refusal(502, "BadResponse", "the answer exceeds 32 MB"))
    try:
        answer = json.loads(payload)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(200, payload, {"Content-Type": "application/json"})
    status, headers = answer["statusCode"], answer.get("headers") or {}
    if not isinstance(status, int) or not 100 <= status <= 599 or not _are_headers(headers):  # noqa: PLR2004 - HTTP's range
        return refuse(Refusal(502, "BadResponse", "statusCode is no HTTP status, or headers are no short texts"))
    content = answer.get("body", "")
    text = content if isinstance(content, str) else json.dumps(content)
    try:
        body = base64.b64decode(text, validate=True) if answer.get("isBase64Encoded") else text.encode()
    except ValueError:
        return refuse(Refusal(502, "BadResponse", "isBase64Encoded is true, but the body is no Base64"))
    kept = {name: value for name, value in headers.items() if not _NOT_SETTABLE.fullmatch(name)}
    return Response(status, body, kept)


def _body(request: Request) -> tuple[str, bool]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if not request.body or _TEXT.fullmatch(kind):
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _query(target: str) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(target.partition("?")[2], keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return {name: ",".join(each) for name, each in values.items()}


def _are_headers(headers: Any) -> bool:  # noqa: ANN401 - anything may come out of a handler
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        return False
    whole = "".join(name + value for name, value in headers.items())
    return len(whole) <= _HEADERS_LIMIT and not re.search(r"[\r\n]", whole)


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
