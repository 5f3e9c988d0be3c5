"""QuerySmarttagJob of MPS (Mts 2014-06-18): built and signed by aliyun-python-sdk-core, carried by urllib3.

The SDK's own client is left out: it parses every response once more only to find a RequestId (measured: 105 ms of CPU
for a 22 MB answer, 9 ms here), reads it whole whatever its size, writes the signed URL into errors and logs, and
retries nothing of MPS. docs/decisions/0002-mps-transport.md has the whole list.
"""

from __future__ import annotations

import io
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared import __version__
from shared.credentials import Credentials
from shared.errors import RelayError, ResponseTooLarge, RetryableError, TimedOut, Unavailable
from shared.jobs import check_job_id
from shared.mps.errors import check_answer, explain_refusal

_CONNECT = 5.0  # seconds to connect at most
_LEAST = 0.2  # seconds an attempt must have to be worth making
_ATTEMPTS = 6
_BACKOFF = 0.3  # seconds, doubled at each attempt and multiplied by a random factor below 1
_LARGEST_ERROR = 65536  # bytes of an error document that are read
_PIECE = 1 << 18  # bytes read at a time


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes: monotonic seconds, waiting, and a random factor in [0, 1)."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: Callable[[], float] = random.random


class MpsClient:
    """Asks MPS for results; safe to share between threads, reuses its connections.

    Args:
        endpoint: ``https://host[:port]``, checked by the settings.
        region: the region the request names.
        credentials: asked for at each attempt, since they rotate.
        max_result_bytes: a response over this size is refused without being read.
        ca_file: certificate authorities to trust instead of certifi's.
        pace: how time passes.
    """

    def __init__(
        self,
        endpoint: str,
        region: str,
        credentials: Callable[[], Credentials],
        max_result_bytes: int,
        *,
        ca_file: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self._credentials = credentials
        self._max_result_bytes = max_result_bytes
        self._ca_file = ca_file
        self._pace = pace or Pace()

    def query(self, job_id: str, deadline: float) -> bytes:
        """Return the response to QuerySmarttagJob, byte for byte, within ``deadline`` seconds, retries included.

        It is JSON by its first bytes and no error document; only who decodes it learns whether all of it is sound.

        Raises:
            JobNotFound: MPS knows no such job.
            AccessRefused: the credentials or permissions do not do.
            BadResponse: the answer is XML, HTML, empty, or otherwise no response of this API.
            ResponseTooLarge: it is over ``max_result_bytes``.
            Throttled, TimedOut, Unavailable: still so after the last attempt that fitted the deadline.
            PermanentError: any other refusal, with its code.
        """
        check_job_id(job_id)
        transport_errors = (OSError, self._urllib3.exceptions.HTTPError)
        end = self._pace.clock() + deadline
        pause = _BACKOFF
        error: RelayError = TimedOut(f"no time was left to query job {job_id}", jobId=job_id)
        for _ in range(_ATTEMPTS):
            left = end - self._pace.clock()
            if left < _LEAST:
                break
            try:
                return self._attempt(job_id, end, left / 2)
            except RetryableError as failed:
                error = failed
            except transport_errors as failed:
                error = self._explain(job_id, failed)
            wait = max(self._pace.rng() * pause, error.retry_after or 0.0)
            if self._pace.clock() + wait + _LEAST > end:
                break
            self._pace.sleep(wait)
            pause *= 2
        # Raised here and not above: urllib3's errors may quote the URL, and with it the signature and the STS token.
        raise error

    def _attempt(self, job_id: str, end: float, patience: float) -> bytes:
        """Ask once; ``patience`` is half of what is left, so that one silent connection leaves time for a second."""
        timeout = self._urllib3.Timeout(connect=min(_CONNECT, patience), read=patience)
        path, headers = self._signed(job_id)
        with self._pool.request(
            "POST", path, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False
        ) as response:
            if response.status != 200:  # noqa: PLR2004 - the only success of this API
                document = self._read(job_id, response, end, _LARGEST_ERROR)
                raise explain_refusal(job_id, response.status, document, response.headers.get("Retry-After", ""))
            limit = self._max_result_bytes
            size = response.length_remaining or 0
            body = b"" if size > limit else self._read(job_id, response, end, limit)
        if max(size, len(body)) > limit:
            raise ResponseTooLarge(
                f"the result of job {job_id} is over {limit} bytes: "
                "raise MAX_RESULT_BYTES, and the function's memory with it",
                jobId=job_id,
                maxResultBytes=limit,
            )
        return check_answer(job_id, body)

    def _read(self, job_id: str, response: Any, end: float, enough: int) -> bytes:  # noqa: ANN401 - imported late
        body = io.BytesIO()  # hands its bytes over without a copy
        while body.tell() <= enough and (piece := response.read1(_PIECE)):
            body.write(piece)
            if self._pace.clock() > end:
                raise TimedOut(f"MPS sends the result of job {job_id} too slowly; try again", jobId=job_id)
        return body.getvalue()

    def _signed(self, job_id: str) -> tuple[str, dict[str, str]]:
        """Return path and headers of a newly signed request; each attempt needs its own nonce and time."""
        from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
        from aliyunsdkcore.auth.signers.access_key_signer import AccessKeySigner
        from aliyunsdkcore.auth.signers.sts_token_signer import StsTokenSigner
        from aliyunsdkcore.request import CommonRequest

        request = CommonRequest(self._endpoint, "2014-06-18", "QuerySmarttagJob", product="Mts")
        request.set_method("POST")
        request.set_accept_format("JSON")  # the API's own default is XML
        request.add_query_param("JobId", job_id)
        request.trans_to_acs_request()
        now = self._credentials()
        key = (now.access_key_id, now.access_key_secret)
        signer = (
            StsTokenSigner(StsTokenCredential(*key, now.security_token))
            if now.security_token
            else AccessKeySigner(AccessKeyCredential(*key))
        )
        headers, path = signer.sign(self._region, request)
        return path, {**headers, "Accept-Encoding": "identity", "User-Agent": f"smarttag-relay/{__version__}"}

    def _explain(self, job_id: str, failure: Exception) -> RetryableError:
        kinds = self._urllib3.exceptions
        refused = isinstance(failure, kinds.NewConnectionError)  # a kind of time-out, to urllib3
        if not refused and isinstance(failure, (kinds.TimeoutError, TimeoutError)):
            return TimedOut(f"MPS at {self._endpoint} did not answer for job {job_id} in time; try again", jobId=job_id)
        return Unavailable(
            f"MPS at {self._endpoint} could not be reached for job {job_id} ({type(failure).__name__}); try again, "
            "and check MPS_ENDPOINT and MPS_REGION",
            jobId=job_id,
        )

    @cached_property
    def _urllib3(self) -> Any:  # noqa: ANN401 - imported late
        import urllib3

        # It logs every URL at DEBUG, and ours are signed.
        logging.getLogger("urllib3.connectionpool").addFilter(_says_nothing_signed)
        return urllib3

    @cached_property
    def _pool(self) -> Any:  # noqa: ANN401 - imported late
        import certifi

        trust = {"ca_certs": self._ca_file or certifi.where()} if self._endpoint.startswith("https") else {}
        return self._urllib3.connection_from_url(self._endpoint, maxsize=16, **trust)


def _says_nothing_signed(record: logging.LogRecord) -> bool:
    return "Signature=" not in record.getMessage()
