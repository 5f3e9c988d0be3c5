"""OSS V4 request signatures, checked by recomputing them (help.aliyun.com, "V4 signature in a header")."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlsplit

from local.cloud.accounts import ENDED
from local.cloud.server import Refusal, Request
from shared.credentials import Credentials

_SKEW = timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"OSS4-HMAC-SHA256 Credential=(?P<id>[^/,]+)/(?P<scope>(?P<day>\d{8})/(?P<region>[^/]+)/oss/aliyun_v4_request)"
    r"(?:, ?AdditionalHeaders=(?P<additional>[^,]*))?, ?Signature=(?P<signature>[0-9a-f]{64})"
)


def check_signature(request: Request, accounts: Mapping[str, Credentials], region: str, now: datetime) -> None:
    """Raise ``Refusal`` unless one of ``accounts`` signed this very request within 15 minutes of ``now``."""
    header = request.headers.get("authorization", "")
    if not header:
        raise Refusal(403, "AccessDenied", "Anonymous access is forbidden for this operation.")
    match = _AUTHORIZATION.fullmatch(header)
    if match is None:
        raise Refusal(400, "InvalidArgument", "Authorization header is invalid.")
    if match["id"] == ENDED.access_key_id:
        raise Refusal(403, "SecurityTokenExpired", "The security token you provided has expired.")
    account = accounts.get(match["id"])
    if account is None:
        raise Refusal(403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.")
    if request.headers.get("x-oss-security-token", "") != account.security_token:
        raise Refusal(403, "InvalidSecurityToken", "The security token you provided is invalid.")
    stamp = request.headers.get("x-oss-date", "")
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Refusal(403, "AccessDenied", "OSS authentication requires a valid Date.") from None
    if abs(now - signed_at) > _SKEW:
        raise Refusal(403, "RequestTimeTooSkewed", "The difference between the request time and ours is too large.")
    if match["day"] != stamp[:8] or match["region"] != region:
        raise Refusal(403, "SignatureDoesNotMatch", f"The scope must be of the request's day and of {region}.")
    text = "\n".join(("OSS4-HMAC-SHA256", stamp, match["scope"], _canonical(request, match["additional"] or "")))
    if not hmac.compare_digest(_sign(account.access_key_secret, match["scope"], text), match["signature"]):
        raise Refusal(
            403, "SignatureDoesNotMatch", "The request signature we calculated does not match the one you provided."
        )


def _canonical(request: Request, additional: str) -> str:
    names = additional.split(";") if additional else []
    signed = sorted(
        (name, value.strip())
        for name, value in request.headers.items()
        if name.startswith("x-oss-") or name in {"content-type", "content-md5", *names}
    )
    pairs = sorted(pair.partition("=")[::2] for pair in urlsplit(request.target).query.split("&") if pair)
    lines = (
        request.method,
        quote(request.path),
        "&".join(f"{name}={value}" if value else name for name, value in pairs),
        "".join(f"{name}:{value}\n" for name, value in signed),
        additional,
        request.headers.get("x-oss-content-sha256", ""),
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sign(secret: str, scope: str, text: str) -> str:
    key = f"aliyun_v4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
