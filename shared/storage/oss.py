"""Objects in an OSS bucket, through alibabacloud-oss-v2.

Importing the SDK costs about 200 ms of CPU, so it happens at the first request. The SDK's own retrying is off:
one loop here keeps the deadline, and knows what an answer that got lost means for each method.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from shared.credentials import Credentials
from shared.errors import (
    BadSettings,
    ObjectNotFound,
    RelayError,
    TimedOut,
    Unavailable,
)
from shared.storage.base import ObjectInfo, check_key
from shared.storage.oss_errors import Taken, explain_refusal

T = TypeVar("T")
_PAGE = 1000  # keys per listing request, the most OSS gives
_PIECE = 1 << 16  # bytes of a download between two looks at the clock


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
                self._write(key, body, content_type, forbid_overwrite=True)
            except Taken:
                same = self._holds(key, body)
                if same is not None:
                    return same
            else:
                return True
        raise Unavailable(f"{key} keeps coming and going in bucket {self._bucket}; try again", key=key)

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """See ``ObjectStore.put``."""
        self._write(key, body, content_type, forbid_overwrite=False)

    def get(self, key: str) -> bytes:
        """See ``ObjectStore.get``. The bytes are checked against the CRC-64 that OSS keeps of them."""
        return self._call(key, functools.partial(self._read, key))

    def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        found = self._describe(key)
        if found is None:
            return None
        try:
            age = (parsedate_to_datetime(found.headers["Date"]) - found.last_modified).total_seconds()
            return ObjectInfo(key, found.content_length, found.etag.strip('"'), found.content_type or "", max(0.0, age))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Unavailable(f"OSS described {key} without date, time or etag; check OSS_ENDPOINT", key=key) from None

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """See ``ObjectStore.list``."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        return self._pages(prefix, start_after)

    def delete(self, key: str) -> None:
        """See ``ObjectStore.delete``."""
        request = self._sdk.DeleteObjectRequest(bucket=self._bucket, key=self._name(key))
        self._call(
            key, lambda deadline: self._client.delete_object(request, readwrite_timeout=self._patience(deadline))
        )

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _write(self, key: str, body: bytes, content_type: str, *, forbid_overwrite: bool) -> None:
        request = self._sdk.PutObjectRequest(
            bucket=self._bucket, key=self._name(key), body=body, content_type=content_type
        )
        request.forbid_overwrite = "true" if forbid_overwrite else None

        def attempt(deadline: float) -> None:
            try:
                answer = self._client.put_object(request, readwrite_timeout=self._patience(deadline))
            except self._sdk.exceptions.OperationError as failed:
                if isinstance(failed.unwrap(), self._sdk.exceptions.InconsistentError):
                    # OSS said 200 and keeps damaged bytes. They are ours, so writing over them hurts nobody.
                    request.forbid_overwrite = None
                raise
            if forbid_overwrite and answer.version_id:
                raise BadSettings(
                    f"bucket {self._bucket} has versioning, where OSS ignores create-only writes: "
                    f"point {self._setting} to a bucket that never had it",
                    setting=self._setting,
                )

        self._call(key, attempt)

    def _holds(self, key: str, body: bytes) -> bool | None:
        """Tell whether the object is exactly ``body``, None if it is gone: the taken key may be our own lost write."""
        found = self._describe(key)
        if found is None:
            return None
        if found.hash_crc64 is None:
            return self.get(key) == body
        return bool(found.content_length == len(body) and found.hash_crc64 == self._crc64(body))

    def _read(self, key: str, deadline: float) -> bytes:
        request = self._sdk.GetObjectRequest(bucket=self._bucket, key=self._name(key))
        answer = self._client.get_object(request, readwrite_timeout=self._patience(deadline))
        pieces = []
        with answer.body:
            for piece in answer.body.iter_bytes(block_size=_PIECE):
                pieces.append(piece)
                if time.monotonic() > deadline:
                    raise TimedOut(f"OSS sends {key} too slowly; try again", key=key)
        body = b"".join(pieces)
        if answer.hash_crc64 not in {None, self._crc64(body)}:
            raise Unavailable(f"{key} arrived damaged from OSS: its CRC-64 differs; try again", key=key)
        return body

    def _describe(self, key: str) -> Any:  # noqa: ANN401 - the SDK's HeadObjectResult; it has no types
        request = self._sdk.HeadObjectRequest(bucket=self._bucket, key=self._name(key))
        try:
            return self._call(
                key, lambda deadline: self._client.head_object(request, readwrite_timeout=self._patience(deadline))
            )
        except ObjectNotFound:
            return None

    def _pages(self, prefix: str, start_after: str) -> Iterator[str]:
        request = self._sdk.ListObjectsV2Request(bucket=self._bucket, prefix=self._prefix + prefix, max_keys=_PAGE)
        request.start_after = self._prefix + start_after if start_after else None
        while True:
            page = self._call(
                prefix,
                lambda deadline: self._client.list_objects_v2(request, readwrite_timeout=self._patience(deadline)),
            )
            for entry in page.contents or ():
                yield entry.key[len(self._prefix) :]
            if not page.is_truncated:
                return
            request.continuation_token = page.next_continuation_token

    def _crc64(self, body: bytes) -> str:
        from alibabacloud_oss_v2.crc import Crc64

        crc = Crc64(0)
        crc.update(body)
        return str(crc.sum64())

    @functools.cached_property
    def _sdk(self) -> Any:  # noqa: ANN401 - the SDK has no types
        import alibabacloud_oss_v2

        return alibabacloud_oss_v2

    @functools.cached_property
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

    def _patience(self, deadline: float) -> float:
        return min(self._limits.read, max(0.1, deadline - time.monotonic()))

    def _call(self, key: str, attempt: Callable[[float], T]) -> T:
        """Call ``attempt`` with the deadline, again while that may help and time is left."""
        deadline = time.monotonic() + self._limits.total
        pause = self._limits.backoff
        for left in range(self._limits.attempts - 1, -1, -1):
            try:
                return attempt(deadline)
            except Exception as failure:  # noqa: BLE001 - the SDK lets errors of every layer below it through
                error = self._explain(key, failure)
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
            return explain_refusal(cause, key=key, bucket=self._bucket, setting=self._setting)
        if isinstance(cause, errors.InconsistentError):
            return Unavailable(f"{key} arrived damaged at OSS: its CRC-64 differs; try again", key=key)
        cause = cause.unwrap() if hasattr(cause, "unwrap") else cause
        kinds = [type(each).__name__ for each in (cause, *getattr(cause, "args", ()))]
        if any("Timeout" in kind for kind in kinds):
            return TimedOut(f"OSS at {self._endpoint} did not answer for {key} in time; try again", key=key)
        return Unavailable(
            f"OSS at {self._endpoint} could not be reached for {key} ({kinds[0]}); try again, and check OSS_ENDPOINT",
            key=key,
        )
