"""What MPS means by its answers. Codes decide, by their prefix: its HTTP statuses do not (throttling is a 400).

Nothing but the code and the request ID is quoted: the message of a refused signature repeats what was signed.
Sources: the MPS table of error codes and the common errors of Alibaba Cloud RPC APIs.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from shared.errors import (
    AccessRefused,
    BadResponse,
    JobNotFound,
    PermanentError,
    RelayError,
    RetryableError,
    Throttled,
    Unavailable,
)

_SMALL = 65536  # bytes; an error document is smaller, a response that is larger is none and is not parsed here
_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")
_IN_XML = re.compile(rb"<(Code|RequestId)>\s*([^<\s]{1,120})\s*</")
_RETRY_AFTER = re.compile(r"\d{1,5}")

_Verdict = tuple[type[RelayError], str]
_SLOWER: _Verdict = (Throttled, "it asks to slow down; try again later")
_AGAIN: _Verdict = (Unavailable, "try again")
_REFUSED: _Verdict = (AccessRefused, "let the function's role call mts:QuerySmarttagJob, and check its credentials")
_UNKNOWN: _Verdict = (
    JobNotFound,
    "it knows no such job: another account or region (MPS_REGION), past its 180 days, or no job ID",
)
_WRONG: _Verdict = (PermanentError, "check MPS_ENDPOINT and MPS_REGION")

# The first prefix that fits decides.
_BY_PREFIX: tuple[tuple[str, _Verdict], ...] = (
    ("Throttling", _SLOWER),
    ("ServiceUnavailable", _AGAIN),
    ("InternalError", _AGAIN),
    ("UnknownError", _AGAIN),
    ("InvalidSecurityToken.Expired", (Unavailable, "the STS token has expired; the next invocation brings a new one")),
    ("InvalidTimeStamp", (Unavailable, "this machine's clock is wrong; set it")),
    ("SignatureNonceUsed", _AGAIN),
    ("InvalidAccessKey", _REFUSED),
    ("InvalidSecurityToken", _REFUSED),
    ("MissingSecurityToken", _REFUSED),
    ("SignatureDoesNotMatch", _REFUSED),
    ("IncompleteSignature", _REFUSED),
    ("InvalidIdentity", _REFUSED),
    ("Forbidden", _REFUSED),
    ("PermissionDenied", _REFUSED),
    ("NoPermission", _REFUSED),
    ("InvalidAction", _WRONG),
    ("InvalidApi", _WRONG),
    ("InvalidProduct", _WRONG),
    ("InvalidVersion", _WRONG),
    ("InvalidParameter.ResourceNotFound", _UNKNOWN),
    ("InvalidParameter.ResourceDeleted", _UNKNOWN),
    ("InvalidParameter.UUIDFormatInvalid", _UNKNOWN),
)
_BY_STATUS: dict[int, _Verdict] = {401: _REFUSED, 403: _REFUSED, 408: _AGAIN, 429: _SLOWER}
_FAILING = 500


def explain_refusal(job_id: str, status: int, document: bytes, retry_after: str | None = None) -> RelayError:
    """Turn an answer that is no 200 into an error.

    Args:
        job_id: the job asked for.
        status: HTTP status.
        document: the beginning of the body.
        retry_after: that header, taken when it is seconds.
    """
    code, request_id = _read_error(document)
    return _error(job_id, status, code, request_id, retry_after)


def check_answer(job_id: str, body: bytes) -> bytes:
    """Return ``body`` unless it can be no response to QuerySmarttagJob.

    Raises:
        BadResponse: it is empty, XML, HTML or other text, or small and malformed.
        RelayError: it is an error document inside a 200, told apart as if it had its own status.
    """
    start = body[:64].lstrip()[:1]
    if start not in {b"{", b"["}:
        kind = "XML or HTML" if start == b"<" else "something else" if body.strip() else "nothing"
        raise BadResponse(
            f"MPS answered {kind} instead of JSON for job {job_id}: check that MPS_ENDPOINT is the MPS API",
            jobId=job_id,
        )
    if len(body) > _SMALL:
        return body
    try:
        read: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadResponse(f"MPS answered malformed JSON for job {job_id}: {error}", jobId=job_id) from None
    if isinstance(read, dict) and "Code" in read and "JobStatus" not in read:
        raise _error(job_id, 200, _name(read["Code"]), _name(read.get("RequestId")), None)
    return body


def _error(job_id: str, status: int, code: str, request_id: str, retry_after: str | None) -> RelayError:
    kind, advice = _judge(status, code)
    message = f"MPS answered {status} {code or 'without a code'} for job {job_id}: {advice}"
    fields = {"jobId": job_id, "code": code, "requestId": request_id}
    if issubclass(kind, RetryableError):
        seconds = float(retry_after) if retry_after and _RETRY_AFTER.fullmatch(retry_after) else None
        return kind(message, retry_after=seconds, status=status, **fields)
    return kind(message, status=status, **fields)


def _judge(status: int, code: str) -> _Verdict:
    for prefix, verdict in _BY_PREFIX:
        if code.startswith(prefix):
            return verdict
    if code.endswith(("NotFound", "NotExist")):
        return _UNKNOWN
    if status >= _FAILING:
        return _AGAIN
    if code:
        return (PermanentError, "see the MPS table of error codes")
    return _BY_STATUS.get(status, (BadResponse, "check that MPS_ENDPOINT is the MPS API"))


def _read_error(document: bytes) -> tuple[str, str]:
    """Return code and request ID, each empty where there is none; gateways before the API may answer in XML."""
    try:
        read: Any = orjson.loads(document)
    except orjson.JSONDecodeError:
        found = {name.decode(): value.decode("ascii", "replace") for name, value in _IN_XML.findall(document)}
        return _name(found.get("Code")), _name(found.get("RequestId"))
    if not isinstance(read, dict):
        return "", ""
    return _name(read.get("Code")), _name(read.get("RequestId"))


def _name(value: object) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""
