"""What OSS means by its error codes. Codes come first: its HTTP statuses are coarse.

Only the code and the request ID are ever quoted: the document of a refused signature repeats what was signed.
"""

from __future__ import annotations

from typing import Any

from shared.errors import (
    AccessRefused,
    BadSettings,
    ObjectNotFound,
    PermanentError,
    RelayError,
    Throttled,
    Unavailable,
)


class Taken(PermanentError):
    """OSS answered 409 to a create-only write."""


_Verdict = tuple[type[RelayError], str]

_BY_CODE: dict[str, _Verdict] = {
    "NoSuchBucket": (BadSettings, "there is no such bucket; correct {setting}, or OSS_ENDPOINT and the region"),
    "FileAlreadyExists": (Taken, "the key is taken"),
    "InvalidSecurityToken": (Unavailable, "the STS token is not valid; the next invocation brings a new one"),
    "SecurityTokenExpired": (Unavailable, "the STS token has expired; the next invocation brings a new one"),
    "RequestTimeTooSkewed": (Unavailable, "this machine's clock is wrong; set it"),
}
_REFUSED: _Verdict = (AccessRefused, "let the function's role read and write {setting}, and check its credentials")
_SLOWER: _Verdict = (Throttled, "it asks to slow down; try again later")
_AGAIN: _Verdict = (Unavailable, "try again")
_BY_STATUS: dict[int, _Verdict] = {
    401: _REFUSED,
    403: _REFUSED,
    404: (ObjectNotFound, "there is no such object"),
    408: _AGAIN,
    409: _AGAIN,
    429: _SLOWER,
    503: _SLOWER,
}
_FAILING = 500
_OTHERWISE: _Verdict = (PermanentError, "check {setting} and OSS_ENDPOINT")


def explain_refusal(refusal: Any, *, key: str, bucket: str, setting: str) -> RelayError:  # noqa: ANN401 - no types
    """Turn the SDK's ``ServiceError`` into ours."""
    code, status = str(refusal.code or ""), int(refusal.status_code)
    request_id = str(refusal.request_id or "")
    kind, advice = _BY_CODE.get(code) or _BY_STATUS.get(status) or (_AGAIN if status >= _FAILING else _OTHERWISE)
    return kind(
        f"OSS answered {status} {code} for {key} in bucket {bucket}: {advice.format(setting=setting)} "
        f"(request {request_id or 'unnamed'})",
        key=key,
        bucket=bucket,
        code=code,
        status=status,
        requestId=request_id,
    )
