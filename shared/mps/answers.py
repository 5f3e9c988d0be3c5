"""What MPS means by its answers. Codes decide, by their prefix: its HTTP statuses do not (throttling is a 400).

Sources: the MPS table of error codes and the common errors of Alibaba Cloud RPC APIs.
"""

from __future__ import annotations

from typing import Any

import orjson

from shared.errors import AccessRefused, BadResponse, JobNotFound, PermanentError
from shared.refusals import AGAIN, NEW_TOKEN, SLOWER, WRONG_CLOCK, Answer, Rule, Service, Subject

_SMALL = 65536  # bytes; an error document is smaller, a response that is larger is none and is not parsed here
_REFUSED = (AccessRefused, "let the function's role call mts:QuerySmarttagJob, and check its credentials")
_UNKNOWN = (
    JobNotFound,
    "it knows no such job: another account or region (MPS_REGION), past its 180 days, or no job ID",
)

MPS = Service(
    "MPS",
    "MPS_ENDPOINT and MPS_REGION",
    (
        Rule("", "Throttling", *SLOWER),
        Rule("", "ServiceUnavailable|InternalError|UnknownError|SignatureNonceUsed", *AGAIN),
        Rule("", r"InvalidSecurityToken\.Expired", *NEW_TOKEN),
        Rule("", "InvalidTimeStamp", *WRONG_CLOCK),
        Rule("", "(Invalid|Missing)SecurityToken|InvalidAccessKey|SignatureDoesNotMatch|Incomplete", *_REFUSED),
        Rule("", "InvalidIdentity|Forbidden|PermissionDenied|NoPermission", *_REFUSED),
        Rule("", "Invalid(Action|Api|Product|Version)", PermanentError, "check MPS_ENDPOINT and MPS_REGION"),
        Rule("", r"InvalidParameter\.(ResourceNotFound|ResourceDeleted|UUIDFormatInvalid)", *_UNKNOWN),
        Rule("", ".*(NotFound|NotExist)$", *_UNKNOWN),
        Rule("5", "", *AGAIN),
        Rule("", ".", PermanentError, "see the MPS table of error codes"),
        Rule("401|403", "", *_REFUSED),
        Rule("408", "", *AGAIN),
        Rule("429", "", *SLOWER),
        Rule("", "", BadResponse, "check that MPS_ENDPOINT is the MPS API"),
    ),
)


def check_answer(subject: Subject, answer: Answer) -> bytes:
    """Return the body unless it can be no response to QuerySmarttagJob.

    Raises:
        BadResponse: it is empty, XML, HTML or other text, or small and malformed.
        RelayError: it is an error document inside a 200, told apart as if it had its own status.
    """
    body = answer.body
    start = body[:64].lstrip()[:1]
    if start not in {b"{", b"["}:
        kind = "XML or HTML" if start == b"<" else "something else" if body.strip() else "nothing"
        raise BadResponse(
            f"MPS answered {kind} instead of JSON for {subject.text}: check that MPS_ENDPOINT is the MPS API",
            **subject.fields,
        )
    if len(body) > _SMALL:
        return body
    try:
        read: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadResponse(f"MPS answered malformed JSON for {subject.text}: {error}", **subject.fields) from None
    if isinstance(read, dict) and "Code" in read and "JobStatus" not in read:
        raise MPS.explain(subject, answer)
    return body
