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


class ProblemType(NamedTuple):
    """One problem type of RFC 9457. ``advice`` is the detail where nothing more precise is known; times in seconds."""

    status: int
    slug: str
    title: str
    advice: str
    retry_after: int | None = None


_WAIT = "Repeat the request after the time in Retry-After."
MALFORMED = ProblemType(400, "malformed-request", "Malformed request", "Compare the request with /openapi.json.")
UNAUTHORIZED = ProblemType(401, "unauthorized", "No valid token", "Send the header Authorization: Bearer TOKEN.")
FORBIDDEN = ProblemType(403, "forbidden", "Not allowed", "Use a token whose scope covers this route.")
SIGNATURE = ProblemType(403, "signature-refused", "Push signature refused", "Only pushes signed by MNS are accepted.")
NO_ROUTE = ProblemType(404, "no-such-route", "No such route", "The routes are listed in /openapi.json.")
NO_LINK = ProblemType(404, "no-such-link", "No such link", "It is wrong or has expired: ask for a new one.")
LINKS_OFF = ProblemType(404, "links-off", "Links are off", "Ask the operator to set PUBLIC_URL and LINK_KEYS.")
NO_DELIVERY = ProblemType(404, "no-such-delivery", "No such delivery", "See GET /jobs/{jobId}/deliveries.")
METHOD = ProblemType(405, "method-not-allowed", "Method not allowed", "Use one of the methods in the Allow header.")
NOT_ACCEPTABLE = ProblemType(406, "not-acceptable", "Not acceptable", "Accept what is offered, or leave Accept out.")
PRECONDITION = ProblemType(412, "precondition-failed", "Precondition failed", "Send the newest ETag, or none.")
TOO_LARGE = ProblemType(413, "body-too-large", "Request body too large", "Send at most 131072 bytes.")
URI_TOO_LONG = ProblemType(414, "uri-too-long", "Path and query too long", "Send at most 4096 bytes of path and query.")
MEDIA = ProblemType(415, "unsupported-media-type", "Unsupported media type", "Send Content-Type: application/json.")
RANGE = ProblemType(416, "range", "Range not satisfiable", "Ask for one range within the length in Content-Range.")
HEADERS_TOO_LARGE = ProblemType(431, "headers-too-large", "Headers too large", "Send at most 8192 bytes of headers.")
UNEXPECTED = ProblemType(500, "internal-error", "Internal error", "Report the request ID to whoever runs this service.")

BY_ERROR: dict[type[errors.RelayError], ProblemType] = {
    errors.BadInput: MALFORMED,
    errors.JobNotFound: ProblemType(
        404, "job-not-found", "No such job", "MPS knows only jobs of its own account and region, for 180 days."
    ),
    errors.JobErased: ProblemType(
        410, "job-erased", "The job was erased", 'Publish it with {"restore": true} to bring it back.'
    ),
    errors.ObjectNotFound: ProblemType(
        404, "not-published", "Nothing stored under this name", "Publish the job first; see its manifest.json."
    ),
    errors.Throttled: ProblemType(429, "throttled", "Throttled by the cloud service", _WAIT, 5),
    errors.BadSettings: ProblemType(500, "bad-settings", "Not set up", "Ask the operator; the log names each fault."),
    errors.AccessRefused: ProblemType(
        502, "access-refused", "Refused by the cloud service", "Ask the operator to check the function's role."
    ),
    errors.BadResponse: ProblemType(502, "bad-response", "Unusable answer from MPS", "The operator's log says why."),
    errors.ResponseTooLarge: ProblemType(
        502, "result-too-large", "The job's result is too large", "Ask the operator to raise MAX_RESULT_BYTES."
    ),
    errors.PermanentError: ProblemType(502, "refused", "Rejected by a cloud service", "The operator's log says why."),
    errors.JobNotReady: ProblemType(503, "job-not-ready", "MPS does not report the new state yet", _WAIT, 5),
    errors.SubscribersBroken: ProblemType(
        503, "subscribers-broken", "The list of subscribers is unreadable", "Ask the operator to repair it.", 60
    ),
    errors.RetryableError: ProblemType(503, "unavailable", "A cloud service is unavailable", _WAIT, 10),
    errors.TimedOut: ProblemType(504, "timed-out", "A cloud service did not answer in time", _WAIT, 10),
}


class Problem(errors.PermanentError):
    """A request that this layer itself turns down.

    Args:
        problem_type: which problem.
        detail: one sentence saying what to send instead; the type's own advice if empty.
        headers: to add to the answer, such as ``Allow``.
    """

    def __init__(self, problem_type: ProblemType, detail: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(detail or problem_type.advice)
        self.problem_type = problem_type
        self.headers = headers or {}


def type_of(error: BaseException) -> ProblemType:
    """Return the row of the table for an error: its own class's, or that of the nearest base class."""
    if isinstance(error, Problem):
        return error.problem_type
    return next((BY_ERROR[base] for base in type(error).__mro__ if base in BY_ERROR), UNEXPECTED)


def level_of(error: BaseException) -> int:
    """Return how loud the log should be: errors are for what somebody who runs the service has to look at."""
    status = type_of(error).status
    return logging.ERROR if status in {500, 502} else logging.WARNING if status > 500 else logging.INFO  # noqa: PLR2004


def document(error: BaseException, request_id: str) -> dict[str, Any]:
    """Return the problem document as a JSON object."""
    problem_type = type_of(error)
    found: dict[str, Any] = {
        "type": f"urn:smarttag-relay:problem:{problem_type.slug}",
        "title": problem_type.title,
        "status": problem_type.status,
        "detail": error.message if isinstance(error, Problem) else problem_type.advice,
        "requestId": request_id,
    }
    if problem_type.retry_after is not None:
        said = error.retry_after if isinstance(error, errors.RetryableError) else None
        found["retryAfter"] = problem_type.retry_after if said is None else max(1, min(3600, math.ceil(said)))
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
