"""Objects in an OSS bucket, through alibabacloud-oss-v2.

Importing the SDK costs about 200 ms of CPU, so it happens at the first request. The SDK's own retrying is off:
one loop here keeps the deadline, and knows what an answer that got lost means for each method.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from shared.credentials import Credentials
from shared.errors import (
    AccessRefused,
    BadSettings,
    ObjectNotFound,
    PermanentError,
    RelayError,
    Throttled,
    TimedOut,
    Unavailable,
)
from shared.storage.base import ObjectInfo, check_key

_PAGE = 1000  # keys per listing request, the most OSS gives
_PIECE = 1 << 16  # bytes of a download between two looks at the clock


class _Taken(PermanentError):
    """OSS answered 409 to a create-only write."""


class _Damaged(Unavailable):
    """OSS said 200 and keeps bytes whose CRC-64 is not that of ours."""


_Verdict = tuple[type[RelayError], str]
_REFUSED: _Verdict = (AccessRefused, "let the function's role read and write {setting}, and check its credentials")
_SLOWER: _Verdict = (Throttled, "it asks to slow down; try again later")
_AGAIN: _Verdict = (Unavailable, "try again")
# Codes come first: the HTTP statuses of OSS are coarse.
_VERDICTS: dict[str | int, _Verdict] = {
    "NoSuchBucket": (BadSettings, "there is no such bucket; correct {setting}, or OSS_ENDPOINT and the region"),
    "FileAlreadyExists": (_Taken, "the key is taken"),
    "InvalidSecurityToken": (Unavailable, "the STS token is not valid; the next invocation brings a new one"),
    "SecurityTokenExpired": (Unavailable, "the STS token has expired; the next invocation brings a new one"),
    "RequestTimeTooSkewed": (Unavailable, "this machine's clock is wrong; set it"),
    401: _REFUSED,
    403: _REFUSED,
    404: (ObjectNotFound, "there is no such object"),
    408: _AGAIN,
    409: _AGAIN,
    429: _SLOWER,
    503: _SLOWER,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, for one read, and for a whole method with its retries; and how often to try."""

    connect: float = 3.0
    read: float = 10.0
    total: float = 25.0
    attempts: int = 4
    backoff: float = 0.2  # seconds, doubled at each attempt and multiplied by a random factor below 1


