"""Errors as the caller sees them: one table from error class to status, and RFC 9457 problem documents.

A document says what to send or do instead. It never repeats an error's own message, which may name buckets, keys and
endpoints: that goes to the log, under the request ID that both carry.
"""

from __future__ import annotations

import logging
import math
from typing import Any, NamedTuple

import orjson

from shared import errors

MEDIA_TYPE = "application/problem+json"


class Kind(NamedTuple):
    """One kind of problem. ``advice`` is the detail where nothing more precise is known; times in seconds."""

    status: int
    slug: str
    title: str
    advice: str
    retry_after: int | None = None


class Busy(errors.RetryableError):
    """This instance is at its own limit of concurrent work."""


_WAIT = "Repeat the request after the time in Retry-After."
MALFORMED = Kind(400, "malformed-request", "Malformed request", "Compare the request with /openapi.json.")
UNAUTHORIZED = Kind(401, "unauthorized", "No valid token", "Send 'Authorization: Bearer TOKEN'; operators make tokens.")
FORBIDDEN = Kind(403, "forbidden", "Not allowed", "Use a token whose scope covers this route; write includes read.")
SIGNATURE = Kind(403, "signature-refused", "Push signature refused", "Only unaltered pushes of MNS are accepted here.")
NO_ROUTE = Kind(404, "no-such-route", "No such route", "The routes are listed in /openapi.json.")
NO_DELIVERY = Kind(404, "no-such-delivery", "No such delivery", "GET /jobs/{jobId}/deliveries lists who was told.")
METHOD = Kind(405, "method-not-allowed", "Method not allowed", "Use one of the methods in the Allow header.")
NOT_ACCEPTABLE = Kind(
    406, "not-acceptable", "Not acceptable", "Leave out the Accept header, or accept what is offered."
)
PRECONDITION = Kind(412, "precondition-failed", "Not what If-Match asks for", "Leave it out, or send the newest ETag.")
TOO_LARGE = Kind(413, "body-too-large", "Request body too large", "Send at most 131072 bytes.")
URI_TOO_LONG = Kind(414, "uri-too-long", "Path and query too long", "Send at most 4096 bytes of path and query.")
MEDIA = Kind(415, "unsupported-media-type", "Unsupported media type", "Send JSON, as Content-Type: application/json.")
RANGE = Kind(416, "range", "Range not satisfiable", "Ask for one range of bytes within the length in Content-Range.")
HEADERS_TOO_LARGE = Kind(431, "headers-too-large", "Headers too large", "Send at most 8192 bytes of headers in all.")
UNEXPECTED = Kind(500, "internal-error", "Internal error", "Report the request ID to whoever runs this service.")

BY_ERROR: dict[type[errors.RelayError], Kind] = {
    errors.BadInput: MALFORMED,
    errors.JobNotFound: Kind(
        404, "job-not-found", "No such job", "MPS knows jobs of its own account and region only, and for 180 days."
    ),
    errors.ObjectNotFound: Kind(
        404,
        "not-published",
        "Nothing stored under this name",
        "Publish the job first; manifest.json lists what it has.",
    ),
    errors.Throttled: Kind(429, "throttled", "Throttled by the cloud service", _WAIT, 5),
    errors.BadSettings: Kind(500, "bad-settings", "Not set up", "The log names every wrong setting, for the operator."),
    errors.AccessRefused: Kind(
        502, "access-refused", "The cloud service refuses us", "The operator has to check our role; the log says why."
    ),
    errors.BadResponse: Kind(502, "bad-response", "Unusable answer from MPS", "The log says what was wrong with it."),
    errors.ResponseTooLarge: Kind(
        502, "result-too-large", "The job's result is too large", "The operator can raise MAX_RESULT_BYTES."
    ),
    errors.PermanentError: Kind(502, "refused", "A cloud service turns this down", "The log says why."),
    Busy: Kind(503, "busy", "Too much is in flight", _WAIT, 2),
    errors.JobNotReady: Kind(503, "job-not-ready", "MPS does not report the new state yet", _WAIT, 5),
    errors.SubscribersBroken: Kind(
        503, "subscribers-broken", "The list of subscribers is unreadable", "The operator has to repair it.", 60
    ),
    errors.RetryableError: Kind(503, "unavailable", "A cloud service is unavailable", _WAIT, 10),
    errors.TimedOut: Kind(504, "timed-out", "A cloud service did not answer in time", _WAIT, 10),
}


class Problem(errors.PermanentError):
    """A request that this layer itself turns down.

    Args:
        kind: which problem.
        detail: one sentence saying what to send instead; the kind's own advice if empty.
        headers: to add to the answer, such as ``Allow``.
    """

    def __init__(self, kind: Kind, detail: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(detail or kind.advice)
        self.kind = kind
        self.headers = headers or {}


def kind_of(error: BaseException) -> Kind:
    """Return the row of the table for an error: its own class's, or that of the nearest base class."""
    if isinstance(error, Problem):
        return error.kind
    return next((BY_ERROR[base] for base in type(error).__mro__ if base in BY_ERROR), UNEXPECTED)


def level_of(error: BaseException) -> int:
    """Return how loud the log should be: errors are for what somebody who runs the service has to look at."""
    status = kind_of(error).status
    return logging.ERROR if status in {500, 502} else logging.WARNING if status > 500 else logging.INFO  # noqa: PLR2004


def document(error: BaseException, request_id: str) -> dict[str, Any]:
    """Return the problem document as a JSON object."""
    kind = kind_of(error)
    found: dict[str, Any] = {
        "type": f"urn:smarttag-relay:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": error.message if isinstance(error, Problem) else kind.advice,
        "requestId": request_id,
    }
    if kind.retry_after is not None:
        said = error.retry_after if isinstance(error, errors.RetryableError) else None
        found["retryAfter"] = kind.retry_after if said is None else max(1, min(3600, math.ceil(said)))
    return found


def answer(error: BaseException, request_id: str) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers of the answer to a failed request."""
    found = document(error, request_id)
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    headers |= {"X-Request-Id": request_id, "X-Content-Type-Options": "nosniff"}
    if "retryAfter" in found:
        headers["Retry-After"] = str(found["retryAfter"])
    if isinstance(error, Problem):
        headers |= error.headers
    return found["status"], orjson.dumps(found), headers
