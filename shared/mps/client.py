"""QuerySmarttagJob of MPS (Mts 2014-06-18): signed by aliyun-python-sdk-core, carried by urllib3.

The SDK's own client is left out: it parses every response once more only to find a RequestId (measured: 105 ms of CPU
for a 22 MB answer, 9 ms here), reads it whole whatever its size, writes the signed URL into errors and logs, and
retries nothing of MPS. docs/decisions/0002-mps-transport.md has the whole list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from shared.credentials import Credentials
from shared.errors import NotAdmitted, ResponseTooLarge
from shared.jobs import check_job_id
from shared.mps.answers import MPS, check_answer
from shared.refusals import Answer, Subject
from shared.retrying import Limits, Pace
from shared.service_calls import Request, ServiceCalls


def _any_size(_size: int) -> bool:
    return True


class MpsClient:
    """Asks MPS for results; safe to share between threads, reuses its connections.

    Args:
        endpoint: ``https://host[:port]``, checked by the settings.
        region: the region the request names.
        credentials: asked for at each attempt, since they rotate.
        max_result_bytes: a response over this size is refused without being read.
        ca_file: certificate authorities to trust instead of certifi's.
        pace: how time passes.
        turn: called before each request, retries included; returns once it may be made.
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
        turn: Callable[[], object] = lambda: None,
    ) -> None:
        self._region = region
        self._credentials = credentials
        self._max_result_bytes = max_result_bytes
        self._turn = turn
        self._calls = ServiceCalls(MPS, endpoint, ca_file=ca_file, pace=pace)

    def query(self, job_id: str, deadline: float, admits: Callable[[int], bool] = _any_size) -> bytes:
        """Return the response to QuerySmarttagJob, byte for byte, within ``deadline`` seconds, retries included.

        It is JSON by its first bytes and no error document; only who decodes it learns whether all of it is sound.
        ``admits`` is asked whether a response of so many bytes can be had now, as soon as its size is known or reached.

        Raises:
            NotAdmitted: it cannot.
            JobNotFound: MPS knows no such job.
            AccessRefused: the credentials or permissions do not do.
            BadResponse: the answer is XML, HTML, empty, or otherwise no response of this API.
            ResponseTooLarge: it is over ``max_result_bytes``.
            Throttled, TimedOut, Unavailable: still so after the last attempt that fitted the deadline.
            PermanentError: any other refusal, with its code.
        """
        subject = Subject(f"job {check_job_id(job_id)}", {"jobId": job_id})
        return self.ask("QuerySmarttagJob", {"JobId": job_id}, subject, deadline, admits)

    def ask(
        self,
        action: str,
        parameters: Mapping[str, str],
        subject: Subject,
        deadline: float,
        admits: Callable[[int], bool] = _any_size,
    ) -> bytes:
        """Return the response to any action; ``subject`` is what it is about, for errors. Raises as ``query`` does."""
        limits = Limits(connect=5.0, read=inf, total=deadline, attempts=6, backoff=0.3)

        def takes(size: int) -> bool:
            return size <= self._max_result_bytes and admits(size)

        def accept(answer: Answer) -> bytes:
            if not answer.unread:
                return check_answer(subject, answer)
            if answer.unread <= self._max_result_bytes:
                raise NotAdmitted(
                    f"the result of {subject.text} has to wait for its turn: it is large", **subject.fields
                )
            raise ResponseTooLarge(
                f"the result of {subject.text} is over {self._max_result_bytes} bytes: "
                "raise MAX_RESULT_BYTES, and the function's memory with it",
                **subject.fields,
                maxResultBytes=self._max_result_bytes,
            )

        return self._calls.call(subject, lambda: self._signed(action, parameters), accept, limits, takes)

    def _signed(self, action: str, parameters: Mapping[str, str]) -> Request:
        """Return a newly signed request; each attempt needs its own nonce and time."""
        # No more of the SDK than its signature: the request classes load another twenty modules to come to it.
        from aliyunsdkcore.auth.composer.rpc_signature_composer import get_signed_url

        self._turn()
        query = {"Action": action, "Version": "2014-06-18", "RegionId": self._region, **parameters}
        now = self._credentials()
        if now.security_token:
            query["SecurityToken"] = now.security_token
        # The format is named because the API's own default is XML.
        target, _ = get_signed_url(query, now.access_key_id, now.access_key_secret, "JSON", "POST", {})
        return Request("POST", target, {})