class OssStore:
    """An ``ObjectStore`` in ``bucket``, every key behind ``prefix``.

    ``create`` relies on ``x-oss-forbid-overwrite``, which OSS ignores in buckets that have, or had, versioning; such
    a bucket is refused at the first ``create``. Credentials are asked for at each request, since they rotate.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        region: str,
        endpoint: str,
        credentials: Callable[[], Credentials],
        *,
        setting: str = "OUTPUT_URL",
        limits: Limits | None = None,
    ) -> None:
        """Open nothing yet; errors name ``setting`` as the place to correct the bucket."""
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._region = region
        self._endpoint = endpoint
        self._credentials = credentials
        self._setting = setting
        self._limits = limits or Limits()

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        """See ``ObjectStore.create``."""
        for _ in range(self._limits.attempts):
            try:
                versioned = self._write(key, body, content_type, forbid_overwrite="true")
            except _Taken:  # perhaps by our own write, whose answer was lost
                with suppress(ObjectNotFound):  # deleted since
                    return self.get(key) == body
                continue
            if versioned:
                raise BadSettings(
                    f"bucket {self._bucket} has versioning, where OSS ignores create-only writes: "
                    f"point {self._setting} to a bucket that never had it",
                    setting=self._setting,
                )
            return True
        raise Unavailable(f"{key} keeps coming and going in bucket {self._bucket}; try again", key=key)

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """See ``ObjectStore.put``."""
        self._write(key, body, content_type, forbid_overwrite=None)

    def get(self, key: str) -> bytes:
        """See ``ObjectStore.get``. The bytes are checked against the CRC-64 that OSS keeps of them."""
        from alibabacloud_oss_v2.crc import Crc64

        def read(answer: Any, deadline: float) -> bytes:  # noqa: ANN401 - the SDK has no types
            pieces = []
            with answer.body:
                for piece in answer.body.iter_bytes(block_size=_PIECE):
                    pieces.append(piece)
                    if time.monotonic() > deadline:
                        raise TimedOut(f"OSS sends {key} too slowly; try again", key=key)
            body = b"".join(pieces)
            crc = Crc64(0)
            crc.update(body)
            if answer.hash_crc64 not in {None, str(crc.sum64())}:
                raise Unavailable(f"{key} arrived damaged from OSS: its CRC-64 differs; try again", key=key)
            return body

        return bytes(self._call(key, "get_object", self._request("GetObject", key), read))

    def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        try:
            found = self._call(key, "head_object", self._request("HeadObject", key))
        except ObjectNotFound:
            return None
        try:
            age = (parsedate_to_datetime(found.headers["Date"]) - found.last_modified).total_seconds()
            return ObjectInfo(key, found.content_length, found.etag.strip('"'), found.content_type or "", max(0.0, age))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Unavailable(f"OSS described {key} without date, time or etag; check OSS_ENDPOINT", key=key) from None

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """See ``ObjectStore.list``."""
        if folder := prefix.rpartition("/")[0]:
            check_key(folder)
        request = self._sdk.ListObjectsV2Request(bucket=self._bucket, prefix=self._prefix + prefix, max_keys=_PAGE)
        request.start_after = self._prefix + start_after if start_after else None
        while True:
            page = self._call(prefix, "list_objects_v2", request)
            for entry in page.contents or ():
                yield entry.key[len(self._prefix) :]
            if not page.is_truncated:
                return
            request.continuation_token = page.next_continuation_token

    def delete(self, key: str) -> None:
        """See ``ObjectStore.delete``."""
        self._call(key, "delete_object", self._request("DeleteObject", key))

    def _request(self, operation: str, key: str, **fields: object) -> Any:  # noqa: ANN401 - the SDK has no types
        kind = getattr(self._sdk, f"{operation}Request")
        return kind(bucket=self._bucket, key=self._prefix + check_key(key), **fields)

    def _write(self, key: str, body: bytes, content_type: str, forbid_overwrite: str | None) -> bool:
        """Write the object; tell whether the bucket has versioning."""
        fields = {"body": body, "content_type": content_type, "forbid_overwrite": forbid_overwrite}
        answer = self._call(key, "put_object", self._request("PutObject", key, **fields))
        return bool(answer.version_id)

    def _call(
        self,
        key: str,
        operation: str,
        request: Any,  # noqa: ANN401 - the SDK has no types
        read: Callable[[Any, float], Any] = lambda answer, _deadline: answer,
    ) -> Any:  # noqa: ANN401 - as above
        """Send the request and ``read`` the answer before a deadline, again while that may help and time is left."""
        deadline = time.monotonic() + self._limits.total
        pause = self._limits.backoff
        for left in range(self._limits.attempts - 1, -1, -1):
            patience = min(self._limits.read, max(0.1, deadline - time.monotonic()))
            try:
                return read(getattr(self._client, operation)(request, readwrite_timeout=patience), deadline)
            except Exception as failure:  # noqa: BLE001 - the SDK lets errors of every layer below it through
                error = self._explain(key, failure)
            if isinstance(error, _Damaged):  # the bytes at OSS are ours, so writing over them hurts nobody
                request.forbid_overwrite = None
            wait = random.random() * pause
            if not left or not error.retryable or time.monotonic() + wait > deadline:
                break
            time.sleep(wait)
            pause *= 2
        # Raised here and not above: the SDK's own error, which quotes the request, is no part of the traceback.
        raise error

    def _explain(self, key: str, failure: Exception) -> RelayError:
        if isinstance(failure, RelayError):
            return failure
        cause = failure.unwrap() if hasattr(failure, "unwrap") else failure
        errors = self._sdk.exceptions
        if isinstance(cause, errors.CredentialsFetchError):
            found = cause.kwargs["error"]
            return found if isinstance(found, RelayError) else BadSettings("the credentials could not be read")
        if isinstance(cause, errors.ServiceError):
            return self._explain_refusal(key, cause)
        if isinstance(cause, errors.InconsistentError):
            return _Damaged(f"{key} arrived damaged at OSS: its CRC-64 differs; try again", key=key)
        cause = cause.unwrap() if hasattr(cause, "unwrap") else cause
        kinds = [type(each).__name__ for each in (cause, *getattr(cause, "args", ()))]
        if any("Timeout" in kind for kind in kinds):
            return TimedOut(f"OSS at {self._endpoint} did not answer for {key} in time; try again", key=key)
        return Unavailable(
            f"OSS at {self._endpoint} could not be reached for {key} ({kinds[0]}); try again, and check OSS_ENDPOINT",
            key=key,
        )

    def _explain_refusal(self, key: str, refusal: Any) -> RelayError:  # noqa: ANN401 - the SDK's ServiceError
        """Quote code and request ID only: the document of a refused signature repeats what was signed."""
        code, status, request_id = str(refusal.code or ""), int(refusal.status_code), str(refusal.request_id or "")
        server_failed = status >= 500  # noqa: PLR2004 - HTTP's own classes
        otherwise = _AGAIN if server_failed else (PermanentError, "check {setting} and OSS_ENDPOINT")
        kind, advice = _VERDICTS.get(code) or _VERDICTS.get(status) or otherwise
        return kind(
            f"OSS answered {status} {code} for {key} in bucket {self._bucket}: "
            f"{advice.format(setting=self._setting)} (request {request_id or 'unnamed'})",
            key=key,
            bucket=self._bucket,
            code=code,
            status=status,
            serviceRequestId=request_id,
        )

    @cached_property
    def _sdk(self) -> Any:  # noqa: ANN401 - the SDK has no types
        import alibabacloud_oss_v2

        return alibabacloud_oss_v2

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - as above
        sdk = self._sdk
        http = sdk.transport.RequestsHttpClient(connect_timeout=self._limits.connect, max_connections=64)
        http.open()
        # A netrc entry would replace our signature, and a proxy from the environment would carry it elsewhere.
        http.session.trust_env = False

        def current() -> Any:  # noqa: ANN401 - as above
            now = self._credentials()
            return sdk.Credentials(now.access_key_id, now.access_key_secret, now.security_token or None)

        config = sdk.config.load_default()
        config.region = self._region
        config.endpoint = self._endpoint
        config.credentials_provider = sdk.credentials.CredentialsProviderFunc(current)
        config.http_client = http
        config.retryer = sdk.retry.NopRetryer()
        return sdk.Client(config)
