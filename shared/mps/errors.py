"""What MPS means by its answers. Codes decide, by their prefix: its HTTP statuses do not (throttling is a 400).

Nothing but the code and the request ID is quoted: the message of a refused signature repeats what was signed.
Sources: the MPS table of error codes and the common errors of Alibaba Cloud RPC APIs.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from shared.errors import AccessRefused, BadResponse, JobNotFound, PermanentError, RelayError, Throttled, Unavailable

_SMALL = 65536  # bytes; an error document is smaller, a response that is larger is none and is not parsed here
_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")
_IN_XML = re.compile(r"<(Code|RequestId)>\s*([^<\s]{1,120})\s*</")

_Verdict = tuple[type[RelayError], str]
_SLOWER: _Verdict = (Throttled, "it asks to slow down; try again later")
_AGAIN: _Verdict = (Unavailable, "try again")
_REFUSED: _Verdict = (AccessRefused, "let the function's role call mts:QuerySmarttagJob, and check its credentials")
_UNKNOWN: _Verdict = (
    JobNotFound,
    "it knows no such job: another account or region (MPS_REGION), past its 180 days, or no job ID",
)

# The first that fits decides.
_BY_CODE: tuple[tuple[str, _Verdict], ...] = (
    (r"Throttling", _SLOWER),
    (r"ServiceUnavailable|InternalError|UnknownError|SignatureNonceUsed", _AGAIN),
    (
        r"InvalidSecurityToken\.Expired",
        (Unavailable, "the STS token has expired; the next invocation brings a new one"),
    ),
    (r"InvalidTimeStamp", (Unavailable, "this machine's clock is wrong; set it")),
    (r"(Invalid|Missing)SecurityToken|InvalidAccessKey|SignatureDoesNotMatch|IncompleteSignature", _REFUSED),
    (r"InvalidIdentity|Forbidden|PermissionDenied|NoPermission", _REFUSED),
    (r"Invalid(Action|Api|Product|Version)", (PermanentError, "check MPS_ENDPOINT and MPS_REGION")),
    (r"InvalidParameter\.(ResourceNotFound|ResourceDeleted|UUIDFormatInvalid)|.*(NotFound|NotExist)$", _UNKNOWN),
)
_BY_STATUS: dict[int, _Verdict] = {401: _REFUSED, 403: _REFUSED, 408: _AGAIN, 429: _SLOWER}


def explain_refusal(job_id: str, status: int, document: bytes, retry_after: str = "") -> RelayError:
    """Turn an answer into an error.

    Args:
        job_id: the job asked for.
        status: HTTP status.
        document: the beginning of the body; gateways before the API may answer in XML.
        retry_after: that header, taken when it is seconds.
    """
    try:
        read: Any = orjson.loads(document)
    except orjson.JSONDecodeError:
        read = dict(_IN_XML.findall(document.decode("ascii", "replace")))
    code, request_id = (_name(read.get(name)) for name in ("Code", "RequestId")) if isinstance(read, dict) else ("", "")
    kind, advice = _judge(status, code)
    return kind(
        f"MPS answered {status} {code or 'without a code'} for job {job_id}: {advice}",
        retry_after=float(retry_after) if re.fullmatch("[0-9]{1,5}", retry_after) else None,
        jobId=job_id,
        status=status,
        code=code,
        serviceRequestId=request_id,
    )


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
        raise explain_refusal(job_id, 200, body)
    return body


def _judge(status: int, code: str) -> _Verdict:
    for pattern, verdict in _BY_CODE:
        if re.match(pattern, code):
            return verdict
    if status >= 500:  # noqa: PLR2004 - the server's own failures
        return _AGAIN
    if code:
        return (PermanentError, "see the MPS table of error codes")
    return _BY_STATUS.get(status, (BadResponse, "check that MPS_ENDPOINT is the MPS API"))


def _name(value: object) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""
