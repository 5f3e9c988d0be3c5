"""How a bucket is addressed, and OSS signature V4 in the Authorization header (help.aliyun.com, "V4 signature").

alibabacloud-oss-v2 makes the same requests, and tests hold that; importing it costs more than everything else that
a function does at its start (docs/decisions/0005-oss-requests.md).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from hashlib import sha256
from urllib.parse import quote, urlsplit

from shared.credentials import Credentials
from shared.service_calls import Request


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, the region its requests are signed for, and the URL of OSS or of the bucket's own domain."""

    name: str
    region: str
    endpoint: str

    def address(self) -> tuple[str, str]:
        """Return the URL to connect to, and what stands there before a key."""
        parts = urlsplit(self.endpoint)
        host = parts.hostname or ""
        if host == "localhost" or ":" in host or host.replace(".", "").isdigit():
            return self.endpoint, f"/{self.name}/"  # a bucket cannot be the subdomain of an IP address
        if host.endswith(".aliyuncs.com"):
            return f"{parts.scheme}://{self.name}.{parts.netloc}", "/"
        return self.endpoint, "/"  # a domain that is bound to the bucket by CNAME

    def sign(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        credentials: Credentials,
        now: datetime,
    ) -> Request:
        """Return the request for ``key``, or for the bucket where that is empty.

        Args:
            method: of HTTP.
            key: as it is, not percent-encoded.
            query: likewise.
            headers: of which ``content-*`` and ``x-oss-*`` are signed; in lower case.
            body: not signed, like in the SDK: ``content-md5`` is what holds it.
            credentials: whose signature it is.
            now: UTC; OSS takes 15 minutes on either side.
        """
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        headers = {**headers, "x-oss-content-sha256": "UNSIGNED-PAYLOAD", "x-oss-date": stamp}
        if credentials.security_token:
            headers["x-oss-security-token"] = credentials.security_token
        pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query.items())
        line = "&".join(f"{name}={value}" if value else name for name, value in pairs)
        scope = f"{stamp[:8]}/{self.region}/oss/aliyun_v4_request"
        signed = sorted(
            name for name in headers if name.startswith("x-oss-") or name in {"content-md5", "content-type"}
        )
        canonical = (
            f"{method}\n{quote(f'/{self.name}/{key}')}\n{line}\n"
            f"{''.join(f'{name}:{headers[name]}{chr(10)}' for name in signed)}\n\nUNSIGNED-PAYLOAD"
        )
        text = f"OSS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        parts = (*scope.split("/"), text)
        signature = reduce(_hmac, parts, f"aliyun_v4{credentials.access_key_secret}".encode()).hex()
        headers["authorization"] = (
            f"OSS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope},Signature={signature}"
        )
        target = self.address()[1] + quote(key)
        return Request(method, f"{target}?{line}" if line else target, headers, body)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
